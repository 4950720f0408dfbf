"""Optional arguments and results of calls: those left out, and those that nothing reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from op_table.expr import Call, Value
from translator.body import Leaf
from translator.lines import Assign, Def, For, If, Line, reads
from translator.loops import Item, ItemLeaf


def name_nothings(lines: list[Line], optional: Callable[[str], bool]) -> None:
    """A call that leaves an optional argument out reads it from a line of its own, as the calls that give it do.

    optional: whether the module at a path takes optional arguments.
    """
    for position, line in reversed(list(enumerate(lines))):
        if not isinstance(line, Assign) or not optional(line.path or "") or not isinstance(line.expr, Call):
            continue
        nothing = {
            i: Value(f"nothing_{position}_{i}", (), "float32") for i, arg in enumerate(line.expr.args) if arg is None
        }
        args = tuple(nothing.get(i, arg) for i, arg in enumerate(line.expr.args))
        line.expr = Call(line.expr.function, args, line.expr.kwargs)
        lines[position:position] = [Assign([value], None) for value in nothing.values()]


def without_nothings(part: Any) -> Any:
    """A call of a child without the arguments that are None at its end."""
    if isinstance(part, Call) and isinstance(part.function, (Leaf, Item, ItemLeaf)) and part.args:
        kept = next((n for n in range(len(part.args), 0, -1) if part.args[n - 1] is not None), 0)
        return Call(part.function, part.args[:kept], part.kwargs)
    return part


def drop_unread(lines: list[Line], after: Iterable[Value]) -> None:
    """Results that nothing reads have no name, and a line of which nothing is read is dropped. after: what is read afterwards."""
    last = {value.name for value in after}
    while _drop(lines, last | {value.name for line in lines for value in _needed(line)}):
        pass


def _needed(line: Line) -> Iterator[Value]:
    """What a line reads, and what its loops hand on."""
    yield from reads(line)
    if isinstance(line, For):
        yield from (value for _, value in line.carried)
    for inner in line.lines if isinstance(line, (Def, For, If)) else ():
        yield from _needed(inner)


def _drop(lines: list[Line], read: set[str]) -> bool:
    """Whether anything was dropped. What an optional branch ends with is its result."""
    found = False
    for line in list(lines):
        if isinstance(line, Def):
            found |= _drop(line.lines, read)
            if line.function.name not in read:
                lines.remove(line)
                found = True
        elif isinstance(line, (For, If)):
            found |= _drop(line.lines[:-1] if isinstance(line, If) else line.lines, read)
        elif not any(target is not None and target.name in read for target in line.targets):
            lines.remove(line)
            found = True
        elif len(line.targets) > 1:
            line.targets = [t if t is not None and t.name in read else None for t in line.targets]
    return found
