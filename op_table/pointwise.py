"""Elementwise arithmetic: one value in each place from the values in that place, with broadcasting and torch's promotion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from op_table.axes import number
from op_table.dtypes import (
    DEFAULT_FLOAT,
    cast,
    in_float32,
    inexact,
    is_array,
    is_complex,
    is_float,
    jax_64_bit,
    promoted,
    promoted_to_real,
    result_type,
)
from op_table.expr import Expr, jax, jnp, lax, prelude
from op_table.prelude import branches, gradients, quotients
from op_table.registry import lowers

special = jax.scipy.special

# Ops that are one JAX function of one array, of the name that is given or of the name they share.
UNARY = {
    "abs": jnp.abs,
    "angle": jnp.angle,
    "atan": jnp.arctan,
    "atanh": jnp.arctanh,
    "cos": jnp.cos,
    "cosh": jnp.cosh,
    "deg2rad": jnp.deg2rad,
    "erf": special.erf,
    "erfc": special.erfc,
    "erfinv": special.erfinv,
    "exp": jnp.exp,
    "expm1": jnp.expm1,
    "isfinite": jnp.isfinite,
    "isinf": jnp.isinf,
    "isnan": jnp.isnan,
    "isneginf": jnp.isneginf,
    "isposinf": jnp.isposinf,
    "isreal": jnp.isreal,
    "lgamma": special.gammaln,
    "log": jnp.log,
    "log10": jnp.log10,
    "log1p": jnp.log1p,
    "log2": jnp.log2,
    "rad2deg": jnp.rad2deg,
    "signbit": jnp.signbit,
    "sin": jnp.sin,
    "sinh": jnp.sinh,
    "special_entr": special.entr,
    "special_i0e": special.i0e,
    "special_i1": special.i1,
    "special_i1e": special.i1e,
    "square": jnp.square,
    "tan": jnp.tan,
    "tanh": jnp.tanh,
}

# torch's other names of the same functions.
ALIASES = {
    "absolute": "abs",
    "arctan": "atan",
    "arctanh": "atanh",
    "special_erf": "erf",
    "special_erfc": "erfc",
    "special_erfinv": "erfinv",
    "special_expm1": "expm1",
    "special_gammaln": "lgamma",
    "special_log1p": "log1p",
}

# Functions whose branch cuts JAX takes without the sign of a zero: of real numbers, and of complex ones.
BRANCHES = {
    "acos": (jnp.arccos, branches.complex_arccos),
    "acosh": (jnp.arccosh, branches.complex_arccosh),
    "arccos": (jnp.arccos, branches.complex_arccos),
    "arccosh": (jnp.arccosh, branches.complex_arccosh),
    "arcsin": (jnp.arcsin, branches.complex_arcsin),
    "arcsinh": (jnp.arcsinh, branches.complex_arcsinh),
    "asin": (jnp.arcsin, branches.complex_arcsin),
    "asinh": (jnp.arcsinh, branches.complex_arcsinh),
    "sqrt": (jnp.sqrt, branches.complex_sqrt),
}

# Ops of two arrays that are one JAX function, which broadcasts as torch does.
BINARY = {
    "fmax.default": jnp.fmax,
    "fmin.default": jnp.fmin,
    "fmod.Scalar": jnp.fmod,
    "fmod.Tensor": jnp.fmod,
    "gcd.default": jnp.gcd,
    "hypot.default": jnp.hypot,
    "lcm.default": jnp.lcm,
    "logaddexp2.default": jnp.logaddexp2,
    "max.other": jnp.maximum,
    "maximum.default": jnp.maximum,
    "min.other": jnp.minimum,
    "minimum.default": jnp.minimum,
    "igamma.default": special.gammainc,
    "igammac.default": special.gammaincc,
    "special_gammainc.default": special.gammainc,
    "special_gammaincc.default": special.gammaincc,
}

# Those that take integers as real numbers.
BINARY_REAL = {
    "arctan2.default": jnp.arctan2,
    "atan2.default": jnp.arctan2,
    "copysign.Scalar": jnp.copysign,
    "copysign.Tensor": jnp.copysign,
}


def _unary(function: Expr):
    def rule(x: Expr) -> Expr:
        y = function(x)
        # With 64-bit types JAX's functions of real numbers give float64 of integers.
        return function(inexact(x)) if y.dtype == np.float64 and x.dtype != np.float64 else y

    return rule


def _branched(real: Expr, complex: Callable):
    return lambda x: prelude(complex)(x) if is_complex(x.dtype) else _unary(real)(x)


def _binary(function: Expr, promoted: Callable = promoted):
    return lambda x, other: function(*promoted(x, other))


for _name, _function in UNARY.items():
    lowers(f"aten.{_name}" if "." in _name else f"aten.{_name}.default")(_unary(_function))
for _name, _target in ALIASES.items():
    lowers(f"aten.{_name}.default")(_unary(UNARY[_target]))
for _name, _functions in BRANCHES.items():
    lowers(f"aten.{_name}.default")(_branched(*_functions))
for _name, _function in BINARY.items():
    lowers(f"aten.{_name}")(_binary(_function))
for _name, _function in BINARY_REAL.items():
    lowers(f"aten.{_name}")(_binary(_function, promoted_to_real))


@lowers("aten.frexp.Tensor")
def frexp(x: Expr) -> Expr:
    return jnp.frexp(x)


@lowers("aten.i0.default", "aten.special_i0.default")
def i0(x: Expr) -> Expr:
    return prelude(gradients.i0)(inexact(x))


@lowers("aten.logaddexp.default")
def logaddexp(x: Expr, other: Expr) -> Expr:
    if is_complex(x.dtype):
        return prelude(branches.complex_logaddexp)(x, other)
    return prelude(gradients.logaddexp)(*promoted_to_real(x, other))


@lowers("aten.nextafter.default")
def nextafter(x: Expr, other: Expr) -> Expr:
    return prelude(gradients.nextafter)(*promoted(x, other))


@lowers("aten.neg.default", "aten.negative.default", "aten._neg_view.default")
def neg(x: Expr) -> Expr:
    return -x


@lowers("aten.rsqrt.default")
def rsqrt(x: Expr) -> Expr:
    return lax.rsqrt(inexact(x))


@lowers("aten.reciprocal.default")
def reciprocal(x: Expr) -> Expr:
    return 1 / inexact(x)


@lowers("aten.sign.default", "aten.sgn.default")
def sign(x: Expr) -> Expr:
    if x.dtype == bool:
        return x
    if is_complex(x.dtype):
        return prelude(branches.complex_sign)(x)
    # torch's sign of NaN is 0.
    return jnp.nan_to_num(jnp.sign(x)) if is_float(x.dtype) else jnp.sign(x)


# What rounds floats leaves integers as they are; JAX's functions would make them floats.
@lowers("aten.ceil.default")
def ceil(x: Expr) -> Expr:
    return jnp.ceil(x) if is_float(x.dtype) else x


@lowers("aten.floor.default")
def floor(x: Expr) -> Expr:
    return jnp.floor(x) if is_float(x.dtype) else x


@lowers("aten.trunc.default", "aten.fix.default")
def trunc(x: Expr) -> Expr:
    return jnp.trunc(x) if is_float(x.dtype) else x


@lowers("aten.frac.default")
def frac(x: Expr) -> Expr:
    return x - jnp.trunc(x)


@lowers("aten.round.default", "aten.round.decimals", "aten.special_round.default")
def round(x: Expr, *, decimals: int = 0) -> Expr:
    if not is_float(x.dtype):
        return x
    if not decimals:
        return jnp.round(x)
    # jnp.round(x, decimals) multiplies by an inexact 0.1, and so does XLA, where torch divides by 10.
    divide = prelude(quotients.exact_divide)
    if decimals < 0:
        return in_float32(lambda x: jnp.round(divide(x, 10**-decimals)) * 10**-decimals, x)
    return in_float32(lambda x: divide(jnp.round(x * 10**decimals), 10**decimals), x)


@lowers("aten.nan_to_num.default")
def nan_to_num(x: Expr, nan=None, posinf=None, neginf=None) -> Expr:
    if not is_float(x.dtype):
        return x
    options = {"nan": nan or None, "posinf": posinf, "neginf": neginf}
    return jnp.nan_to_num(x, **{k: number(v, x.dtype) for k, v in options.items() if v is not None})


@lowers("aten.logit.default", "aten.special_logit.default")
def logit(x: Expr, eps=None) -> Expr:
    return special.logit(x if eps is None else jnp.clip(x, eps, 1 - eps))


@lowers("aten.digamma.default", "aten.special_digamma.default", "aten.special_psi.default")
def digamma(x: Expr) -> Expr:
    return in_float32(prelude(gradients.digamma), inexact(x))


@lowers("aten.polygamma.default", "aten.special_polygamma.default")
def polygamma(n: int, x: Expr) -> Expr:
    if n == 0:
        return digamma(x)
    if n == 1:
        return in_float32(prelude(gradients.trigamma), inexact(x))
    return in_float32(lambda y: prelude(gradients.polygamma)(n, y), inexact(x))


@lowers("aten.special_zeta.default", "aten.special_zeta.self_scalar", "aten.special_zeta.other_scalar")
def zeta(s: Expr, q: Expr) -> Expr:
    return in_float32(prelude(gradients.zeta), *(inexact(x) if is_array(x) else x for x in promoted_to_real(s, q)))


def _rounded_once(function: Expr):
    return lambda x: in_float32(function, inexact(x))


lowers("aten.sinc.default", "aten.special_sinc.default")(_rounded_once(jnp.sinc))
for _name in ("log_ndtr", "ndtr", "ndtri"):
    lowers(f"aten.special_{_name}.default")(_rounded_once(getattr(special, _name)))


def scaled(x: Expr, factor: Any, *operands: Expr) -> Expr:
    """factor * x, in the dtype of an op on operands: x's own may be too narrow for it."""
    known = isinstance(factor, (bool, int, float))
    if known and (factor == 1 or factor and result_type(*operands).kind == "b"):
        return x
    return factor * (cast(x, result_type(*operands)) if is_array(x) else x)


@lowers("aten.add.Tensor", "aten.add.Scalar")
def add(x: Expr, other: Expr, alpha=1) -> Expr:
    x, other = promoted(x, other)
    return x + scaled(other, alpha, x, other)


@lowers("aten.sub.Tensor", "aten.sub.Scalar", "aten.subtract.Tensor", "aten.subtract.Scalar")
def sub(x: Expr, other: Expr, alpha=1) -> Expr:
    x, other = promoted(x, other)
    return x - scaled(other, alpha, x, other)


@lowers("aten.rsub.Tensor", "aten.rsub.Scalar")
def rsub(x: Expr, other: Expr, alpha=1) -> Expr:
    x, other = promoted(x, other)
    return other - scaled(x, alpha, x, other)


@lowers("aten.mul.Tensor", "aten.mul.Scalar", "aten.multiply.Tensor", "aten.multiply.Scalar")
def mul(x: Expr, other: Expr) -> Expr:
    x, other = promoted(x, other)
    return x * other


@lowers(
    "aten.div.Tensor",
    "aten.div.Scalar",
    "aten.divide.Tensor",
    "aten.divide.Scalar",
    "aten.true_divide.Tensor",
    "aten.true_divide.Scalar",
)
def div(x: Expr, other: Expr) -> Expr:
    x, other = _divided(x, other)
    return x / other


@lowers("translator.quotients.exact_divide")
def exact_divide(x: Expr, other: Expr) -> Expr:
    return prelude(quotients.exact_divide)(*_divided(x, other))


def _divided(x: Expr, other: Expr) -> tuple:
    x, other = promoted_to_real(x, other)
    if result_type(x, other).kind in "biu" and jax_64_bit():  # there JAX divides integers to float64
        return tuple(cast(v, DEFAULT_FLOAT) if is_array(v) else v for v in (x, other))
    return x, other


@lowers("aten.div.Tensor_mode", "aten.div.Scalar_mode", "aten.divide.Tensor_mode", "aten.divide.Scalar_mode")
def div_mode(x: Expr, other: Expr, *, rounding_mode: str | None) -> Expr:
    if rounding_mode is None:
        return div(x, other)
    if rounding_mode == "floor":
        return floor_divide(x, other)
    if _halves_by_a_number(x, other):
        return in_float32(lambda x, other: jnp.trunc(prelude(quotients.exact_divide)(x, other)), x, other)
    x, other = promoted(x, other)
    if is_float(result_type(x, other)):
        return jnp.trunc(x / other)
    return (x - jnp.fmod(x, other)) // other


@lowers("aten.floor_divide.default", "aten.floor_divide.Scalar")
def floor_divide(x: Expr, other: Expr) -> Expr:
    if _halves_by_a_number(x, other):
        return in_float32(lambda x, other: x // other, x, other)
    x, other = promoted(x, other)
    return x // other


def _halves_by_a_number(x: Expr, other: Expr) -> bool:
    """Whether an array of half precision is divided by what torch leaves as it is, and not by a half."""
    halves = is_array(x) and is_float(x.dtype) and x.dtype.itemsize == 2
    return halves and (not is_array(other) or other.ndim == 0 < x.ndim)


@lowers("aten.remainder.Tensor", "aten.remainder.Scalar", "aten.remainder.Scalar_Tensor")
def remainder(x: Expr, other: Expr) -> Expr:
    x, other = promoted(x, other)
    return x % other


@lowers("aten.ldexp.Tensor")
def ldexp(x: Expr, other: Expr) -> Expr:
    return inexact(x) * 2.0 ** inexact(other)


@lowers(
    "aten.xlogy.Tensor",
    "aten.xlogy.Scalar_Self",
    "aten.xlogy.Scalar_Other",
    "aten.special_xlogy.default",
    "aten.special_xlogy.self_scalar",
    "aten.special_xlogy.other_scalar",
)
def xlogy(x: Expr, other: Expr) -> Expr:
    x, other = _alike(*promoted_to_real(x, other))
    return jnp.where((x == 0) & ~jnp.isnan(other), 0, x * jnp.log(other))


@lowers("aten.special_xlog1py.default", "aten.special_xlog1py.self_scalar", "aten.special_xlog1py.other_scalar")
def xlog1py(x: Expr, other: Expr) -> Expr:
    x, other = _alike(*promoted_to_real(x, other))
    return jnp.where((x == 0) & ~jnp.isnan(other), 0, x * jnp.log1p(other))


@lowers("aten.heaviside.default")
def heaviside(x: Expr, values: Expr) -> Expr:
    return jnp.where(x == 0, values, cast(x > 0, x.dtype))


@lowers("aten.lerp.Scalar", "aten.lerp.Tensor")
def lerp(x: Expr, end: Expr, weight) -> Expr:
    """From the nearer end, as torch does: an infinite end is then the result where it should be."""
    if isinstance(weight, Expr):
        rest = end - (1 - weight) * (end - x)
        return jnp.where(jnp.abs(weight) < 0.5, x + weight * (end - x), rest)
    if abs(weight) < 0.5:
        return x + weight * (end - x)
    return end - (float(f"{1 - weight:.15g}") if isinstance(weight, float) else 1 - weight) * (end - x)


def _alike(*arrays: Expr) -> list[Expr]:
    """The arrays in the dtype that all of them have together, in which torch computes what comes between."""
    return [cast(x, result_type(*arrays)) if is_array(x) else x for x in arrays]


@lowers("aten.addcmul.default")
def addcmul(x: Expr, tensor1: Expr, tensor2: Expr, *, value=1) -> Expr:
    x, tensor1, tensor2 = _alike(x, tensor1, tensor2)
    return x + (tensor1 * tensor2 if value == 1 else value * tensor1 * tensor2)


@lowers("aten.addcdiv.default")
def addcdiv(x: Expr, tensor1: Expr, tensor2: Expr, *, value=1) -> Expr:
    x, tensor1, tensor2 = _alike(x, tensor1, tensor2)
    return x + (tensor1 / tensor2 if value == 1 else value * tensor1 / tensor2)
