"""Ops that read or write an array at places which other arrays name."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_table.axes import at, number, positive
from op_table.dtypes import cast, is_array, is_integer
from op_table.expr import Expr, Value, jnp, prelude
from op_table.prelude import scatter as scattering
from op_table.prelude.select import masked_put
from op_table.registry import Unsupported, lowers

# Ops whose output has as many elements as a condition has hits, which jax.jit cannot trace.
VALUE_DEPENDENT = (
    "argwhere.default",
    "bincount.default",
    "masked_select.default",
    "nonzero.default",
    "nonzero_numpy.default",
    "unique_consecutive.default",
    "unique_dim.default",
    "_unique.default",
    "_unique2.default",
    "repeat_interleave.Tensor",
)


def _value_dependent(*args: Any, **kwargs: Any) -> Expr:
    raise Unsupported("the shape of its output depends on values, which jax.jit cannot trace")


for _name in VALUE_DEPENDENT:
    lowers(f"aten.{_name}")(_value_dependent)


@lowers("aten.as_strided.default", "aten.as_strided_scatter.default", "aten.as_strided_copy.default")
def as_strided(*args: Any, **kwargs: Any) -> Expr:
    raise Unsupported("as_strided reads the memory under a tensor, which a JAX array does not show")


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
    if any(_is_mask(part) for part in indices):
        raise Unsupported("indexing with a mask gives as many rows as it holds: the shape depends on values")
    if all(part is None for part in indices):
        return x
    return x[subscript(indices)]


@lowers("aten.index_put.default", "aten._unsafe_index_put.default", "aten._index_put_impl.default")
def index_put(x: Value, indices: list, values: Value, accumulate: bool = False, unsafe: bool = False) -> Expr:
    values_ = cast(values, x.dtype)
    if any(_is_mask(part) for part in indices):
        return _put_masked(x, indices, values, values_, accumulate)
    where = x.at[subscript(indices)]
    return where.add(values_) if accumulate else where.set(values_)


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
    return jnp.where(wide, x + cast_values if accumulate else cast_values, x)


@lowers("aten.index_select.default")
def index_select(x: Value, dim: int, index: Value) -> Expr:
    if x.ndim == 0:
        return x
    return at(x, dim, index if index.ndim else index[None])


@lowers("aten.index_add.default")
def index_add(x: Value, dim: int, index: Expr, source: Expr, *, alpha=1) -> Expr:
    return at(x.at, dim, index, x.ndim).add(source if alpha == 1 else alpha * source)


@lowers("aten.index_copy.default")
def index_copy(x: Value, dim: int, index: Expr, source: Expr) -> Expr:
    return at(x.at, dim, index, x.ndim).set(source)


@lowers("aten.index_fill.int_Scalar", "aten.index_fill.int_Tensor")
def index_fill(x: Value, dim: int, index: Expr, value: Any) -> Expr:
    if is_array(value):
        value = cast(value, x.dtype)
    elif is_integer(x.dtype) or x.dtype == bool:
        value = x.dtype.type(value).item()
    return at(x.at, dim, index, x.ndim).set(number(value, x.dtype))


@lowers("aten.take.default")
def take(x: Value, index: Expr) -> Expr:
    return x.ravel()[index]


@lowers("aten.gather.default")
def gather(x: Value, dim: int, index: Value, *, sparse_grad: bool = False) -> Expr:
    """Along the other axes index may be shorter than x, and reads from the start."""
    if x.ndim == 0 or index.ndim == 0:
        raise Unsupported("gather of or at a 0-d tensor")
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
    src = value if src is None else src
    return prelude(scattering.scatter)(x, positive(dim, x.ndim), index, _source(x, src))


@lowers("aten.scatter_add.default")
def scatter_add(x: Value, dim: int, index: Value, src: Expr) -> Expr:
    return prelude(scattering.scatter_add)(x, positive(dim, x.ndim), index, src)


@lowers("aten.scatter.reduce", "aten.scatter.value_reduce")
def scatter_with(x: Value, dim: int, index: Value, src: Any = None, *, reduce: str, value: Any = None) -> Expr:
    reduce = {"add": "sum", "multiply": "prod"}[reduce]
    src = value if src is None else src
    return prelude(scattering.scatter_reduce)(x, positive(dim, x.ndim), index, _source(x, src), reduce)


@lowers("aten.scatter_reduce.two")
def scatter_reduce(x: Value, dim: int, index: Value, src: Expr, reduce: str, *, include_self: bool = True) -> Expr:
    options = {} if include_self else {"include_self": False}
    return prelude(scattering.scatter_reduce)(x, positive(dim, x.ndim), index, src, reduce, **options)


@lowers("aten.index_reduce.default")
def index_reduce(x: Value, dim: int, index: Value, source: Value, reduce: str, *, include_self: bool = True) -> Expr:
    """Each row of source goes to one row of x: a scatter whose index is the same along the other axes."""
    if x.ndim == 0:
        raise Unsupported("index_reduce of a 0-d tensor")
    dim = positive(dim, x.ndim)
    spread = index[tuple(slice(None) if axis == dim else None for axis in range(x.ndim))]
    options = {} if include_self else {"include_self": False}
    index = jnp.broadcast_to(spread, source.shape)
    return prelude(scattering.scatter_reduce)(x, dim, index, source, reduce, **options)


@lowers("aten.put.default")
def put(x: Value, index: Value, source: Value, accumulate: bool = False) -> Expr:
    where = x.ravel().at[index.ravel()]
    source = source.ravel()
    return (where.add(source) if accumulate else where.set(source)).reshape(x.shape)


@lowers("aten.nonzero_static.default")
def nonzero_static(x: Value, *, size: Any, fill_value: int = -1) -> Expr:
    return jnp.argwhere(x, size=size, fill_value=fill_value)
