"""Ops that read or write an array at places which other arrays name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from op_table.axes import at, like, number, positive, vector
from op_table.dtypes import cast, is_array, is_integer, written
from op_table.expr import Expr, Value, jnp, prelude
from op_table.prelude import scatter as scattering
from op_table.prelude.select import masked_put
from op_table.registry import Unsupported, lowers


def _is_mask(index: Any) -> bool:
    return index is not None and index.dtype in (np.bool_, np.uint8)


def subscript(indices: list) -> Any:
    """torch's list of index arrays, None for a whole axis, as a subscript; both place separated arrays as numpy does."""
    while indices and indices[-1] is None:
        indices = indices[:-1]
    parts = tuple(slice(None) if index is None else index for index in indices)
    return parts[0] if len(parts) == 1 else parts


@lowers("aten.index.Tensor", "aten._unsafe_index.Tensor")
def index(x: Value, indices: list) -> Expr:
    indices = [cast(part, np.dtype(bool)) if _is_mask(part) else part for part in indices]
    if all(part is None for part in indices):
        return x
    return x[subscript(indices)]


@lowers("aten.index_put.default", "aten._unsafe_index_put.default", "aten._index_put_impl.default")
def index_put(x: Value, indices: list, values: Value, accumulate: bool = False, unsafe: bool = False) -> Expr:
    values_ = cast(values, x.dtype)
    if any(_is_mask(part) for part in indices):
        return _put_masked(x, indices, values, values_, accumulate)
    where = x.at[subscript(indices)]
    return added(where, values_, x.dtype) if accumulate else where.set(values_)


def added(where: Expr, values: Any, dtype: np.dtype) -> Expr:
    """`x.at[...].add(values)`. Of bools, which JAX does not add, one or the other."""
    return where.max(values) if dtype.kind == "b" else where.add(values)


def _put_masked(x: Value, indices: list, values: Value, cast_values: Expr, accumulate: bool) -> Expr:
    while indices[-1] is None:
        indices = indices[:-1]
    before, mask = len(indices) - 1, indices[-1]
    if any(part is not None for part in indices[:-1]):
        raise Unsupported("writing at a mask together with other indices")
    after = x.ndim - before - mask.ndim
    if values.ndim > before + after and not (values.ndim == before + after + 1 and values.shape[before] == 1):
        if before or accumulate:
            raise Unsupported("writing an array of rows at a mask that is not the first index, or adding it")
        return prelude(masked_put)(x, cast(mask, np.dtype(bool)), cast_values)
    if values.ndim > after:
        cast_values = cast_values.squeeze(before) if not before else None
    if cast_values is None:
        raise Unsupported("writing an array at a mask that is not the first index")
    mask = cast(mask, np.dtype(bool))
    wide = mask[(Ellipsis, *[None] * after)] if after else mask
    if accumulate:
        cast_values = x | cast_values if x.dtype == bool else x + cast_values
    return jnp.where(wide, cast_values, x)


def _clamped(x: Value, indices: list, lowest: Callable) -> list:
    return [i if i is None else jnp.clip(i, lowest(n), n - 1) for i, n in zip(indices, x.shape, strict=False)]


@lowers("aten._unsafe_masked_index.default")
def unsafe_masked_index(x: Value, mask: Value, indices: list, fill: Any) -> Expr:
    """What the mask leaves out may be at no place of x."""
    if 0 in x.shape:
        raise Unsupported("_unsafe_masked_index of an empty tensor")
    return jnp.where(mask, x[subscript(_clamped(x, indices, lambda n: 0))], number(fill, x.dtype))


@lowers("aten._unsafe_masked_index_put_accumulate.default")
def unsafe_masked_index_put_accumulate(x: Value, mask: Value, indices: list, values: Value) -> Expr:
    if 0 in x.shape:
        return x
    return x.at[subscript(_clamped(x, indices, lambda n: -n))].add(jnp.where(mask, values, 0))


@lowers("aten.index_select.default")
def index_select(x: Value, dim: int, index: Value) -> Expr:
    if x.ndim == 0:
        return x
    return at(x, dim, index if index.ndim else index[None])


@lowers("aten.index_add.default")
def index_add(x: Value, dim: int, index: Expr, source: Expr, *, alpha=1) -> Expr:
    if alpha != 1:
        source = source & bool(alpha) if x.dtype == bool else alpha * source
    rows = vector(x)
    return like(added(at(rows.at, dim, vector(index), rows.ndim), source, x.dtype), x)


@lowers("aten.index_copy.default")
def index_copy(x: Value, dim: int, index: Expr, source: Expr) -> Expr:
    rows = vector(x)
    return like(at(rows.at, dim, vector(index), rows.ndim).set(source), x)


@lowers("aten.index_fill.int_Scalar", "aten.index_fill.int_Tensor")
def index_fill(x: Value, dim: int, index: Expr, value: Any) -> Expr:
    if is_array(value):
        value = cast(value, x.dtype)
    elif is_integer(x.dtype) or x.dtype == bool:
        value = np.asarray(value).astype(x.dtype).item()  # -3 is 253 among uint8
    rows = vector(x)
    return like(at(rows.at, dim, vector(index), rows.ndim).set(number(value, x.dtype)), x)


@lowers("aten.take.default")
def take(x: Value, index: Expr) -> Expr:
    return x.ravel()[index]


@lowers("aten.gather.default")
def gather(x: Value, dim: int, index: Value, *, sparse_grad: bool = False) -> Expr:
    """Along the other axes index may be shorter than x, and reads from the start."""
    if x.ndim == 0:
        return jnp.broadcast_to(x, index.shape) if index.ndim else x
    if index.ndim == 0:
        return x[index]
    if 0 in index.shape:
        return jnp.zeros(index.shape, written(x.dtype))
    dim = positive(dim, x.ndim)
    ends = [
        slice(None) if axis == dim or size == x.shape[axis] else slice(size) for axis, size in enumerate(index.shape)
    ]
    while ends and ends[-1] == slice(None):
        ends.pop()
    read = x[ends[0] if len(ends) == 1 else tuple(ends)] if ends else x
    return jnp.take_along_axis(read, index, axis=-1 if dim == x.ndim - 1 else dim)


@lowers("aten.take_along_dim.default")
def take_along_dim(x: Value, indices: Value, dim: int | None = None) -> Expr:
    if dim is None:
        return x.ravel()[indices.ravel()]
    return jnp.take_along_axis(x, indices, axis=dim)


def _source(x: Value, source: Any) -> Any:
    """What a scatter writes: an array of x's dtype, or a number."""
    return cast(source, x.dtype) if is_array(source) else number(source, x.dtype)


@lowers("aten.scatter.src", "aten.scatter.value")
def scatter(x: Value, dim: int, index: Value, src: Any = None, *, value: Any = None) -> Expr:
    return _scattered(scattering.scatter, x, dim, index, _source(x, value if src is None else src))


def _scattered(function: Callable, x: Value, dim: int, index: Value, src: Any, *args: Any, **options: Any) -> Expr:
    """A scatter by a function of the prelude, which asks for axes that 0-d tensors do not have."""
    axis = positive(dim, x.ndim)
    if x.dtype == bool and function is scattering.scatter_reduce:
        numbers = [cast(a, np.dtype("int32")) if is_array(a) else int(a) for a in (x, src)]
        return cast(_scattered(function, numbers[0], dim, index, numbers[1], *args, **options), x.dtype)
    return like(prelude(function)(vector(x), axis, vector(index), vector(src), *args, **options), x)


@lowers("aten.scatter_add.default")
def scatter_add(x: Value, dim: int, index: Value, src: Expr) -> Expr:
    if x.dtype == bool:
        return _scattered(scattering.scatter_reduce, x, dim, index, src, "amax")
    return _scattered(scattering.scatter_add, x, dim, index, src)


@lowers("aten.scatter.reduce", "aten.scatter.value_reduce")
def scatter_with(x: Value, dim: int, index: Value, src: Any = None, *, reduce: str, value: Any = None) -> Expr:
    reduce = {"add": "sum", "multiply": "prod"}[reduce]
    src = value if src is None else src
    return _scattered(scattering.scatter_reduce, x, dim, index, _source(x, src), reduce)


@lowers("aten.scatter_reduce.two")
def scatter_reduce(x: Value, dim: int, index: Value, src: Expr, reduce: str, *, include_self: bool = True) -> Expr:
    options = {} if include_self else {"include_self": False}
    return _scattered(scattering.scatter_reduce, x, dim, index, src, reduce, **options)


@lowers("aten.index_reduce.default")
def index_reduce(x: Value, dim: int, index: Value, source: Value, reduce: str, *, include_self: bool = True) -> Expr:
    """Each row of source goes to one row of x: a scatter whose index is the same along the other axes."""
    options = {} if include_self else {"include_self": False}
    if x.ndim > 1:
        dim = positive(dim, x.ndim)
        spread = vector(index)[tuple(slice(None) if axis == dim else None for axis in range(x.ndim))]
        index = jnp.broadcast_to(spread, source.shape)
    return _scattered(scattering.scatter_reduce, x, dim, index, source, reduce, **options)


@lowers("aten.put.default")
def put(x: Value, index: Value, source: Value, accumulate: bool = False) -> Expr:
    where = x.ravel().at[index.ravel()]
    source = source.ravel()
    return (added(where, source, x.dtype) if accumulate else where.set(source)).reshape(x.shape)


@lowers("aten.nonzero_static.default")
def nonzero_static(x: Value, *, size: Any, fill_value: int = -1) -> Expr:
    if 0 in x.shape:  # JAX would fill with zeros
        return jnp.full((size, x.ndim), fill_value)
    return jnp.argwhere(x, size=size, fill_value=fill_value)
