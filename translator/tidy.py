"""Small rewrites of finished expressions into the form that a person would write."""

from __future__ import annotations

from typing import Any

from op_table.expr import Attribute, Call, Name, Subscript, transform
from translator.lines import Line, rewrite


def tidy(lines: list[Line], after: list[Any]) -> list[Any]:
    """Rewrite lines in place; returns the rewritten results."""
    rewrite(lines, _tidy)
    return [transform(expr, _tidy) for expr in after]


def _tidy(part: Any) -> Any:
    if isinstance(part, Subscript) and isinstance(part.value, Subscript):
        merged = _merge(_places(part.value.index), _places(part.index))
        if merged is not None:
            return Subscript(part.value.value, merged if len(merged) > 1 else merged[0])
    if isinstance(part, Call) and _is_scalar(part):
        return part.args[1]
    return part


def _places(index: Any) -> tuple:
    return index if isinstance(index, tuple) else (index,)


def _merge(inner: tuple, outer: tuple) -> tuple | None:
    """One subscript for two in a row, where the second only adds axes: `x[:, None][:, :, None]` is `x[:, None, None]`."""
    if any(not (place is None or _is_whole(place)) for place in outer):
        return None
    if any(not (place is None or isinstance(place, (slice, int))) for place in inner):
        return None
    left, merged = list(inner), []
    for place in outer:
        if place is None:
            merged.append(None)
            continue
        while left and isinstance(left[0], int):
            merged.append(left.pop(0))
        merged.append(left.pop(0) if left else slice(None))
    merged += left
    while len(merged) > 1 and _is_whole(merged[-1]):
        merged.pop()
    return tuple(merged)


def _is_whole(place: Any) -> bool:
    return isinstance(place, slice) and place.start is place.stop is place.step is None


def _is_scalar(call: Call) -> bool:
    """A 0-d integer array made by jnp.full: JAX takes the number itself wherever it takes that."""
    function = call.function
    named = isinstance(function, Attribute) and isinstance(function.value, Name) and function.value.text == "jnp"
    return named and function.attribute == "full" and len(call.args) == 2 and call.args[0] == () and type(call.args[1]) is int
