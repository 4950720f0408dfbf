"""Ops that run along an axis and keep every partial result, and differences of neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_table.axes import given, positive
from op_table.dtypes import cast, inexact, is_complex, is_integer
from op_table.expr import Expr, jnp, lax, prelude
from op_table.prelude import branches, order
from op_table.registry import lowers


def _partial(function: Expr):
    def rule(x: Expr, dim: int, *, dtype: np.dtype | None = None) -> Expr:
        # torch runs over integers as int64, where JAX keeps their type.
        narrow = dtype is None and is_integer(x.dtype)
        x = cast(x, np.dtype("int64") if narrow else dtype)
        return function(x[None], axis=0)[0] if x.ndim == 0 else function(x, axis=dim)

    return rule


lowers("aten.cumsum.default")(_partial(jnp.cumsum))
lowers("aten.cumprod.default")(_partial(jnp.cumprod))


@lowers("aten.logcumsumexp.default")
def logcumsumexp(x: Expr, dim: int) -> Expr:
    if x.ndim == 0:
        return inexact(x)
    axis = positive(dim, x.ndim)
    # Not lax.cumlogsumexp: on a CPU, XLA takes 20 times as long for it.
    add = prelude(branches.complex_logaddexp) if is_complex(x.dtype) else jnp.logaddexp
    return lax.associative_scan(add, inexact(x), axis=axis)


@lowers("aten.cummax.default")
def cummax(x: Expr, dim: int) -> Expr:
    return prelude(order.cumulative_max)(x, positive(dim, x.ndim))


@lowers("aten.cummin.default")
def cummin(x: Expr, dim: int) -> Expr:
    return prelude(order.cumulative_min)(x, positive(dim, x.ndim))


@lowers("aten.diff.default")
def diff(x: Expr, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Expr:
    options = {"n": n if n != 1 else None, "axis": dim if dim != -1 else None}
    return jnp.diff(x, **given(**options, prepend=prepend, append=append))
