"""Optional arguments and results of calls: those left out, and those that nothing reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from op_table.expr import Call, Value
from translator.body import Leaf
from translator.lines import Assign, For, Line, reads
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
        line.expr = Call(line.expr.function, tuple(nothing.get(i, arg) for i, arg in enumerate(line.expr.args)))
        lines[position:position] = [Assign([value], None) for value in nothing.values()]


def without_nothings(part: Any) -> Any:
    """A call of a child without the arguments that are None at its end."""
    if isinstance(part, Call) and isinstance(part.function, (Leaf, Item, ItemLeaf)) and part.args:
        kept = next((n for n in range(len(part.args), 0, -1) if part.args[n - 1] is not None), 0)
        return Call(part.function, part.args[:kept], part.kwargs)
    return part


def drop_unread(lines: list[Line], after: Iterable[Value]) -> None:
    """Results that nothing reads have no name. after: what is read after the lines."""
    read = {v.name for line in lines for v in reads(line)} | {v.name for v in after}
    for line in lines:
        read |= {value.name for _, value in line.carried} if isinstance(line, For) else set()
    for line in lines:
        for inner in line.lines if isinstance(line, For) else [line]:
            if isinstance(inner, Assign) and len(inner.targets) > 1:
                inner.targets = [t if t is not None and t.name in read else None for t in inner.targets]
