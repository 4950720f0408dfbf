"""Powers, of numbers and of arrays."""

from __future__ import annotations

import numpy as np

from op_table.dtypes import cast, inexact, is_array, is_complex, is_float, promoted, result_type, written
from op_table.expr import Expr, jnp, lax, prelude
from op_table.prelude import integers
from op_table.registry import lowers


@lowers("aten.exp2.default", "aten.special_exp2.default")
def exp2(x: Expr) -> Expr:
    return 2.0 ** inexact(x)  # jnp.exp2 is exp of x * log(2), whose rounding grows with x


@lowers("aten.pow.Tensor_Scalar")
def pow_scalar(x: Expr, exponent) -> Expr:
    x, exponent = promoted(x, exponent)
    if is_float(x.dtype) or is_complex(x.dtype):
        if exponent in (0.5, -0.5) and not is_complex(x.dtype):
            return jnp.sqrt(x) if exponent > 0 else lax.rsqrt(x)
        if exponent in (1, -1):
            return x if exponent > 0 else 1 / x
        if isinstance(exponent, float) and exponent.is_integer():
            exponent = int(exponent)
    return x**exponent


@lowers("aten.pow.Tensor_Tensor", "aten.pow.Scalar")
def pow(x: Expr, exponent: Expr) -> Expr:
    x, exponent = promoted(x, exponent)
    dtype = result_type(x, exponent)
    if dtype.kind in "iu" and not is_array(x) and not exponent.shape:
        x = jnp.asarray(x, dtype=written(dtype))  # beside a number JAX takes a known exponent of no axes for another
    if dtype.kind in "iu" and is_array(exponent):
        return prelude(integers.power)(x, exponent)
    return x**exponent


@lowers("aten.float_power.Tensor_Tensor", "aten.float_power.Tensor_Scalar", "aten.float_power.Scalar")
def float_power(x: Expr, exponent: Expr) -> Expr:
    wide = np.dtype("complex128" if is_complex(result_type(x, exponent)) else "float64")
    return pow(*(cast(v, wide) if is_array(v) else v for v in (x, exponent)))
