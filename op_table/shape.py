"""Ops that change an array's shape, the order of its axes, or pick and join parts of it."""

from __future__ import annotations

import math
from typing import Any

from op_table.axes import at, positive
from op_table.dtypes import cast, promoted
from op_table.expr import Expr, Size, Value, jnp
from op_table.registry import Unsupported, lowers

_TO_THE_END = 2**63 - 1


def identity(x: Expr, *args: Any, **kwargs: Any) -> Expr:
    return x


lowers(
    "aten.contiguous.default",
    "aten.clone.default",
    "aten.alias.default",
    "aten.detach.default",
    "aten.lift_fresh.default",
    "aten.lift_fresh_copy.default",
    "aten.resolve_conj.default",
    "aten.resolve_neg.default",
)(identity)


@lowers("aten.view.default", "aten.reshape.default", "aten._unsafe_view.default")
def reshape(x: Value, size: list) -> Expr:
    return x.reshape(*size) if size else x.reshape(())


@lowers("aten.view_as.default", "aten.reshape_as.default")
def reshape_as(x: Value, other: Value) -> Expr:
    return x.reshape(*other.shape)


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


@lowers("aten.unflatten.int")
def unflatten(x: Value, dim: int, sizes: list) -> Expr:
    dim = positive(dim, x.ndim)
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])


@lowers("aten.squeeze.default")
def squeeze(x: Value) -> Expr:
    axes = tuple(axis for axis, size in enumerate(x.shape) if size == 1)
    return jnp.squeeze(x, axis=axes) if axes else x


@lowers("aten.squeeze.dim", "aten.squeeze.dims")
def squeeze_dims(x: Value, dim: Any) -> Expr:
    dims = [dim] if isinstance(dim, int) else dim
    axes = tuple(axis for axis in (positive(d, x.ndim) for d in dims) if x.ndim and x.shape[axis] == 1)
    if not axes:
        return x
    return jnp.squeeze(x, axis=axes[0] if len(axes) == 1 else axes)


@lowers("aten.unsqueeze.default")
def unsqueeze(x: Value, dim: int) -> Expr:
    dim = positive(dim, x.ndim + 1)
    if dim == x.ndim:
        return x[..., None]
    return x[(*[slice(None)] * dim, None)] if dim else x[None]


@lowers("aten.transpose.int")
def transpose(x: Value, dim0: int, dim1: int) -> Expr:
    return x.swapaxes(dim0, dim1) if x.ndim and positive(dim0, x.ndim) != positive(dim1, x.ndim) else x


@lowers("aten.t.default", "aten.numpy_T.default")
def t(x: Value) -> Expr:
    return x.T if x.ndim > 1 else x


@lowers("aten.mT.default", "aten.adjoint.default")
def mt(x: Value) -> Expr:
    return x.swapaxes(-1, -2)


@lowers("aten.permute.default")
def permute(x: Value, dims: list) -> Expr:
    order = [positive(dim, x.ndim) for dim in dims]
    if order == list(range(x.ndim)):
        return x
    moved = [axis for axis in range(x.ndim) if order[axis] != axis]
    if len(moved) == 2 and x.ndim > 2:
        return x.swapaxes(*moved)
    return x.transpose(*order)


@lowers("aten.movedim.int", "aten.movedim.intlist")
def movedim(x: Value, source: Any, destination: Any) -> Expr:
    as_axes = [tuple(axes) if isinstance(axes, list) else axes for axes in (source, destination)]
    return jnp.moveaxis(x, *as_axes)


@lowers("aten.expand.default", "aten.broadcast_to.default")
def expand(x: Value, size: list, *, implicit: bool = False) -> Expr:
    lead = len(size) - x.ndim
    shape = tuple(x.shape[axis - lead] if isinstance(wanted, int) and wanted == -1 else wanted for axis, wanted in enumerate(size))
    return x if len(shape) == x.ndim and all(a == b for a, b in zip(shape, x.shape, strict=True)) else jnp.broadcast_to(x, shape)


@lowers("aten.expand_as.default")
def expand_as(x: Value, other: Value) -> Expr:
    return expand(x, list(other.shape))


@lowers("aten.broadcast_tensors.default")
def broadcast_tensors(tensors: list) -> Expr:
    return jnp.broadcast_arrays(*tensors)


@lowers("aten.cat.default", "aten.concat.default", "aten.concatenate.default")
def cat(tensors: list, dim: int = 0) -> Expr:
    # torch passes over empty one-axis tensors, whatever the others' shapes.
    kept = [x for x in tensors if not (x.ndim == 1 and x.shape[0] == 0)] or tensors[:1]
    dtypes = promoted(*tensors)
    kept = [cast_one for x, cast_one in zip(tensors, dtypes, strict=True) if any(x is k for k in kept)]
    return kept[0] if len(kept) == 1 else jnp.concatenate(kept, axis=dim) if dim else jnp.concatenate(kept)


@lowers("aten.stack.default")
def stack(tensors: list, dim: int = 0) -> Expr:
    arrays = list(promoted(*tensors))
    return jnp.stack(arrays, axis=dim) if dim else jnp.stack(arrays)




@lowers("aten.select.int")
def select(x: Value, dim: int, index: Any) -> Expr:
    return at(x, dim, index)


@lowers("aten.slice.Tensor")
def slice_(x: Value, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Expr:
    dim = positive(dim, x.ndim)
    length = x.shape[dim]
    start = None if start is None or (isinstance(start, int) and start == 0) else start
    whole = end is None or (isinstance(end, int) and end >= _TO_THE_END) or (not isinstance(end, Size) and end == length)
    end = None if whole or end == length else end
    if start is None and end is None and step == 1:
        return x
    return at(x, dim, slice(start, end, None if step == 1 else step))


@lowers("aten.narrow.default")
def narrow(x: Value, dim: int, start: Any, length: Any) -> Expr:
    if isinstance(start, int) and start < 0:
        start = start + x.shape[positive(dim, x.ndim)]
    return slice_(x, dim, start, start + length)


def parts(x: Value, dim: int, sizes: list) -> Any:
    """x cut along dim into consecutive parts of the given lengths, as jnp.split does."""
    ends: list = []
    for size in sizes[:-1]:
        ends.append(size if not ends else ends[-1] + size)
    if not ends:
        return (x,)
    even = all(isinstance(size, int) and size == sizes[0] for size in sizes)
    cuts = len(sizes) if even else tuple(ends)
    if any(isinstance(end, Size) for end in ends):
        starts = [0, *ends]
        return tuple(slice_(x, dim, a, b) for a, b in zip(starts, [*ends, None], strict=True))
    return jnp.split(x, cuts if even else list(cuts), axis=dim) if dim else jnp.split(x, cuts if even else list(cuts))


@lowers("aten.split.Tensor")
def split(x: Value, split_size: Any, dim: int = 0) -> Any:
    length = x.shape[positive(dim, x.ndim)]
    if isinstance(length, Size) or isinstance(split_size, Size):
        if length == split_size:
            return (x,)
        raise Unsupported("the number of parts depends on a dynamic length")
    if split_size == 0:
        return (x,)
    whole, rest = divmod(length, split_size)
    return parts(x, dim, [split_size] * whole + [rest] * bool(rest))


@lowers("aten.split_with_sizes.default", "aten.split.sizes")
def split_with_sizes(x: Value, split_sizes: list, dim: int = 0) -> Any:
    return parts(x, dim, split_sizes)


@lowers("aten.chunk.default", "aten.tensor_split.sections")
def chunk(x: Value, chunks: int, dim: int = 0) -> Any:
    length = x.shape[positive(dim, x.ndim)]
    if isinstance(length, Size):
        raise Unsupported("the number of parts depends on a dynamic length")
    size = max(-(-length // chunks), 1)
    return split(x, size, dim)


@lowers("aten.unbind.int")
def unbind(x: Value, dim: int = 0) -> Any:
    length = x.shape[positive(dim, x.ndim)]
    if isinstance(length, Size):
        raise Unsupported("the number of parts depends on a dynamic length")
    return tuple(select(x, dim, index) for index in range(length))


@lowers("aten.repeat.default", "aten.tile.default")
def repeat(x: Value, repeats: list) -> Expr:
    return jnp.tile(x, tuple(repeats))


@lowers("aten.repeat_interleave.self_int")
def repeat_interleave(x: Value, repeats: Any, dim: int | None = None, *, output_size: Any = None) -> Expr:
    return jnp.repeat(x, repeats, axis=dim) if dim is not None else jnp.repeat(x, repeats)


@lowers("aten.flip.default")
def flip(x: Value, dims: list) -> Expr:
    if not dims:
        return x
    return jnp.flip(x, axis=dims[0] if len(dims) == 1 else tuple(dims))


@lowers("aten.roll.default")
def roll(x: Value, shifts: list, dims: list = ()) -> Expr:
    if not dims:
        return jnp.roll(x, shifts[0])
    if len(dims) == 1:
        return jnp.roll(x, shifts[0], axis=dims[0])
    return jnp.roll(x, tuple(shifts), axis=tuple(dims))


@lowers("aten.diagonal.default")
def diagonal(x: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Expr:
    kwargs = {name: v for name, v, default in (("axis1", dim1, 0), ("axis2", dim2, 1)) if v != default}
    return jnp.diagonal(x, offset, **kwargs)


@lowers("aten.pixel_shuffle.default")
def pixel_shuffle(x: Value, upscale_factor: int) -> Expr:
    *lead, channels, height, width = x.shape
    r = upscale_factor
    n = len(lead)
    split_channels = x.reshape(*lead, channels // (r * r), r, r, height, width)
    moved = split_channels.transpose(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return moved.reshape(*lead, channels // (r * r), height * r, width * r)


@lowers("aten.pixel_unshuffle.default")
def pixel_unshuffle(x: Value, downscale_factor: int) -> Expr:
    *lead, channels, height, width = x.shape
    r = downscale_factor
    n = len(lead)
    split_space = x.reshape(*lead, channels, height // r, r, width // r, r)
    moved = split_space.transpose(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return moved.reshape(*lead, channels * r * r, height // r, width // r)


@lowers("aten.channel_shuffle.default")
def channel_shuffle(x: Value, groups: int) -> Expr:
    batch, channels, *space = x.shape
    grouped = x.reshape(batch, groups, channels // groups, *space).swapaxes(1, 2)
    return grouped.reshape(batch, channels, *space)


@lowers("aten.type_as.default")
def type_as(x: Value, other: Value) -> Expr:
    return cast(x, other.dtype)


@lowers("aten.to.dtype", "aten.to.device", "aten.to.dtype_layout", "aten._to_copy.default")
def to_dtype(x: Value, dtype: Any = None) -> Expr:
    return cast(x, dtype)


@lowers("aten.to.other")
def to_other(x: Value, other: Value) -> Expr:
    return cast(x, other.dtype)
