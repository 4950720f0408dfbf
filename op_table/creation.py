"""Arrays made from nothing but sizes and numbers, or in the likeness of another array."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from op_table.axes import number, same_shape
from op_table.dtypes import (
    DEFAULT_FLOAT,
    INT64,
    cast,
    is_array,
    is_complex,
    is_float,
    is_integer,
    result_type,
    to_torch,
    written,
)
from op_table.expr import Expr, Size, Value, canonical, jnp
from op_table.registry import Unsupported, lowers

# With more numbers than these the emitted source would no longer read well.
MOST_WRITTEN = 128


def dtype_given(dtype: np.dtype, default: np.dtype = DEFAULT_FLOAT) -> dict[str, Expr]:
    """The `dtype` argument of a JAX function, left out where it is what JAX makes anyway: of floats the widest that it has."""
    if default == DEFAULT_FLOAT:
        default = canonical(np.dtype("float64"))
    return {} if dtype == default else {"dtype": written(dtype)}


def shape_given(size: list) -> Any:
    """A shape as JAX's functions take it: a number for one axis."""
    return size[0] if len(size) == 1 else tuple(size)


def plain(value: Any, dtype: np.dtype) -> Any:
    """A Python number as torch stores it in an array of dtype: True as 1.0, 2.5 as 2."""
    if not isinstance(value, (bool, int, float)):
        return value
    if dtype.kind == "b":
        return bool(value)
    if is_integer(dtype):
        return number(int(value), dtype)
    return number(float(value) if isinstance(value, bool) else value, dtype)


def is_unit(value: Any) -> bool:
    """Whether a number is 0 or 1, which jnp.zeros and jnp.ones write. -0.0 is neither."""
    return isinstance(value, (bool, int, float)) and value in (0, 1) and math.copysign(1, value) > 0


def filled(size: list, value: Any, dtype: np.dtype) -> Expr:
    """An array of one number: jnp.zeros or jnp.ones where it is 0 or 1."""
    value = plain(value, dtype)
    if is_unit(value):
        return (jnp.ones if value else jnp.zeros)(shape_given(size), **dtype_given(dtype))
    if not size:
        return jnp.asarray(value, dtype=written(dtype))
    return jnp.full(shape_given(size), value, dtype=written(dtype))


def filled_like(x: Value, value: Any, dtype: np.dtype | None) -> Expr:
    dtype = x.dtype if dtype is None else dtype
    value = plain(value, dtype)
    other = {} if dtype == x.dtype else {"dtype": written(dtype)}
    if is_unit(value):
        return (jnp.ones_like if value else jnp.zeros_like)(x, **other)
    return jnp.full_like(x, value, **other)


@lowers("aten.zeros.default", "aten.empty.memory_format")
def zeros(size: list, *, dtype: np.dtype | None = None) -> Expr:
    """What torch leaves undefined in an empty tensor is 0."""
    return filled(size, 0, dtype or DEFAULT_FLOAT)


@lowers("aten.ones.default")
def ones(size: list, *, dtype: np.dtype | None = None) -> Expr:
    return filled(size, 1, dtype or DEFAULT_FLOAT)


@lowers("aten.full.default")
def full(size: list, fill_value: Any, *, dtype: np.dtype | None = None) -> Expr:
    return filled(size, fill_value, dtype or result_type(fill_value))


@lowers("aten.scalar_tensor.default")
def scalar_tensor(s: Any, *, dtype: np.dtype | None = None) -> Expr:
    return filled([], s, dtype or DEFAULT_FLOAT)


@lowers("aten.empty_strided.default", "aten.empty_permuted.default")
def empty_strided(size: list, stride: list, *, dtype: np.dtype | None = None) -> Expr:
    return zeros(size, dtype=dtype)


@lowers("aten.new_zeros.default", "aten.new_empty.default")
def new_zeros(x: Value, size: list, *, dtype: np.dtype | None = None) -> Expr:
    return filled(size, 0, dtype or x.dtype)


@lowers("aten.new_empty_strided.default")
def new_empty_strided(x: Value, size: list, stride: list, *, dtype: np.dtype | None = None) -> Expr:
    return filled(size, 0, dtype or x.dtype)


@lowers("aten.new_ones.default")
def new_ones(x: Value, size: list, *, dtype: np.dtype | None = None) -> Expr:
    return filled(size, 1, dtype or x.dtype)


@lowers("aten.new_full.default")
def new_full(x: Value, size: list, fill_value: Any, *, dtype: np.dtype | None = None) -> Expr:
    return filled(size, fill_value, dtype or x.dtype)


@lowers("aten.zeros_like.default", "aten.empty_like.default", "aten.zero.default")
def zeros_like(x: Value, *, dtype: np.dtype | None = None) -> Expr:
    return filled_like(x, 0, dtype)


@lowers("aten.ones_like.default")
def ones_like(x: Value, *, dtype: np.dtype | None = None) -> Expr:
    return filled_like(x, 1, dtype)


@lowers("aten.full_like.default")
def full_like(x: Value, fill_value: Any, *, dtype: np.dtype | None = None) -> Expr:
    return filled_like(x, fill_value, dtype)


@lowers("aten.fill.Scalar", "aten.fill.Tensor")
def fill(x: Value, value: Any) -> Expr:
    return filled_like(x, value, None)


@lowers("aten.copy.default")
def copy(x: Value, src: Value, non_blocking: bool = False) -> Expr:
    """The functional form of `x.copy_(src)`: src as x would hold it."""
    return cast(src if same_shape(x, src) else jnp.broadcast_to(src, x.shape), x.dtype)


@lowers("aten.arange.default")
def arange(end: Any, *, dtype: np.dtype | None = None) -> Expr:
    return arange_step(0, end, dtype=dtype)


@lowers("aten.arange.start", "aten.arange.start_step")
def arange_step(start: Any, end: Any, step: Any = 1, *, dtype: np.dtype | None = None) -> Expr:
    """torch counts the elements before it rounds the ends to the dtype."""
    start, end, step = (int(v) if isinstance(v, bool) else v for v in (start, end, step))
    fractions = any(isinstance(v, float) for v in (start, end, step))
    dtype = dtype or (DEFAULT_FLOAT if fractions else INT64)
    if not is_float(dtype) and fractions:
        if not all(isinstance(v, Size) or v == int(v) for v in (start, end, step)):
            if dtype != INT64 or any(isinstance(v, Size) for v in (start, end, step)):
                raise Unsupported("arange of small integers between fractions, which torch counts before it truncates")
        start, end, step = (int(v) if isinstance(v, float) else v for v in (start, end, step))
    bounds: tuple = (start, end, step)
    if step == 1:
        bounds = (end,) if is_zero(start) else (start, end)
    own = DEFAULT_FLOAT if any(isinstance(v, float) for v in bounds) else INT64
    if is_float(dtype) and dtype.itemsize < 4:
        # Sums in a narrow dtype would drift, where torch rounds each element once.
        return cast(jnp.arange(*bounds), dtype)
    return jnp.arange(*bounds, **dtype_given(dtype, own))


def is_zero(value: Any) -> bool:
    """Whether a number is 0 for every input."""
    return not isinstance(value, Size) and value == 0


@lowers(
    "aten.linspace.default", "aten.linspace.Tensor_Tensor", "aten.linspace.Tensor_Scalar", "aten.linspace.Scalar_Tensor"
)
def linspace(start: Any, end: Any, steps: int, *, dtype: np.dtype | None = None) -> Expr:
    return _spaced(jnp.linspace, start, end, steps, {}, dtype, torch.linspace)


@lowers(
    "aten.logspace.default", "aten.logspace.Tensor_Tensor", "aten.logspace.Tensor_Scalar", "aten.logspace.Scalar_Tensor"
)
def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: np.dtype | None = None) -> Expr:
    return _spaced(jnp.logspace, start, end, steps, {} if base == 10.0 else {"base": base}, dtype, torch.logspace)


def _spaced(
    function: Expr, start: Any, end: Any, steps: int, options: dict, dtype: np.dtype | None, torch_function: Callable
) -> Expr:
    """torch cuts inexact steps to integers, and where it does depends on the width of its vector unit: of integers the numbers
    themselves are written, as torch gives them.
    """
    dtype = dtype or DEFAULT_FLOAT
    if not (is_float(dtype) or is_complex(dtype)):
        if any(is_array(v) or isinstance(v, Size) for v in (start, end, steps)) or steps > MOST_WRITTEN:
            raise Unsupported("evenly spaced integers that depend on values, or many of them")
        numbers = torch_function(start, end, steps, **options, dtype=to_torch(dtype)).tolist()
        return jnp.array(numbers, dtype=written(dtype))
    wide = DEFAULT_FLOAT if dtype.itemsize < 4 else dtype
    start, end = (cast(v, wide) if is_array(v) else v for v in (start, end))
    return cast(function(start, end, steps, **options, **dtype_given(wide)), dtype)


@lowers("aten.eye.default")
def eye(n: Any, *, dtype: np.dtype | None = None) -> Expr:
    return jnp.eye(n, **dtype_given(dtype or DEFAULT_FLOAT))


@lowers("aten.eye.m")
def eye_m(n: Any, m: Any, *, dtype: np.dtype | None = None) -> Expr:
    return eye(n, dtype=dtype) if n == m else jnp.eye(n, m, **dtype_given(dtype or DEFAULT_FLOAT))


@lowers("aten.tril_indices.default")
def tril_indices(row: Any, col: Any, offset: int = 0, *, dtype: np.dtype | None = None) -> Expr:
    return _triangle(jnp.tril_indices, row, col, offset, dtype)


@lowers("aten.triu_indices.default")
def triu_indices(row: Any, col: Any, offset: int = 0, *, dtype: np.dtype | None = None) -> Expr:
    return _triangle(jnp.triu_indices, row, col, offset, dtype)


def _triangle(function: Expr, row: Any, col: Any, offset: int, dtype: np.dtype | None) -> Expr:
    options = {name: value for name, value, default in (("k", offset, 0), ("m", col, row)) if value != default}
    return cast(jnp.stack(function(row, **options)), dtype)


@lowers("aten.vander.default")
def vander(x: Value, N: int | None = None, increasing: bool = False) -> Expr:
    options = {"N": N} if N is not None else {}
    return jnp.vander(x, **options, **({"increasing": True} if increasing else {}))


# Window functions. A periodic one, torch's default, is the symmetric one of a point more without its last.
WINDOWS = {"bartlett": jnp.bartlett, "hann": jnp.hanning, "hamming": jnp.hamming, "blackman": jnp.blackman}


def _window(function: Expr, *parameters: float):
    def rule(window_length: int, periodic: bool = True, *, dtype: np.dtype | None = None) -> Expr:
        dtype = dtype or DEFAULT_FLOAT
        if window_length == 1:
            return filled([1], 1, dtype)
        if not periodic or window_length == 0:
            return cast(function(window_length, *parameters), dtype)
        return cast(function(window_length + 1, *parameters)[:-1], dtype)

    return rule


for _name, _function in WINDOWS.items():
    lowers(f"aten.{_name}_window.default", f"aten.{_name}_window.periodic")(_window(_function))


@lowers("aten.kaiser_window.default", "aten.kaiser_window.periodic", "aten.kaiser_window.beta")
def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: np.dtype | None = None
) -> Expr:
    return _window(jnp.kaiser, beta)(window_length, periodic, dtype=dtype)


@lowers("aten.hamming_window.periodic_alpha", "aten.hamming_window.periodic_alpha_beta")
def hamming_window(
    window_length: int, periodic: bool, alpha: float, beta: float = 0.46, *, dtype: np.dtype | None = None
) -> Expr:
    dtype = dtype or DEFAULT_FLOAT
    if window_length == 1:
        return filled([1], 1, dtype)
    period = window_length if periodic else window_length - 1
    # Of floats in the dtype: a sum of Python numbers and integers alone would be weakly typed.
    angle = 2 * jnp.pi * jnp.arange(window_length, dtype=written(dtype)) / period
    return alpha - beta * jnp.cos(angle)
