"""Ops that change an array's shape or the order of its axes, and leave the elements as they are."""

from __future__ import annotations

import math
from typing import Any

from op_table.axes import positive
from op_table.expr import Expr, Size, Value, jnp
from op_table.registry import lowers


def identity(x: Expr) -> Expr:
    return x


# What torch says of storage and of gradients, where JAX needs nothing said.
for _op in (
    "alias.default",
    "clone.default",
    "contiguous.default",
    "detach.default",
    "lift.default",
    "lift_fresh.default",
    "lift_fresh_copy.default",
    "pin_memory.default",
    "positive.default",
    "resolve_conj.default",
    "resolve_neg.default",
):
    lowers(f"aten.{_op}")(identity)


@lowers("aten.view.default", "aten.reshape.default", "aten._unsafe_view.default")
def reshape(x: Value, size: list) -> Expr:
    if len(size) == x.ndim and all(old == new for old, new in zip(x.shape, size, strict=True)):
        return x
    return x.reshape(*size) if size else x.reshape(())


@lowers("aten.view_as.default", "aten.reshape_as.default")
def reshape_as(x: Value, other: Value) -> Expr:
    return reshape(x, list(other.shape))


@lowers("aten.flatten.using_ints")
def flatten(x: Value, start_dim: int = 0, end_dim: int = -1) -> Expr:
    if x.ndim == 0:
        return x.reshape(1)
    start, end = positive(start_dim, x.ndim), positive(end_dim, x.ndim)
    if start == end:
        return x
    middle = _merged(x.shape[start : end + 1], x.shape[:start] + x.shape[end + 1 :])
    return x.reshape(*x.shape[:start], middle, *x.shape[end + 1 :])


def _merged(sizes: tuple, others: tuple) -> Any:
    """The length of merged axes: -1 where a size is dynamic and the rest leaves no doubt, which reads best."""
    return -1 if any(isinstance(size, Size) for size in sizes) and 0 not in others else math.prod(sizes)


@lowers("aten.ravel.default")
def ravel(x: Value) -> Expr:
    return x if x.ndim == 1 else x.ravel()


@lowers("aten.unflatten.int")
def unflatten(x: Value, dim: int, sizes: list) -> Expr:
    dim = positive(dim, x.ndim)
    if 0 in x.shape and -1 in sizes:  # JAX does not infer a length of an empty array
        rest = math.prod(size for size in sizes if size != -1)
        sizes = [x.shape[dim] // rest if size == -1 else size for size in sizes]
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])


@lowers("aten.squeeze.default")
def squeeze(x: Value) -> Expr:
    return squeeze_dims(x, list(range(x.ndim)))


@lowers("aten.squeeze.dim", "aten.squeeze.dims")
def squeeze_dims(x: Value, dim: Any) -> Expr:
    """Drops those of the axes that have length 1, as torch does; a dynamic axis never has, or torch.export had said so."""
    dims = [dim] if isinstance(dim, int) else dim
    axes = [axis for axis in (positive(d, x.ndim) for d in dims) if x.ndim and x.shape[axis] == 1]
    if not axes:
        return x
    return x.squeeze(axes[0] if len(axes) == 1 else tuple(axes))


@lowers("aten.unsqueeze.default")
def unsqueeze(x: Value, dim: int) -> Expr:
    dim = positive(dim, x.ndim + 1)
    if dim == x.ndim and dim > 0:
        return x[:, None] if dim == 1 else x[..., None]
    return x[(*[slice(None)] * dim, None)] if dim else x[None]


@lowers("aten.atleast_1d.default")
def atleast_1d(x: Value) -> Expr:
    return x if x.ndim >= 1 else x[None]


@lowers("aten.atleast_2d.default")
def atleast_2d(x: Value) -> Expr:
    return x if x.ndim >= 2 else jnp.atleast_2d(x)


@lowers("aten.atleast_3d.default")
def atleast_3d(x: Value) -> Expr:
    return x if x.ndim >= 3 else jnp.atleast_3d(x)


@lowers("aten.transpose.int", "aten.swapaxes.default", "aten.swapdims.default")
def transpose(x: Value, dim0: int, dim1: int) -> Expr:
    if x.ndim == 0 or positive(dim0, x.ndim) == positive(dim1, x.ndim):
        return x
    return x.T if x.ndim == 2 else x.swapaxes(dim0, dim1)


@lowers("aten.t.default", "aten.numpy_T.default")
def t(x: Value) -> Expr:
    return x.T if x.ndim > 1 else x


@lowers("aten.mT.default")
def mt(x: Value) -> Expr:
    return x.T if x.ndim == 2 else x.mT


@lowers("aten.mH.default", "aten.adjoint.default", "aten.matrix_H.default")
def adjoint(x: Value) -> Expr:
    return mt(x).conj() if x.dtype.kind == "c" else mt(x)


@lowers("aten.permute.default")
def permute(x: Value, dims: list) -> Expr:
    order = [positive(dim, x.ndim) for dim in dims]
    moved = [axis for axis in range(x.ndim) if order[axis] != axis]
    if not moved:
        return x
    if len(moved) == 2:
        return transpose(x, *moved)
    return x.transpose(*order)


@lowers("aten.movedim.int", "aten.movedim.intlist", "aten.moveaxis.int", "aten.moveaxis.intlist")
def movedim(x: Value, source: Any, destination: Any) -> Expr:
    if x.ndim == 0:
        return x
    source, destination = (tuple(axes) if isinstance(axes, list) else axes for axes in (source, destination))
    return jnp.moveaxis(x, source, destination)


@lowers("aten.expand.default", "aten.broadcast_to.default")
def expand(x: Value, size: list, *, implicit: bool = False) -> Expr:
    lead = len(size) - x.ndim
    shape = tuple(x.shape[axis - lead] if wanted == -1 else wanted for axis, wanted in enumerate(size))
    if lead == 0 and all(old == new for old, new in zip(x.shape, shape, strict=True)):
        return x
    return jnp.broadcast_to(x, shape)


@lowers("aten.expand_as.default")
def expand_as(x: Value, other: Value) -> Expr:
    return expand(x, list(other.shape))


@lowers("aten.broadcast_tensors.default")
def broadcast_tensors(tensors: list) -> Expr:
    return jnp.broadcast_arrays(*tensors)


@lowers("aten.meshgrid.default", "aten.meshgrid.indexing")
def meshgrid(tensors: list, *, indexing: str = "ij") -> Expr:
    vectors = [atleast_1d(x) for x in tensors]
    return jnp.meshgrid(*vectors, indexing="ij") if indexing == "ij" else jnp.meshgrid(*vectors)


@lowers("aten.pixel_shuffle.default")
def pixel_shuffle(x: Value, upscale_factor: int) -> Expr:
    *lead, channels, height, width = x.shape
    r, n = upscale_factor, len(lead)
    cells = x.reshape(*lead, channels // (r * r), r, r, height, width)
    return cells.transpose(*range(n), n, n + 3, n + 1, n + 4, n + 2).reshape(
        *lead, channels // (r * r), height * r, width * r
    )


@lowers("aten.pixel_unshuffle.default")
def pixel_unshuffle(x: Value, downscale_factor: int) -> Expr:
    *lead, channels, height, width = x.shape
    r, n = downscale_factor, len(lead)
    cells = x.reshape(*lead, channels, height // r, r, width // r, r)
    return cells.transpose(*range(n), n, n + 2, n + 4, n + 1, n + 3).reshape(
        *lead, channels * r * r, height // r, width // r
    )


@lowers("aten.channel_shuffle.default", "aten.native_channel_shuffle.default")
def channel_shuffle(x: Value, groups: int) -> Expr:
    batch, channels, *space = x.shape
    return x.reshape(batch, groups, channels // groups, *space).swapaxes(1, 2).reshape(*x.shape)
