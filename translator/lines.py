"""The code of one `__call__` between lowering and text: assignments, branches and loops over values without names yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch.fx import Node

from op_table.expr import Function, Value, transform, values


@dataclass(eq=False)
class Assign:
    """targets = expr. More than one target unpacks; None stands for a part that nothing reads.

    nesting: how the targets are nested, where not in one flat tuple: tuples of their positions. unpacks: whether a single target
    does, too: `(batch,) = x.shape`.
    """

    targets: list[Value | None]
    expr: Any
    node: Node | None = None
    frame: int = 0
    field: str | None = None
    child_frame: int = 0
    path: str | None = None
    nesting: Any = None
    unpacks: bool = False


@dataclass(eq=False)
class Def:
    """A local function: lines, then result, a value or nested tuples of them. function holds its parameters.

    groups: for each parameter that is a tuple, by its place, the value that it is as a whole.
    """

    function: Function
    lines: list
    result: Any
    node: Node | None = None
    groups: dict[int, Value] = field(default_factory=dict)


@dataclass(eq=False)
class If:
    """Each result is the value beside it, and if the optional field is there, lines, which end by assigning the results."""

    field: str
    lines: list
    results: list[tuple[Value, Value]]


@dataclass(eq=False)
class For:
    """A loop over the items of containers. items: one value an item of each iterable, in step.

    carried: variables that go from round to round, each with its first value; lines assign them. collected: lists that
    each round appends a value to. scanned: whether it is written as a lax.scan over one container's stacked leaves.
    """

    items: list[Value]
    iterables: list[Any]
    lines: list
    carried: list[tuple[Value, Value]] = field(default_factory=list)
    collected: list[tuple[Value, Value]] = field(default_factory=list)
    scanned: bool = False


@dataclass(eq=False)
class Return:
    """In evaluation mode, lines, and then result is returned."""

    lines: list
    result: Any


Line = Assign | Def | If | For | Return


def reads(line: Line) -> Iterator[Value]:
    """Every value that a line reads, each time it does; those that it makes itself included."""
    match line:
        case Assign():
            yield from values(line.expr)
        case Def():
            for inner in line.lines:
                yield from reads(inner)
            yield from values(line.result)
        case Return():
            for inner in line.lines:
                yield from reads(inner)
            yield from values(line.result)
        case If():
            yield from (otherwise for _, otherwise in line.results)
            for inner in line.lines:
                yield from reads(inner)
        case For():
            yield from values(tuple(line.iterables))
            for inner in line.lines:
                yield from reads(inner)
            yield from (value for _, value in line.collected)


def writes(line: Line) -> Iterator[Value]:
    """Every value that a line gives to those after it, and within it."""
    match line:
        case Assign():
            yield from (target for target in line.targets if target is not None)
        case Def():
            yield from values(line.function.parameters)
            for inner in line.lines:
                yield from writes(inner)
            yield line.function
        case Return():
            for inner in line.lines:
                yield from writes(inner)
        case If():
            for inner in line.lines:
                yield from writes(inner)
            yield from (result for result, _ in line.results)
        case For():
            yield from line.items
            for inner in line.lines:
                yield from writes(inner)
            yield from (variable for variable, _ in line.carried)
            yield from (variable for variable, _ in line.collected)


def rewrite(lines: list[Line], change: Callable[[Any], Any]) -> None:
    """Apply change to every part of every expression of lines, in place."""
    for line in lines:
        match line:
            case Assign():
                line.expr = transform(line.expr, change)
            case Def():
                rewrite(line.lines, change)
                line.result = transform(line.result, change)
            case Return():
                rewrite(line.lines, change)
                line.result = transform(line.result, change)
            case If():
                rewrite(line.lines, change)
                line.results = [(result, change(otherwise)) for result, otherwise in line.results]
            case For():
                line.iterables = [transform(iterable, change) for iterable in line.iterables]
                rewrite(line.lines, change)
                line.collected = [(variable, change(value)) for variable, value in line.collected]
