"""Results gathered in a loop, given back: `[a[0], a[1], ...]` is `a`, and `[Pair(a[0], b[0]), ...]` runs over both."""

from __future__ import annotations

from typing import Any

from op_table.expr import Expr, Subscript, Value, transform, values, walk
from translator.tokens import tokens

_MARK = "__list"


class Comprehension(Expr):
    """`[element for items in zip(lists)]`; a tuple of it where kind is tuple."""

    def __init__(self, element: Any, items: list[Value], lists: list[Value], kind: type):
        self.element, self.items, self.lists, self.kind = element, items, lists, kind


def comprehend(expr: Any) -> Any:
    """Write each list or tuple that goes through gathered values in order as what it is."""
    return transform(expr, _one)


def _one(part: Any) -> Any:
    if not isinstance(part, (list, tuple)) or len(part) < 2:
        return part
    first = _gathered(part[0], 0)
    if not first:
        return part
    for position, element in enumerate(part):
        if _gathered(element, position) != first or _shape(element) != _shape(part[0]):
            return part
    lists = [next(v for v in values(part[0]) if v.name == name) for name in first]
    if _is_item(part[0]):
        return lists[0] if isinstance(part, list) else Comprehension(lists[0], [], lists, tuple)
    items = [Value(f"{value.name}__item", (), "float32") for value in lists]
    by_name = {value.name: item for value, item in zip(lists, items, strict=True)}
    element = transform(part[0], lambda inner: by_name[inner.value.name] if _is_item(inner) else inner)
    return Comprehension(element, items, lists, type(part))


def _is_item(part: Any) -> bool:
    return isinstance(part, Subscript) and isinstance(part.value, Value) and _MARK in part.value.name


def _gathered(element: Any, position: int) -> list[str]:
    """The gathered lists that an element reads at its own position; empty if it reads another place of one, or anything else."""
    items = [part for part in walk(element) if _is_item(part)]
    if any(part.index != position for part in items) or len(items) != sum(1 for _ in values(element)):
        return []
    return list(dict.fromkeys(part.value.name for part in items))


def _shape(element: Any) -> list:
    plain = transform(element, lambda part: part.value if _is_item(part) else part)
    return list(tokens(plain, lambda value: None))
