"""Ops that lengthen axes at both ends: with a constant, mirrored, with the edge, or wrapped round."""

from __future__ import annotations

from typing import Any

from op_table.axes import number
from op_table.dtypes import is_integer
from op_table.expr import Expr, Size, Value, jnp
from op_table.registry import lowers

MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _widths(x: Value, pad: list) -> list[tuple]:
    """torch lists (before, after) from the last axis to the first; jnp.pad has a pair an axis, from the first."""
    pairs = list(zip(pad[::2], pad[1::2], strict=True))
    return [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]


def _negative(width: Any) -> bool:
    return not isinstance(width, Size) and width < 0


@lowers("aten.constant_pad_nd.default")
def constant_pad(x: Value, pad: list, value=0) -> Expr:
    widths = _widths(x, pad)
    if all(width == 0 for pair in widths for width in pair):
        return x
    if any(_negative(width) for pair in widths for width in pair):
        x = x[_cuts(widths)]  # a negative width cuts
        widths = [tuple(0 if _negative(width) else width for width in pair) for pair in widths]
        if all(width == 0 for pair in widths for width in pair):
            return x
    if is_integer(x.dtype) or x.dtype == bool:
        value = x.dtype.type(value).item()
    return jnp.pad(x, widths) if value == 0 else jnp.pad(x, widths, constant_values=number(value, x.dtype))


@lowers("aten.pad.default")
def pad(x: Value, pad: list, mode: str = "constant", value=None) -> Expr:
    if mode == "constant":
        return constant_pad(x, pad, 0 if value is None else value)
    widths = _widths(x, pad)
    if any(_negative(width) for pair in widths for width in pair):
        return _pad_and_cut(x, widths, MODES[mode])
    if all(width == 0 for pair in widths for width in pair):
        return x
    return jnp.pad(x, widths, mode=MODES[mode])


def _pad_and_cut(x: Value, widths: list[tuple], mode: str) -> Expr:
    """A negative width cuts. What is cut is wrapped round no more, but mirrored or repeated still."""
    grown = [tuple(0 if _negative(width) else width for width in pair) for pair in widths]
    if mode == "wrap":
        x = x[_cuts(widths)]
    if any(width != 0 for pair in grown for width in pair):
        x = jnp.pad(x, grown, mode=mode)
    return x if mode == "wrap" else x[_cuts(widths)]


def _cuts(widths: list[tuple]) -> tuple[slice, ...]:
    return tuple(slice(-low if _negative(low) else None, high if _negative(high) else None) for low, high in widths)


def _padding(mode: str):
    return lambda x, padding: pad(x, padding, mode)


for _axes in (1, 2, 3):
    lowers(f"aten.reflection_pad{_axes}d.default")(_padding("reflect"))
    lowers(f"aten.replication_pad{_axes}d.default")(_padding("replicate"))
lowers("aten._pad_circular.default")(lambda x, pad_: pad(x, pad_, "circular"))
