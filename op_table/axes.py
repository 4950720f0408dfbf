"""Axes, subscripts and keyword arguments as a JAX programmer writes them, from torch's `dim` arguments."""

from __future__ import annotations

import math
from typing import Any

import jax.dtypes
import numpy as np

from op_table.dtypes import INT64, is_array, is_float, written
from op_table.expr import Expr, Value, jnp

INT64_LIMITS = np.iinfo(INT64)


def positive(dim: int, ndim: int) -> int:
    """The axis counted from the front. A 0-d array has the axes 0 and -1 in torch."""
    return dim % max(ndim, 1)


def reduced(dim: Any, ndim: int) -> int | tuple[int, ...] | None:
    """The `axis` argument of a reduction: None for all axes, a number for one, a tuple for several.

    torch reduces over all axes where `dim` is None or empty.
    """
    if dim is None or dim == [] or ndim == 0:
        return None
    if isinstance(dim, int):
        return dim
    if len(dim) == 1:
        return dim[0]
    return None if len({positive(d, ndim) for d in dim}) == ndim else tuple(dim)


def given(**options: Any) -> dict[str, Any]:
    """Keyword arguments without those that are None or False, which are JAX's defaults."""
    return {name: value for name, value in options.items() if value is not None and value is not False}


def at(x: Expr, dim: int, index: Any, ndim: int | None = None) -> Expr:
    """x subscripted along one axis: `x[i]`, `x[:, i]`, `x[..., i]`, whichever is shortest.

    ndim: the number of axes, where x is no array itself (`array.at`).
    """
    ndim = x.ndim if ndim is None else ndim
    dim = positive(dim, ndim)
    after = ndim - 1 - dim
    if dim == 0:
        return x[index]
    full = slice(None)
    if dim >= 2 and after < dim:
        return x[(Ellipsis, index, *[full] * after)]
    return x[(*[full] * dim, index)]


def same_shape(a: Value, b: Value) -> bool:
    """Whether two arrays are known to have the same shape at all sizes."""
    return a.ndim == b.ndim and all(m == n for m, n in zip(a.shape, b.shape, strict=True))


def vector(x: Any) -> Any:
    """A 0-d array as the vector of one element as which torch indexes it; anything else as it is."""
    return x[None] if is_array(x) and x.ndim == 0 else x


def like(result: Expr, x: Expr) -> Expr:
    """What was computed of `vector(x)` in the shape of x."""
    return result if x.ndim else result[0]


def number(value: Any, dtype: np.dtype) -> Any:
    """A Python scalar as it is written beside arrays of dtype: by name where it is the dtype's limit or not finite."""
    if isinstance(value, float):
        if math.isinf(value):
            return jnp.inf if value > 0 else -jnp.inf
        if math.isnan(value):
            return jnp.nan
        if is_float(dtype):
            limits = jax.dtypes.finfo(dtype)
            for name in ("min", "max"):
                if value == float(getattr(limits, name)):
                    return getattr(jnp.finfo(written(dtype)), name)
    elif type(value) is int and value in (INT64_LIMITS.min, INT64_LIMITS.max):
        # It stands for what no integer is below (or above): of JAX's integers, 32 bits wide without x64, the limit.
        return getattr(jnp.iinfo(jnp.result_type(written(INT64))), "max" if value > 0 else "min")
    return value
