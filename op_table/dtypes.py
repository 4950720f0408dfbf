"""torch dtypes and numpy's (which JAX shares), and how a dtype is written in emitted code."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy
import ml_dtypes
import numpy as np
import torch

from op_table.expr import Attribute, Expr, Name, Size, canonical, hint, jnp

_NUMPY = {
    torch.bfloat16: np.dtype(ml_dtypes.bfloat16),
    torch.float8_e4m3fn: np.dtype(ml_dtypes.float8_e4m3fn),
    torch.float8_e5m2: np.dtype(ml_dtypes.float8_e5m2),
    **{
        getattr(torch, name): np.dtype(name)
        for name in (
            "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 float32 float64 complex64 complex128"
        ).split()
    },
}
_TORCH = {array: tensor for tensor, array in _NUMPY.items()}


def to_numpy(dtype: torch.dtype) -> np.dtype:
    """numpy's name of a torch dtype. Raises TypeError for one that JAX does not have (quantized types)."""
    try:
        return _NUMPY[dtype]
    except KeyError:
        raise TypeError(f"JAX has no dtype like {dtype}") from None


def to_torch(dtype: np.dtype) -> torch.dtype:
    """torch's name of a numpy dtype."""
    return _TORCH[np.dtype(dtype)]


# torch's default wide types are written as the Python types: JAX reads them as 32-bit unless x64 is enabled, silently,
# where jnp.int64 would warn.
_WIDE = {"bool": "bool", "int64": "int", "float64": "float", "complex128": "complex"}


def written(dtype: np.dtype) -> Expr:
    """How emitted code names a dtype: `jnp.float32`, and `int` for torch's int64."""
    name = np.dtype(dtype).name
    return Name(_WIDE[name]) if name in _WIDE else Attribute(jnp, name)


def cast(x: Expr, dtype: np.dtype | None) -> Expr:
    """x as dtype; x itself where dtype is None or changes nothing (torch's int64 is JAX's int32 by default)."""
    same = {np.dtype(x.dtype).name, np.dtype(dtype or x.dtype).name}
    if len(same) == 1 or same == {"int32", "int64"} and not jax_64_bit():
        return x
    return x.astype(written(dtype))


def jax_64_bit() -> bool:
    """Whether JAX has 64-bit types at the moment."""
    return jax.config.read("jax_enable_x64")


def is_float(dtype: np.dtype) -> bool:
    return np.dtype(dtype).kind == "f" or np.dtype(dtype).name.startswith(("bfloat", "float8"))


def is_complex(dtype: np.dtype) -> bool:
    return np.dtype(dtype).kind == "c"


def is_integer(dtype: np.dtype) -> bool:
    """Whether a dtype is an integer type; bool is not one."""
    return np.dtype(dtype).kind in "iu"


def result_type(*operands: object) -> np.dtype:
    """torch's result dtype of an op on arrays, sizes and Python scalars.

    Arrays with axes decide; a 0-d array, and after it a scalar, only where it is of a higher category (bool < integer <
    float < complex). Source: https://pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc
    """
    groups: list[list[torch.dtype]] = [[], [], []]
    for x in operands:
        if isinstance(x, Expr) and not isinstance(x, Size):
            groups[0 if x.ndim else 1].append(to_torch(x.dtype))
        else:
            groups[2].append(_SCALARS[(float if x.real else int) if isinstance(x, Size) else type(x)])
    result = None
    for group in groups:
        for lower in group[:1] and [functools.reduce(torch.promote_types, group)]:
            result = lower if result is None else _combine(result, lower)
    return to_numpy(result)


DEFAULT_FLOAT = np.dtype("float32")
INT64 = np.dtype("int64")
INT = written(INT64)

_SCALARS = {bool: torch.bool, int: torch.int64, float: torch.get_default_dtype(), complex: torch.complex64}


def _combine(higher: torch.dtype, lower: torch.dtype) -> torch.dtype:
    if higher.is_complex or (higher.is_floating_point and not lower.is_complex):
        return higher
    if higher.is_floating_point:
        return higher.to_complex()
    if higher == torch.bool or lower.is_floating_point or lower.is_complex:
        return torch.promote_types(higher, lower)
    return higher


def promoted(*operands: object) -> tuple:
    """The operands as JAX must see them for torch's result dtype: arrays are cast where JAX's own promotion would differ.

    It differs, too, where only a Python scalar brings the result's dtype: JAX would leave the result weakly typed, to be
    overruled by the next operand.
    """
    dtype = canonical(result_type(*operands))
    arrays = [x for x in operands if is_array(x)]
    avals = [x.aval if is_array(x) else hint(x) for x in operands]
    strong = any(canonical(x.dtype) == dtype for x in arrays)
    if strong and canonical(jax.numpy.result_type(*avals)) == dtype:
        return operands
    return tuple(cast(x, result_type(*operands)) if is_array(x) else x for x in operands)


def promoted_to_real(*operands: object) -> tuple:
    """`promoted`, for an op of real numbers. torch casts integers to the default float dtype at once.

    Their common dtype may be too narrow for a 0-d array, which has no say in it: -3 is 253 among uint8.
    """
    together = promoted(*operands)
    if result_type(*operands).kind not in "biu" or all(a is b for a, b in zip(operands, together, strict=True)):
        return together
    return tuple(cast(x, DEFAULT_FLOAT) if is_array(x) else x for x in operands)


def is_array(x: object) -> bool:
    """Whether an argument of a rule is an array, not a Python number or a symbolic size."""
    return isinstance(x, Expr) and not isinstance(x, Size)


def inexact(x: Expr) -> Expr:
    """x as torch's functions of real numbers take it: integers and bools become the default float dtype."""
    return x if is_float(x.dtype) or is_complex(x.dtype) else cast(x, DEFAULT_FLOAT)


def in_float32(function: Callable, *operands: Expr) -> Expr:
    """function of operands in float32 where they are of half precision, rounded once at the end as torch does."""
    dtype = result_type(*operands)
    if dtype.itemsize > 2:
        return function(*operands)
    return cast(function(*(cast(x, DEFAULT_FLOAT) if is_array(x) else x for x in operands)), dtype)
