"""Expressions as flat lists of tokens, so that two can be compared place by place and their numbers told apart from their shape.

Numbers and booleans are `Literal` places: two bodies that differ in them alone can share a class, the number becoming a
constructor argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from op_table.expr import Attribute, Call, Expr, Name, Operation, Prelude, Value, children, rebuild


@dataclass(frozen=True)
class Literal:
    value: Any


@dataclass(frozen=True)
class Read:
    """A value that is read, by name."""

    name: str


@dataclass(frozen=True)
class Own:
    """A leaf or module of the class's own, by its path below it."""

    path: str


def is_number(part: Any) -> bool:
    return isinstance(part, (bool, int, float))


def same_number(a: Any, b: Any) -> bool:
    """Whether two numbers are the same to the letter: 1 is not True, 0.0 is not -0.0, and NaN is NaN."""
    return type(a) is type(b) and repr(a) == repr(b)


def tokens(part: Any, own: Callable[[Value], str | None]) -> Iterator[Any]:
    """The tokens of an expression, parents first. own gives the path below the class of a value that is its own, or None."""
    if isinstance(part, Value):
        path = own(part)
        yield Read(part.name) if path is None else Own(path)
    elif is_number(part):
        yield Literal(part)
    elif isinstance(part, Name):
        yield ("name", part.text)
    elif isinstance(part, Prelude):
        yield ("prelude", part.function)
    elif isinstance(part, (Expr, tuple, list, dict, slice)):
        detail: Any = None
        if isinstance(part, Attribute):
            detail = part.attribute
        elif isinstance(part, Operation):
            detail = part.symbol
        elif isinstance(part, Call):
            detail = (len(part.args), tuple(name for name, _ in part.kwargs))
        elif isinstance(part, dict):
            detail = tuple(part)
        below = children(part)
        yield (type(part).__name__, detail, len(below))
        for child in below:
            yield from tokens(child, own)
    else:
        yield ("constant", type(part).__name__, part)


def replace_numbers(part: Any, replace: Callable[[Any], Any]) -> Any:
    """part with each number replaced by what replace gives for it, called in the order of `tokens`."""
    if is_number(part):
        return replace(part)
    below = children(part)
    if not below or isinstance(part, Value):
        return part
    new = tuple(replace_numbers(child, replace) for child in below)
    return part if all(a is b for a, b in zip(below, new, strict=True)) else rebuild(part, new)
