"""Ops whose output has as many elements as its input's values say.

JAX runs them on arrays, but cannot trace them: a module that holds one works, and is not for jax.jit. The emitted file says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from op_table.axes import given, same_shape
from op_table.dtypes import INT, cast, is_float
from op_table.expr import Expr, Value, jnp, prelude
from op_table.prelude import order
from op_table.registry import lowers


@lowers("aten.nonzero.default", "aten.argwhere.default")
def nonzero(x: Value) -> Expr:
    if 0 in x.hint:
        return jnp.zeros((0, x.ndim), dtype=INT)
    return jnp.argwhere(x) if x.ndim else jnp.argwhere(x[None])[:, 1:]


@lowers("aten.nonzero_numpy.default")
def nonzero_numpy(x: Value) -> Any:
    if 0 in x.hint:
        return tuple(jnp.zeros(0, dtype=INT) for _ in x.shape)
    return jnp.nonzero(x) if x.ndim > 1 else (jnp.nonzero(x if x.ndim else x[None])[0],)


@lowers("aten.masked_select.default")
def masked_select(x: Value, mask: Value) -> Expr:
    if same_shape(x, mask):
        return x[mask] if x.ndim else x[None][mask[None]]
    shape = jnp.broadcast_shapes(x.shape, mask.shape)
    return jnp.broadcast_to(x, shape)[jnp.broadcast_to(mask, shape)]


def _distinct(x: Value, inverse: bool, counts: bool, **options: Any) -> Any:
    axis = options.get("axis")
    if axis is not None and x.hint[axis] == 0:
        return x, jnp.zeros(0, dtype=INT), jnp.zeros(0, dtype=INT)
    if is_float(x.dtype):
        options["equal_nan"] = False  # no NaN is another one in torch
    if inverse or counts:
        return jnp.unique(x, return_inverse=True, return_counts=True, **options)
    return jnp.unique(x, **options), jnp.zeros(0, dtype=INT), jnp.zeros(0, dtype=INT)


@lowers("aten._unique.default")
def unique(x: Value, sorted: bool = True, return_inverse: bool = False) -> Any:
    return _distinct(x, return_inverse, False)


@lowers("aten._unique2.default")
def unique2(x: Value, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False) -> Any:
    return _distinct(x, return_inverse, return_counts)


@lowers("aten.unique_dim.default")
def unique_dim(
    x: Value, dim: int, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> Any:
    return _distinct(x, return_inverse, return_counts, axis=dim)


@lowers("aten.unique_consecutive.default")
def unique_consecutive(
    x: Value, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    if 0 in x.hint:
        places = jnp.zeros(x.shape if dim is None else 0, dtype=INT)
        return (x.ravel() if dim is None else x), places, jnp.zeros(0, dtype=INT)
    return prelude(order.unique_consecutive)(x, **given(axis=dim))


@lowers("aten.bincount.default")
def bincount(x: Expr, weights: Expr | None = None, minlength: int = 0) -> Expr:
    if weights is not None and weights.dtype != np.float32:
        weights = cast(weights, np.dtype("float64"))
    return jnp.bincount(x, **given(weights=weights, minlength=minlength or None))


@lowers("aten.repeat_interleave.Tensor")
def repeat_interleave(repeats: Value, *, output_size: Any = None) -> Expr:
    return jnp.repeat(jnp.arange(repeats.shape[0]), repeats, **given(total_repeat_length=output_size))


@lowers("aten.combinations.default")
def combinations(x: Expr, r: int = 2, with_replacement: bool = False) -> Expr:
    """As many as there are of the length, which torch counts by selecting them."""
    return prelude(order.combinations)(x, r, **given(with_replacement=with_replacement))
