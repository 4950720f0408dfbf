"""Ops that make one value of many along axes: sums, extremes, moments, norms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from op_table.axes import given, number, reduced
from op_table.dtypes import INT64, cast, inexact, is_complex, is_integer, written
from op_table.expr import Expr, Value, jax, jnp, prelude
from op_table.prelude import norms, order
from op_table.registry import Unsupported, lowers


def over(x: Expr, dim: Any, keepdim: bool = False) -> dict[str, Any]:
    """The keyword arguments of a reduction."""
    return given(axis=reduced(dim, x.ndim), keepdims=keepdim)


def widened(x: Expr, dtype: np.dtype | None) -> Expr:
    """x as sums and products take it: torch adds up integers as int64, where JAX keeps unsigned ones unsigned."""
    return cast(x, INT64) if dtype is None and x.dtype.kind == "u" else cast(x, dtype)


def kept(dtype: np.dtype | None) -> dict[str, Expr]:
    """The `dtype` argument of a sum or product: JAX would add up small integers as large ones."""
    return {"dtype": written(dtype)} if dtype is not None and is_integer(dtype) and dtype != INT64 else {}


def _total(function: Expr, of_bools: Expr):
    def rule(x: Expr, dim: Any = None, keepdim: bool = False, *, dtype: np.dtype | None = None) -> Expr:
        if dtype == np.bool_:
            return of_bools(x, **over(x, dim, keepdim))
        return function(widened(x, dtype), **over(x, dim, keepdim), **kept(dtype))

    return rule


lowers("aten.sum.default", "aten.sum.dim_IntList")(_total(jnp.sum, jnp.any))
lowers("aten.prod.default", "aten.prod.dim_int")(_total(jnp.prod, jnp.all))


@lowers("aten.nansum.default")
def nansum(x: Expr, dim: Any = None, keepdim: bool = False, *, dtype: np.dtype | None = None) -> Expr:
    return jnp.nansum(widened(x, dtype), **over(x, dim, keepdim), **kept(dtype))


@lowers("aten.mean.default")
def mean(x: Expr, *, dtype: np.dtype | None = None) -> Expr:
    return jnp.mean(cast(x, dtype))


@lowers("aten.mean.dim")
def mean_dim(x: Expr, dim: Any, keepdim: bool = False, *, dtype: np.dtype | None = None) -> Expr:
    return jnp.mean(cast(x, dtype), **over(x, dim, keepdim))


@lowers("aten.nanmean.default")
def nanmean(x: Expr, dim: Any = None, keepdim: bool = False, *, dtype: np.dtype | None = None) -> Expr:
    return jnp.nanmean(cast(x, dtype), **over(x, dim, keepdim))


@lowers("aten.max.default")
def max_all(x: Expr) -> Expr:
    return jnp.max(x)


@lowers("aten.min.default")
def min_all(x: Expr) -> Expr:
    return jnp.min(x)


@lowers("aten.amax.default")
def amax(x: Expr, dim: Any = (), keepdim: bool = False) -> Expr:
    return jnp.max(x, **over(x, list(dim), keepdim))


@lowers("aten.amin.default")
def amin(x: Expr, dim: Any = (), keepdim: bool = False) -> Expr:
    return jnp.min(x, **over(x, list(dim), keepdim))


@lowers("aten.aminmax.default")
def aminmax(x: Expr, *, dim: int | None = None, keepdim: bool = False) -> tuple:
    return jnp.min(x, **over(x, dim, keepdim)), jnp.max(x, **over(x, dim, keepdim))


@lowers("aten.max.dim")
def max_dim(x: Expr, dim: int, keepdim: bool = False) -> tuple:
    return jnp.max(x, **over(x, dim, keepdim)), argmax(x, dim, keepdim)


@lowers("aten.min.dim")
def min_dim(x: Expr, dim: int, keepdim: bool = False) -> tuple:
    return jnp.min(x, **over(x, dim, keepdim)), argmin(x, dim, keepdim)


@lowers("aten.argmax.default")
def argmax(x: Expr, dim: int | None = None, keepdim: bool = False) -> Expr:
    return jnp.argmax(x, **over(x, dim, keepdim))


@lowers("aten.argmin.default")
def argmin(x: Expr, dim: int | None = None, keepdim: bool = False) -> Expr:
    return jnp.argmin(x, **over(x, dim, keepdim))


def _truth(function: Expr):
    def rule(x: Expr, dim: Any = None, keepdim: bool = False) -> Expr:
        # Of complex numbers JAX looks at the real part alone.
        result = function(x != 0 if is_complex(x.dtype) else x, **over(x, dim, keepdim))
        # torch keeps uint8, which was once its bool.
        return cast(result, x.dtype) if x.dtype == np.uint8 else result

    return rule


for _name, _function in {"any": jnp.any, "all": jnp.all}.items():
    lowers(f"aten.{_name}.default", f"aten.{_name}.dim", f"aten.{_name}.dims")(_truth(_function))


@lowers("aten.count_nonzero.default", "aten.count_nonzero.dim_IntList")
def count_nonzero(x: Expr, dim: Any = None) -> Expr:
    return jnp.count_nonzero(x, **over(x, dim))


def moment(function: Expr, x: Expr, dim: Any, correction: Any, keepdim: bool) -> Expr:
    """A variance or standard deviation: torch divides by n - 1 unless told otherwise."""
    correction = 1 if correction is None else correction
    if isinstance(correction, float) and correction.is_integer():
        correction = int(correction)
    return function(x, **given(ddof=correction or None), **over(x, dim, keepdim))


def _moments(name: str, function: Expr) -> None:
    """Registers a moment, and the moment with the mean, under torch's three ways to say the correction."""

    def everything(x: Expr, unbiased: bool = True) -> Expr:
        return moment(function, x, None, int(unbiased), False)

    def along(x: Expr, dim: Any, unbiased: bool = True, keepdim: bool = False) -> Expr:
        return moment(function, x, dim, int(unbiased), keepdim)

    def corrected(x: Expr, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Expr:
        return moment(function, x, dim, correction, keepdim)

    def everything_mean(x: Expr, unbiased: bool = True) -> tuple:
        return everything(x, unbiased), jnp.mean(x)

    def along_mean(x: Expr, dim: Any, unbiased: bool = True, keepdim: bool = False) -> tuple:
        return along(x, dim, unbiased, keepdim), jnp.mean(x, **over(x, dim, keepdim))

    def corrected_mean(x: Expr, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> tuple:
        return corrected(x, dim, correction=correction, keepdim=keepdim), jnp.mean(x, **over(x, dim, keepdim))

    lowers(f"aten.{name}.default")(everything)
    lowers(f"aten.{name}.dim")(along)
    lowers(f"aten.{name}.correction")(corrected)
    lowers(f"aten.{name}_mean.default")(everything_mean)
    lowers(f"aten.{name}_mean.dim")(along_mean)
    lowers(f"aten.{name}_mean.correction")(corrected_mean)


_moments("var", jnp.var)
_moments("std", jnp.std)


@lowers("aten.norm.Scalar")
def norm(x: Expr, p: Any = 2) -> Expr:
    return vector_norm(x, p)


@lowers("aten.norm.ScalarOpt_dim")
def norm_dim(x: Expr, p: Any, dim: Any, keepdim: bool = False) -> Expr:
    return vector_norm(x, 2 if p is None else p, dim, keepdim)


@lowers("aten.norm.ScalarOpt_dim_dtype", "aten.norm.ScalarOpt_dtype")
def norm_dtype(x: Expr, p: Any, dim: Any = None, keepdim: bool = False, *, dtype: np.dtype | None = None) -> Expr:
    return vector_norm(x, 2 if p is None else p, dim, keepdim, dtype=dtype)


@lowers("aten.frobenius_norm.dim")
def frobenius_norm(x: Expr, dim: Any, keepdim: bool = False) -> Expr:
    return vector_norm(x, 2, dim, keepdim)


@lowers("aten.linalg_vector_norm.default")
def vector_norm(
    x: Expr, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: np.dtype | None = None
) -> Expr:
    """The norm of the elements along axes, which are one vector, however many axes there are."""
    options = {} if ord == 2 else {"ord": norm_order(ord, x.dtype)}
    return prelude(norms.vector_norm)(cast(x, dtype), **options, **over(x, dim, keepdim))


def norm_order(ord: Any, dtype: np.dtype) -> Any:
    """The order of a norm as it is written: a whole number without its point."""
    whole = isinstance(ord, float) and math.isfinite(ord) and ord.is_integer()
    return int(ord) if whole else number(ord, dtype)


@lowers("aten.dist.default")
def dist(x: Expr, other: Expr, p: Any = 2) -> Expr:
    return vector_norm(x - other, p)


@lowers("aten.logsumexp.default", "aten.special_logsumexp.default")
def logsumexp(x: Expr, dim: Any, keepdim: bool = False) -> Expr:
    return jax.nn.logsumexp(inexact(x), **over(x, dim, keepdim))


def _whole_median(x: Value, **options: Any) -> Expr:
    """Of all elements. Of none it is NaN, where the dtype has one: JAX would take what is not there as 0."""
    if 0 not in x.hint:
        return prelude(order.median)(x.ravel(), 0, **options)[0]
    if is_integer(x.dtype):
        raise Unsupported("the median of no integers, which torch casts from NaN")
    return jnp.asarray(jnp.nan, dtype=written(x.dtype))


@lowers("aten.median.default")
def median(x: Value) -> Expr:
    return _whole_median(x)


@lowers("aten.median.dim")
def median_dim(x: Expr, dim: int, keepdim: bool = False) -> Expr:
    return prelude(order.median)(x, dim, **given(keepdims=keepdim))


@lowers("aten.nanmedian.default")
def nanmedian(x: Value) -> Expr:
    return _whole_median(x, ignore_nan=True)


@lowers("aten.nanmedian.dim")
def nanmedian_dim(x: Expr, dim: int, keepdim: bool = False) -> Expr:
    return prelude(order.median)(x, dim, ignore_nan=True, **given(keepdims=keepdim))


@lowers("aten.mode.default")
def mode(x: Expr, dim: int = -1, keepdim: bool = False) -> Expr:
    return prelude(order.mode)(x, dim, **given(keepdims=keepdim))


def _quantile(function: Expr):
    def rule(x: Expr, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Expr:
        method = {} if interpolation == "linear" else {"method": interpolation}
        if interpolation == "nearest":
            raise Unsupported("quantile with interpolation='nearest': JAX rounds ties another way")
        return function(x, q, **over(x, dim, keepdim and x.ndim > 0), **method)

    return rule


for _name, _function in {"quantile": jnp.quantile, "nanquantile": jnp.nanquantile}.items():
    lowers(f"aten.{_name}.default", f"aten.{_name}.scalar")(_quantile(_function))
