"""A class that updates its state in training alone returns early in evaluation, where little is left of what it does."""

from __future__ import annotations

from typing import Any

from op_table.expr import Attribute, Call, Conditional, Inference, Value, values
from translator.lines import Assign, Line, Return, reads, writes
from translator.state import State


def return_early(lines: list[Line], after: list[Any]) -> list[Any]:
    """Where the state that is returned depends on the mode, put `if self.inference: return ...` before what training alone does.

    Changes lines in place. Returns what is returned in the end.
    """
    parts = after[0] if len(after) == 1 and isinstance(after[0], tuple) else ()
    chosen = {
        line.targets[0].name: line.expr
        for line in lines
        if isinstance(line, Assign) and _by_mode(line.expr) and len(line.targets) == 1 and line.targets[0] is not None
    }
    if not any(isinstance(part, State) and part.name in chosen for part in parts):
        return after
    if not all(isinstance(part, Value) for part in parts):
        return after
    evaluation = tuple(chosen[part.name].then if part.name in chosen else part for part in parts)
    training = tuple(chosen[part.name].otherwise if part.name in chosen else part for part in parts)
    lines += (written := [line for part in training for line in _written(part)])
    training = tuple(_last_state(part, written) for part in training)
    early, late = _needed(lines, evaluation), _needed(lines, training)
    both = [line for line in lines if line in early and line in late]
    inside = [line for line in lines if line in early and line not in late]
    lines[:] = [*both, Return(inside, evaluation), *(line for line in lines if line in late and line not in early)]
    return [training]


def _written(state: Any) -> list[Line]:
    """The lines that write to a state, one for each buffer, where an expression does so in a row."""
    if not (isinstance(state, Call) and isinstance(state.function, Attribute) and state.function.attribute == "set"):
        return []
    before = _written(state.function.value)
    source = before[-1].targets[0] if before else state.function.value
    name = f"{next(values(state)).name}__written{len(before)}"
    return [*before, Assign([State(name)], Call(Attribute(source, "set"), state.args))]


def _last_state(part: Any, written: list[Line]) -> Any:
    return written[-1].targets[0] if written and _written(part) else part


def _by_mode(expr: Any) -> bool:
    return isinstance(expr, Conditional) and isinstance(expr.test, Inference)


def _needed(lines: list[Line], result: Any) -> list[Line]:
    """The lines that lead to a result."""
    wanted = {value.name for value in values(result)}
    found: list[Line] = []
    for line in reversed(lines):
        if any(value.name in wanted for value in writes(line)):
            wanted |= {value.name for value in reads(line)}
            found.append(line)
    return found
