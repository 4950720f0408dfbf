"""Ops that order values, and that look values up in an order. NaN counts as the largest, in torch as in JAX."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_table.axes import at, given
from op_table.dtypes import INT, cast, is_float, promoted
from op_table.expr import Expr, canonical, jax, jnp, lax, prelude
from op_table.prelude import order
from op_table.registry import Unsupported, lowers


def _along(dim: int, ndim: int, descending: bool) -> dict[str, Any]:
    return given(axis=None if dim in (-1, ndim - 1) else dim, descending=descending)


@lowers("aten.sort.default")
def sort(x: Expr, dim: int = -1, descending: bool = False) -> tuple:
    if x.ndim == 0:
        return x, jnp.zeros_like(x, dtype=INT)
    options = _along(dim, x.ndim, descending)
    return jnp.sort(x, **options), jnp.argsort(x, **options)


@lowers("aten.sort.stable")
def sort_stable(x: Expr, *, stable: bool | None = None, dim: int = -1, descending: bool = False) -> tuple:
    return sort(x, dim, descending)


@lowers("aten.argsort.default")
def argsort(x: Expr, dim: int = -1, descending: bool = False) -> Expr:
    return sort(x, dim, descending)[1]


@lowers("aten.argsort.stable")
def argsort_stable(x: Expr, *, stable: bool, dim: int = -1, descending: bool = False) -> Expr:
    return sort(x, dim, descending)[1]


@lowers("aten.msort.default")
def msort(x: Expr) -> Expr:
    return jnp.sort(x, axis=0)


@lowers("aten.topk.default")
def topk(x: Expr, k: Any, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """Of equal values the first come first, where torch leaves it open."""
    if x.ndim == 0:
        return sort(x)
    if largest:
        narrow = canonical(np.dtype("int64")) == np.int32  # as wide as lax.top_k's places are
        top_k = lax.top_k if narrow and not is_float(x.dtype) else prelude(order.top_k)
        return top_k(x, k) if dim in (-1, x.ndim - 1) else top_k(x, k, axis=dim)
    return tuple(at(ordered, dim, slice(None, k)) for ordered in sort(x, dim))


@lowers("aten.kthvalue.default")
def kthvalue(x: Expr, k: Any, dim: int = -1, keepdim: bool = False) -> tuple:
    if x.ndim == 0:
        return sort(x)
    place = slice(k - 1, k) if keepdim else k - 1
    return tuple(at(ordered, dim, place) for ordered in sort(x, dim))


def _side(right: bool, side: str | None) -> dict[str, str]:
    return {"side": "right"} if right or side == "right" else {}


@lowers("aten.searchsorted.Tensor", "aten.searchsorted.Scalar")
def searchsorted(
    sorted_sequence: Expr,
    x: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Expr | None = None,
) -> Expr:
    options = _side(right, side)
    sorted_sequence, x = promoted(sorted_sequence, x)
    if sorter is not None:
        sorted_sequence = jnp.take_along_axis(sorted_sequence, sorter, axis=-1)
    if sorted_sequence.ndim == 1:
        return _places(jnp.searchsorted(sorted_sequence, x, **options), out_int32)
    return _places(prelude(order.searchsorted_rows)(sorted_sequence, x, **options), out_int32)


@lowers("aten.bucketize.Tensor", "aten.bucketize.Scalar")
def bucketize(x: Any, boundaries: Expr, *, out_int32: bool = False, right: bool = False) -> Expr:
    x, boundaries = promoted(x, boundaries)
    return _places(jnp.searchsorted(boundaries, x, **_side(right, None)), out_int32)


def _places(found: Expr, narrow: bool) -> Expr:
    """What jnp.searchsorted found, which is int32 in JAX's 64-bit mode, too."""
    return cast(found, np.dtype("int32" if narrow else "int64"))


@lowers("aten.one_hot.default")
def one_hot(x: Expr, num_classes: int = -1) -> Expr:
    if num_classes == -1:
        raise Unsupported("one_hot without num_classes has as many as the largest index: its shape depends on values")
    return jax.nn.one_hot(x, num_classes, dtype=INT)
