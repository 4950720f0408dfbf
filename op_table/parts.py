"""Ops that pick parts of an array along an axis, write them, and join arrays along one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from op_table.axes import at, given, positive
from op_table.dtypes import cast, is_array, promoted, result_type
from op_table.expr import Expr, Size, Value, hint, jnp, lax
from op_table.registry import Unsupported, lowers


@lowers("aten.select.int")
def select(x: Expr, dim: int, index: Any) -> Expr:
    return at(x, dim, index)


@lowers("aten.slice.Tensor")
def slice_(x: Value, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Expr:
    where = _slice(x, dim, start, end, step)
    return x if where == slice(None) else at(x, dim, where)


def _slice(x: Value, dim: int, start: Any, end: Any, step: int = 1) -> slice:
    """The Python slice, which clamps as torch does, with its ends left out where they are the axis's own."""
    length = x.shape[positive(dim, x.ndim)]
    if isinstance(start, int) and (start == 0 or not isinstance(length, Size) and start <= -length):
        start = None
    # torch writes `to the end` as the largest int64.
    beyond = isinstance(end, int) and (end == 2**63 - 1 or not isinstance(length, Size) and end >= length)
    if beyond or end == length:
        end = None
    return slice(start, end, None if step == 1 else step)


@lowers("aten.narrow.default", "aten.narrow_copy.default")
def narrow(x: Value, dim: int, start: Any, length: Any) -> Expr:
    if is_array(start):
        return lax.dynamic_slice_in_dim(x, start, length, axis=positive(dim, x.ndim))
    if isinstance(start, int) and start < 0:
        start = start + x.shape[positive(dim, x.ndim)]
    return slice_(x, dim, start, start + length)


@lowers("aten.slice_scatter.default")
def slice_scatter(x: Value, src: Expr, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Expr:
    where = _slice(x, dim, start, end, step)
    src = cast(src, x.dtype)
    return src if where == slice(None) else at(x.at, dim, where, x.ndim).set(src)


@lowers("aten.select_scatter.default")
def select_scatter(x: Value, src: Expr, dim: int, index: Any) -> Expr:
    return at(x.at, dim, index, x.ndim).set(cast(src, x.dtype))


def cut(x: Value, dim: int, sizes: Sequence[Any]) -> Any:
    """x cut along dim into consecutive parts of the given lengths."""
    if len(sizes) == 1:
        return (x,)
    axis = given(axis=dim or None)
    if all(size == sizes[0] for size in sizes):
        return jnp.split(x, len(sizes), **axis)
    ends = list(itertools.accumulate(sizes[:-1]))
    return jnp.split(x, ends, **axis)


@lowers("aten.split.Tensor", "aten.unsafe_split.Tensor")
def split(x: Value, split_size: Any, dim: int = 0) -> Any:
    """torch.export has fixed the number of parts, so the example's holds for every length that it allows."""
    length = x.shape[positive(dim, x.ndim)]
    if hint(split_size) == 0:
        return (x,)
    count = max(-(-hint(length) // hint(split_size)), 1)
    return cut(x, dim, [split_size] * (count - 1) + [length - split_size * (count - 1)])


@lowers("aten.split_with_sizes.default", "aten.split.sizes", "aten.unsafe_split_with_sizes.default")
def split_with_sizes(x: Value, split_sizes: list, dim: int = 0) -> Any:
    return cut(x, dim, split_sizes)


@lowers("aten.chunk.default", "aten.unsafe_chunk.default")
def chunk(x: Value, chunks: int, dim: int = 0) -> Any:
    length = x.shape[positive(dim, x.ndim)]
    if length % chunks == 0:
        return cut(x, dim, [length // chunks] * chunks)
    return split(x, (length + chunks - 1) // chunks, dim)


@lowers("aten.tensor_split.sections")
def tensor_split(x: Value, sections: int, dim: int = 0) -> Any:
    length = x.shape[positive(dim, x.ndim)]
    if not isinstance(length, Size) and length % sections == 0:
        return cut(x, dim, [length // sections] * sections)
    return jnp.array_split(x, sections, **given(axis=dim or None))


@lowers("aten.tensor_split.indices")
def tensor_split_indices(x: Value, indices: list, dim: int = 0) -> Any:
    if not indices:
        return (x,)
    return jnp.split(x, list(indices), axis=dim) if dim else jnp.split(x, list(indices))


@lowers("aten.unbind.int")
def unbind(x: Value, dim: int = 0) -> tuple:
    length = x.shape[positive(dim, x.ndim)]
    if isinstance(length, Size):
        raise Unsupported("unbind along a dynamic axis: the number of outputs depends on it")
    return tuple(select(x, dim, index) for index in range(length))


@lowers("aten.cat.default", "aten.concat.default", "aten.concatenate.default")
def cat(tensors: list, dim: int = 0) -> Expr:
    # torch passes over an empty array of one axis, whatever the others' shapes, but for its dtype.
    kept = [x for x in tensors if not (x.ndim == 1 and x.shape[0] == 0)] or tensors[:1]
    arrays = promoted(*kept) if len(kept) == len(tensors) else [cast(x, result_type(*tensors)) for x in kept]
    if len(arrays) == 1:
        return arrays[0]
    return jnp.concatenate(list(arrays), **({"axis": dim} if dim else {}))


@lowers("aten.stack.default")
def stack(tensors: list, dim: int = 0) -> Expr:
    arrays = list(promoted(*tensors))
    return jnp.stack(arrays, axis=dim) if dim else jnp.stack(arrays)


def _stacking(function: Expr):
    return lambda tensors: function(list(promoted(*tensors)))


for _name, _function in {
    "hstack": jnp.hstack,
    "vstack": jnp.vstack,
    "row_stack": jnp.vstack,
    "dstack": jnp.dstack,
    "column_stack": jnp.column_stack,
}.items():
    lowers(f"aten.{_name}.default")(_stacking(_function))


def _splitting(dim: int):
    """hsplit, vsplit and dsplit: tensor_split along one axis, the first where an array has no second."""

    def rule(x: Value, sections: Any) -> Any:
        axis = 0 if x.ndim == 1 else dim
        return (
            tensor_split_indices(x, sections, axis) if isinstance(sections, list) else tensor_split(x, sections, axis)
        )

    return rule


for _name, _dim in {"vsplit": 0, "hsplit": 1, "dsplit": 2}.items():
    lowers(f"aten.{_name}.int", f"aten.{_name}.array")(_splitting(_dim))
