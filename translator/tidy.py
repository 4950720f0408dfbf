"""Small rewrites of finished expressions into the form that a person would write."""

from __future__ import annotations

from typing import Any

from op_table.expr import Attribute, Call, Name, Subscript, Value, transform
from translator.lines import Line, rewrite


def tidy(lines: list[Line], after: list[Any]) -> list[Any]:
    """Rewrite lines in place; returns the rewritten results."""
    rewrite(lines, _tidy)
    return [transform(expr, _tidy) for expr in after]


def _tidy(part: Any) -> Any:
    if isinstance(part, Subscript) and isinstance(part.value, Subscript):
        outer = _spelled_out(_places(part.index), _rank(part.value))
        merged = _merge(_places(part.value.index), outer) if outer is not None else None
        if merged is not None:
            return Subscript(part.value.value, merged if len(merged) > 1 else merged[0])
    if isinstance(part, Call) and _is_scalar(part):
        return part.args[-1]
    return part


def _places(index: Any) -> tuple:
    return index if isinstance(index, tuple) else (index,)


def _rank(expr: Any) -> int | None:
    """How many axes an expression has, as far as its form tells."""
    if isinstance(expr, Value):
        return expr.ndim
    if isinstance(expr, Subscript):
        base, places = _rank(expr.value), _places(expr.index)
        if base is None or any(not (place is None or isinstance(place, (slice, int))) for place in places):
            return None
        return base + sum(place is None for place in places) - sum(isinstance(place, int) for place in places)
    if isinstance(expr, Call) and isinstance(expr.function, Attribute):
        if expr.function.attribute == "arange":
            return 1
        return _rank(expr.function.value) if expr.function.attribute == "astype" else None
    return None


def _spelled_out(places: tuple, rank: int | None) -> tuple | None:
    """places with an Ellipsis replaced by the whole axes that it stands for; None if it is not known how many."""
    if not any(place is Ellipsis for place in places):
        return places
    if rank is None:
        return None
    at = next(i for i, place in enumerate(places) if place is Ellipsis)
    taken = sum(place is not None and place is not Ellipsis for place in places)
    return (*places[:at], *[slice(None)] * (rank - taken), *places[at + 1 :])


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
    if not named or not all(type(arg) in (int, tuple) for arg in call.args):
        return False
    return function.attribute == "full" and call.args[0] == () or function.attribute in ("array", "asarray")
