"""Ops that repeat, mirror, shift and cut out the elements of an array: tile, flip, roll, diagonals, windows, triangles."""

from __future__ import annotations

from typing import Any

from op_table.axes import given, positive
from op_table.dtypes import INT, is_integer
from op_table.expr import Expr, Value, jax, jnp, prelude
from op_table.prelude import patches
from op_table.registry import lowers


@lowers("aten.repeat.default", "aten.tile.default")
def repeat(x: Value, repeats: list) -> Expr:
    if len(repeats) <= x.ndim and all(times == 1 for times in repeats):
        return x
    return jnp.tile(x, tuple(repeats))


@lowers("aten.repeat_interleave.self_int")
def repeat_interleave(x: Value, repeats: Any, dim: int | None = None, *, output_size: Any = None) -> Expr:
    return jnp.repeat(x, repeats, **given(axis=dim))


@lowers("aten.repeat_interleave.self_Tensor")
def repeat_interleave_each(x: Value, repeats: Expr, dim: int | None = None, *, output_size: Any = None) -> Expr:
    if output_size is None:  # as many as the repeats sum up to, see value_dependent.py
        return jnp.repeat(x, repeats, **given(axis=dim))
    return jnp.repeat(x, repeats, axis=dim, total_repeat_length=output_size)


@lowers("aten.flip.default")
def flip(x: Value, dims: list) -> Expr:
    if not dims or x.ndim == 0:
        return x
    return jnp.flip(x, axis=dims[0] if len(dims) == 1 else tuple(dims))


@lowers("aten.fliplr.default")
def fliplr(x: Value) -> Expr:
    return jnp.fliplr(x)


@lowers("aten.flipud.default")
def flipud(x: Value) -> Expr:
    return jnp.flipud(x)


@lowers("aten.rot90.default")
def rot90(x: Value, k: int = 1, dims: list = (0, 1)) -> Expr:
    return jnp.rot90(x, k) if tuple(dims) == (0, 1) else jnp.rot90(x, k, axes=tuple(dims))


@lowers("aten.roll.default")
def roll(x: Value, shifts: list, dims: list = ()) -> Expr:
    if not dims:
        return jnp.roll(x, shifts[0])
    if len(dims) == 1:
        return jnp.roll(x, shifts[0], axis=dims[0])
    return jnp.roll(x, tuple(shifts), axis=tuple(dims))


@lowers("aten.diagonal.default", "aten.linalg_diagonal.default")
def diagonal(x: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Expr:
    axes = {"axis1": dim1 or None, "axis2": dim2 if dim2 != 1 else None}
    return jnp.diagonal(x, **given(offset=offset or None, **axes))


@lowers("aten.diag.default")
def diag(x: Value, diagonal: int = 0) -> Expr:
    return jnp.diag(x, diagonal) if diagonal else jnp.diag(x)


@lowers("aten.diag_embed.default")
def diag_embed(x: Value, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Expr:
    return prelude(patches.diag_embed)(x, offset, positive(dim1, x.ndim + 1), positive(dim2, x.ndim + 1))


@lowers("aten.diagonal_scatter.default")
def diagonal_scatter(x: Value, src: Expr, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Expr:
    return prelude(patches.diagonal_scatter)(x, src, offset, positive(dim1, x.ndim), positive(dim2, x.ndim))


@lowers("aten.trace.default")
def trace(x: Value) -> Expr:
    return jnp.trace(x, dtype=INT) if is_integer(x.dtype) or x.dtype == bool else jnp.trace(x)


@lowers("aten.tril.default")
def tril(x: Value, diagonal: int = 0) -> Expr:
    return jnp.tril(x, diagonal) if diagonal != 0 else jnp.tril(x)


@lowers("aten.triu.default")
def triu(x: Value, diagonal: int = 0) -> Expr:
    return jnp.triu(x, diagonal) if diagonal != 0 else jnp.triu(x)


@lowers("aten.unfold.default")
def unfold(x: Value, dimension: int, size: int, step: int) -> Expr:
    if x.ndim == 0:
        return x.reshape(1)[:size]
    return prelude(patches.windows_along)(x, positive(dimension, x.ndim), size, step)


@lowers("aten.im2col.default")
def im2col(x: Value, kernel_size: list, dilation: list, padding: list, stride: list) -> Expr:
    return prelude(patches.im2col)(x, *map(tuple, (kernel_size, dilation, padding, stride)))


@lowers("aten.col2im.default")
def col2im(x: Value, output_size: list, kernel_size: list, dilation: list, padding: list, stride: list) -> Expr:
    return prelude(patches.col2im)(x, *map(tuple, (output_size, kernel_size, dilation, padding, stride)))


@lowers("aten.block_diag.default")
def block_diag(tensors: list) -> Expr:
    return jax.scipy.linalg.block_diag(*tensors)


@lowers("aten.cartesian_prod.default")
def cartesian_prod(tensors: list) -> Expr:
    if len(tensors) == 1:
        return tensors[0]
    return jnp.stack(jnp.meshgrid(*tensors, indexing="ij"), axis=-1).reshape(-1, len(tensors))
