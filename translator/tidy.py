"""Small rewrites of finished expressions into the form that a person would write."""

from __future__ import annotations

from typing import Any

from op_table.expr import Attribute, Call, Expr, Name, Operation, Prelude, Subscript, Value, jnp, transform
from translator.lines import Line, rewrite


def tidy(lines: list[Line], after: list[Any]) -> list[Any]:
    """Rewrite lines in place; returns the rewritten results."""
    rewrite(lines, _tidy)
    return [transform(expr, _tidy) for expr in after]


def join(part: Any) -> Any:
    """An expression, with one subscript for two in a row where there is one."""
    if isinstance(part, Subscript) and isinstance(part.value, Subscript):
        merged = _joined(part.value, _places(part.value.index), _places(part.index))
        if merged is not None:
            return Subscript(part.value.value, merged if len(merged) > 1 else merged[0])
    return part


def _tidy(part: Any) -> Any:
    part = join(part)
    if isinstance(part, Call) and (isinstance(part.function, Value) or _of_jnp(part)):
        return Call(part.function, tuple(_scalar(arg) for arg in part.args), part.kwargs)
    if isinstance(part, Attribute) and _is_numpys(part.value):  # whose methods give numpy's arrays, which have no `at`
        return Attribute(Attribute(jnp, "asarray")(part.value), part.attribute)
    return part


def _is_numpys(expr: Any) -> bool:
    """Whether an expression is a number of numpy's, as constants are."""
    function = expr.function if isinstance(expr, Call) else None
    return isinstance(function, Attribute) and isinstance(function.value, Name) and function.value.text == "np"


def _places(index: Any) -> tuple:
    return index if isinstance(index, tuple) else (index,)


def _joined(inner: Subscript, first: tuple, second: tuple) -> tuple | None:
    """One subscript for two in a row, or None."""
    if isinstance(inner.value, Value) and "__list" in inner.value.name:  # an item of a Python list
        return None
    if _gives_several(inner.value):
        return None
    if first[0] is Ellipsis and second[0] is Ellipsis and all(place is None for place in second[1:]):
        return (*first, *second[1:]) if all(place is None for place in first[1:]) else None
    outer, own = _spelled_out(second, _rank(inner)), _spelled_out(first, _rank(inner.value))
    return _merge(own, outer) if outer is not None and own is not None else None


def _gives_several(expr: Any) -> bool:
    """Whether an expression is a call of a function that gives a tuple, which takes one number as a subscript."""
    if not isinstance(expr, Call):
        return False
    function = expr.function
    while isinstance(function, Attribute):
        function = function.value
    if not isinstance(function, (Name, Prelude)):
        return False
    try:
        return isinstance(expr.aval, (tuple, list))
    except Exception:  # a length is a name by now, as in jnp.arange(seq): what JAX makes of lengths alone is one array
        return isinstance(function, Prelude)


def _rank(expr: Any) -> int | None:
    """How many axes an expression has, as far as its form tells."""
    if isinstance(expr, Value):
        return expr.ndim
    if isinstance(expr, Subscript):
        base, places = _rank(expr.value), _places(expr.index)
        if base is None or any(not (place is None or isinstance(place, (slice, int))) for place in places):
            return None
        return base + sum(place is None for place in places) - sum(isinstance(place, int) for place in places)
    if isinstance(expr, Operation):
        ranks = [_rank(operand) if isinstance(operand, Expr) else 0 for operand in expr.operands]
        return None if None in ranks else max(ranks)
    if isinstance(expr, Call) and isinstance(expr.function, Attribute):
        if expr.function.attribute == "arange":
            return 1
        if expr.function.attribute == "reshape" and not _of_jnp(expr):
            shape = expr.args[0] if len(expr.args) == 1 else expr.args
            return len(shape) if isinstance(shape, tuple) else 1
        return _rank(expr.function.value) if expr.function.attribute in ("astype", "swapaxes", "transpose") else None
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
    """`x[:, None][:, :, None]` is `x[:, None, None]`, and `x[::2][:, 1:]` is `x[::2, 1:]`; None where both cut the same axis."""
    if any(not (place is None or isinstance(place, (slice, int))) for place in (*inner, *outer)):
        return None
    left, merged = list(inner), []
    for place in outer:
        if place is None:
            merged.append(None)
            continue
        while left and isinstance(left[0], int):
            merged.append(left.pop(0))
        axis = left.pop(0) if left else slice(None)
        if not _is_whole(place) and not _is_whole(axis):
            return None
        merged.append(axis if _is_whole(place) else place)
    merged += left
    while len(merged) > 1 and _is_whole(merged[-1]):
        merged.pop()
    return tuple(merged)


def _is_whole(place: Any) -> bool:
    return isinstance(place, slice) and place.start is place.stop is place.step is None


def _of_jnp(call: Call) -> bool:
    function = call.function
    return isinstance(function, Attribute) and isinstance(function.value, Name) and function.value.text == "jnp"


def _scalar(arg: Any) -> Any:
    """A 0-d integer array as the number itself, which JAX and its layers take as well."""
    if not isinstance(arg, Call) or not _of_jnp(arg) or not all(type(a) in (int, tuple) for a in arg.args):
        return arg
    name, made = arg.function.attribute, arg.args
    if name in ("zeros", "ones", "full") and made[0] == () and dict(arg.kwargs).get("dtype") is not None:
        dtype = dict(arg.kwargs)["dtype"]
        if isinstance(dtype, Name) and dtype.text == "int":
            return {"zeros": 0, "ones": 1}.get(name, made[-1])
    return arg
