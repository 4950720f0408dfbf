"""Comparisons, logic on bools and bits, and what picks one value or another: where, clamp, masked_fill."""

from __future__ import annotations

import operator

import numpy as np

from op_table.axes import given, number
from op_table.dtypes import cast, is_array, is_integer, promoted, result_type, written
from op_table.expr import Expr, Size, jnp, prelude
from op_table.prelude.select import masked_scatter as masked_scatter_
from op_table.registry import Unsupported, lowers

COMPARISONS = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}

# Operators on the bits of integers, and on bools; and the functions that take any array as bools.
BITWISE = {"and": operator.and_, "or": operator.or_, "xor": operator.xor}
LOGICAL = {"and": jnp.logical_and, "or": jnp.logical_or, "xor": jnp.logical_xor}
SHIFTS = {"left_shift": operator.lshift, "right_shift": operator.rshift}


def _operator(function):
    return lambda x, other: function(*promoted(x, other))


def _logical(name: str):
    def rule(x: Expr, other: Expr) -> Expr:
        if x.dtype == other.dtype == bool:
            return BITWISE[name](x, other)
        return LOGICAL[name](x, other)

    return rule


for _name, _function in COMPARISONS.items():
    lowers(f"aten.{_name}.Tensor", f"aten.{_name}.Scalar")(_operator(_function))
for _name, _function in BITWISE.items():
    lowers(
        f"aten.bitwise_{_name}.Tensor",
        f"aten.bitwise_{_name}.Scalar",
        f"aten.bitwise_{_name}.Scalar_Tensor",
        f"aten.__{_name}__.Tensor",
        f"aten.__{_name}__.Scalar",
    )(_operator(_function))
    lowers(f"aten.logical_{_name}.default")(_logical(_name))
for _name, _function in SHIFTS.items():
    lowers(
        f"aten.bitwise_{_name}.Tensor",
        f"aten.bitwise_{_name}.Tensor_Scalar",
        f"aten.bitwise_{_name}.Scalar_Tensor",
        f"aten.__{_name[0]}shift__.Tensor",
        f"aten.__{_name[0]}shift__.Scalar",
    )(_operator(_function))


@lowers("aten.logical_not.default")
def logical_not(x: Expr) -> Expr:
    return ~x if x.dtype == bool else x == 0


@lowers("aten.bitwise_not.default")
def bitwise_not(x: Expr) -> Expr:
    return ~x


@lowers("aten.isclose.default")
def isclose(x: Expr, other: Expr, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Expr:
    options = {"rtol": rtol if rtol != 1e-5 else None, "atol": atol if atol != 1e-8 else None}
    return jnp.isclose(x, other, **given(**options, equal_nan=equal_nan))


@lowers("aten.isin.Tensor_Tensor", "aten.isin.Tensor_Scalar", "aten.isin.Scalar_Tensor")
def isin(elements: Expr, test_elements: Expr, *, assume_unique: bool = False, invert: bool = False) -> Expr:
    elements, test_elements = promoted(elements, test_elements)
    return jnp.isin(elements, test_elements, **given(invert=invert))


@lowers("aten.where.self", "aten.where.ScalarSelf", "aten.where.ScalarOther", "aten.where.Scalar")
def where(condition: Expr, x: Expr, other: Expr) -> Expr:
    dtype = result_type(x, other)
    condition = cast(condition, np.dtype(bool))
    if is_array(x) or is_array(other):
        x, other = promoted(x, other)
        return jnp.where(condition, number(x, dtype), number(other, dtype))
    if isinstance(x, Size) or isinstance(other, Size):
        return jnp.where(condition, x, other)
    if (x, other) == (1, 0):
        return cast(condition, dtype)
    # Two Python numbers alone would make a weakly typed array.
    return cast_strongly(jnp.where(condition, number(x, dtype), number(other, dtype)), dtype)


def cast_strongly(x: Expr, dtype: np.dtype) -> Expr:
    """x as dtype, although it has that dtype already: a cast is what ends weak typing."""
    return x.astype(written(dtype))


@lowers("aten.where.default")
def nonzero_places(condition: Expr) -> Expr:
    raise Unsupported("where without values gives as many indices as the condition holds: its shape depends on values")


@lowers("aten.clamp.default", "aten.clip.default", "aten.clamp.Tensor", "aten.clip.Tensor")
def clamp(x: Expr, min=None, max=None) -> Expr:
    bounds = [bound for bound in (min, max) if bound is not None]
    dtype = result_type(x, *bounds)
    x, *_ = promoted(x, *bounds)
    low, high = (cast(bound, dtype) if is_array(bound) else number(bound, dtype) for bound in (min, max))
    if max is None:
        return jnp.maximum(x, low)
    if min is None:
        return jnp.minimum(x, high)
    return jnp.clip(x, low, high)


@lowers("aten.clamp_min.default", "aten.clamp_min.Tensor")
def clamp_min(x: Expr, min) -> Expr:
    return clamp(x, min)


@lowers("aten.clamp_max.default", "aten.clamp_max.Tensor")
def clamp_max(x: Expr, max) -> Expr:
    return clamp(x, None, max)


@lowers("aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def masked_fill(x: Expr, mask: Expr, value) -> Expr:
    """The result is of x's dtype, whatever value's is."""
    if is_array(value):
        value = cast(value, x.dtype)
    elif not isinstance(value, Size) and (x.dtype == bool or is_integer(x.dtype)):
        value = bool(value) if x.dtype == bool else int(value)
    return jnp.where(cast(mask, np.dtype(bool)), number(value, x.dtype), x)


@lowers("aten.masked_scatter.default")
def masked_scatter(x: Expr, mask: Expr, source: Expr) -> Expr:
    return prelude(masked_scatter_)(x, mask, source)
