"""Ops that change an array's dtype, or read complex numbers as pairs of reals."""

from __future__ import annotations

import numpy as np

from op_table.axes import same_shape
from op_table.dtypes import cast, is_complex, is_float, is_integer, written
from op_table.expr import Expr, Value, canonical, jnp, lax
from op_table.registry import Unsupported, lowers


@lowers("aten.to.dtype", "aten.to.dtype_layout", "aten.to.device", "aten._to_copy.default")
def to(x: Expr, dtype: np.dtype | None = None) -> Expr:
    if dtype is None or dtype.kind == "b" or is_complex(dtype):
        return cast(x, dtype)
    x = x.real if is_complex(x.dtype) else x
    if is_float(x.dtype) and is_integer(dtype) and dtype.itemsize < 4:
        # What does not fit wraps around, as torch's does on a CPU, where JAX gives the nearest that fits.
        x = cast(x, np.dtype("int32"))
    return cast(x, dtype)


@lowers("aten.to.other", "aten.type_as.default")
def type_as(x: Expr, other: Expr) -> Expr:
    return to(x, other.dtype)


for _name, _dtype in {
    "Byte": "uint8",
    "Char": "int8",
    "Short": "int16",
    "Int": "int32",
    "Long": "int64",
    "Half": "float16",
    "Float": "float32",
    "Double": "float64",
}.items():
    lowers(f"aten._cast_{_name}.default")(lambda x, dtype=np.dtype(_dtype): to(x, dtype))


@lowers("aten.view.dtype")
def view_dtype(x: Expr, dtype: np.dtype) -> Expr:
    if canonical(dtype) != dtype or canonical(x.dtype) != x.dtype:
        raise Unsupported(f"the bits of {x.dtype} as {dtype}: without x64 JAX has no numbers of 64 bits")
    return x if dtype == x.dtype else x.view(written(dtype))


@lowers("aten.real.default")
def real(x: Expr) -> Expr:
    return x.real if is_complex(x.dtype) else x


@lowers("aten.imag.default")
def imag(x: Expr) -> Expr:
    return x.imag


@lowers("aten.conj.default", "aten._conj.default", "aten.conj_physical.default", "aten._conj_physical.default")
def conj(x: Expr) -> Expr:
    return x.conj() if is_complex(x.dtype) else x


@lowers("aten.view_as_real.default")
def view_as_real(x: Expr) -> Expr:
    return jnp.stack([x.real, x.imag], axis=-1)


@lowers("aten.view_as_complex.default")
def view_as_complex(x: Expr) -> Expr:
    return lax.complex(x[..., 0], x[..., 1])


@lowers("aten.complex.default")
def complex_(real: Value, imag: Value) -> Expr:
    if same_shape(real, imag):
        return lax.complex(real, imag)
    # real + 1j * imag would make NaN of an infinite imag.
    return lax.complex(real + jnp.zeros_like(imag), imag + jnp.zeros_like(real))


@lowers("aten.polar.default")
def polar(abs: Expr, angle: Expr) -> Expr:
    return lax.complex(abs * jnp.cos(angle), abs * jnp.sin(angle))
