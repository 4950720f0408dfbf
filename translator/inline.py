"""A value that is read once is written where it is read, if the line stays readable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from op_table.expr import (
    Attribute,
    Call,
    Conditional,
    Expr,
    Name,
    Operation,
    Subscript,
    Value,
    children,
    transform,
    values,
    walk,
)
from translator.lines import Assign, Def, For, If, Line, Return, reads
from translator.state import State
from translator.tidy import join

# The longest expression, in characters, that a value may be written into, and the deepest nesting of calls in it.
LENGTH, DEPTH = 84, 4
# The longest branch of a choice: only there is it not computed in vain.
BRANCH = 140
# What a line has room for besides its indent, and the least that the names it assigns take up.
LINE, SHORTEST = 92, 14


def inline(lines: list[Line], after: list[Any], text: Callable[[Any], str]) -> list[Any]:
    """Inline in place; returns after (the expressions read after the lines) with what was inlined into them."""
    uses = Counter(v.name for line in lines for v in _all_reads(line))
    uses.update(v.name for v in values(after))
    return _block(lines, after, uses, text, in_loop=False)


def _all_reads(line: Line) -> list[Value]:
    return list(reads(line))


def _block(
    lines: list[Line],
    after: list[Any],
    uses: Counter,
    text: Callable[[Any], str],
    in_loop: bool,
    last: int = LENGTH + 8,
) -> list[Any]:
    pending: dict[str, Assign] = {}
    kept: list[Line] = []

    def substitute(expr: Any, limit: int) -> Any:
        """expr with each pending value that it reads once, left to right, while it stays readable."""
        for value in list(values(expr)):
            source = pending.get(value.name)
            if source is None:
                continue
            candidate = transform(expr, lambda part: source.expr if part is value or _is(part, value) else join(part))  # noqa: B023
            final = source is kept[-1] and len(list(values(expr))) == 1 and isinstance(expr, (Value, tuple))
            bare = expr[0] if isinstance(expr, tuple) and len(expr) == 1 else expr
            if isinstance(source.expr, Conditional) and not isinstance(bare, Value):
                final = False  # a long choice has lines of its own
            if trivial(source.expr) or (final and limit > LENGTH) or _fits(candidate, limit, text):
                expr = candidate
                del pending[value.name]
                kept.remove(source)
        return expr

    for line in lines:
        match line:
            case Assign():
                names = sum(len(text(target)) + 2 for target in line.targets if target is not None)
                line.expr = substitute(line.expr, min(LENGTH, LINE - max(names, SHORTEST)))
                kept.append(line)
                single = len(line.targets) == 1 and line.targets[0] is not None and not line.unpacks
                if single and uses[line.targets[0].name] == 1 and not isinstance(line.targets[0], State):
                    # Within a loop, what it carries changes on the way to where the value is read.
                    if not in_loop or not any(v.name.partition("__carried")[1] for v in values(line.expr)):
                        pending[line.targets[0].name] = line
            case Def():  # what is computed before it stays there: its code may run many times, or never
                (line.result,) = _block(line.lines, [line.result], uses, text, in_loop, LENGTH - 16)
                kept.append(line)
            case Return():
                (line.result,) = _block(line.lines, [line.result], uses, text, in_loop, last)
                kept.append(line)
            case If():
                _block(line.lines, [], uses, text, in_loop)
                pending.clear()
                kept.append(line)
            case For():
                line.iterables = [substitute(iterable, LENGTH) for iterable in line.iterables]
                _block(line.lines, [], uses, text, in_loop=True)
                for variable, _ in line.carried:
                    pending.pop(variable.name, None)
                kept.append(line)
                pending.clear()
    result = [substitute(expr, last) for expr in after]
    lines[:] = kept
    return result


def _fits(expr: Any, limit: int, text: Callable[[Any], str]) -> bool:
    """Whether an expression stays readable. The parts of a NamedTuple or dict have a line each, and so have those of a choice."""
    if isinstance(expr, Conditional):
        return all(_fits(part, max(limit, BRANCH), text) for part in (expr.then, expr.otherwise))
    parts = list(expr.values()) if isinstance(expr, dict) else [expr]
    if isinstance(expr, Call) and isinstance(expr.function, Name) and not expr.args:
        parts = [value for _, value in expr.kwargs]
    return all(len(text(part)) <= limit and depth(part) <= DEPTH for part in parts)


def _is(part: Any, value: Value) -> bool:
    return isinstance(part, Value) and part.name == value.name


def trivial(expr: Any) -> bool:
    """Whether an expression is as short as a name: a value, a number, a field."""
    return isinstance(expr, (Value, int, float)) or (isinstance(expr, Attribute) and trivial(expr.value))


def depth(expr: Any) -> int:
    """How deep calls, subscripts and operators nest."""
    if isinstance(expr, Value) or not isinstance(expr, (Expr, tuple, list)):
        return 0
    if isinstance(expr, (tuple, list)):
        return max(map(depth, expr), default=0)
    if isinstance(expr, Attribute):
        return depth(expr.value)
    if isinstance(expr, Call):
        method = isinstance(expr.function, Attribute) and not isinstance(expr.function.value, Name)
        inner = [depth(arg) for arg in (*expr.args, *(v for _, v in expr.kwargs))]
        chained = depth(expr.function) if method or isinstance(expr.function, Call) else 0
        return max(chained, 1 + max(inner, default=0))
    if isinstance(expr, Subscript):
        return depth(expr.value)
    if isinstance(expr, (Operation, Conditional)):
        return max(map(depth, children(expr)), default=0)
    return 0


def duplicate_cheap(lines: list[Line], after: list[Any]) -> list[Any]:
    """Values that are but another name for a value are that value everywhere."""
    names: dict[str, Any] = {}

    def change(part: Any) -> Any:
        while isinstance(part, Value) and part.name in names:
            part = names[part.name]
        return part

    def run(block: list[Line]) -> None:
        for line in list(block):
            if isinstance(line, Assign):
                line.expr = transform(line.expr, change)
                target = line.targets[0]
                same = isinstance(line.expr, Value) and "__carried" not in line.expr.name
                if len(line.targets) == 1 and target is not None and same and "__carried" not in target.name:
                    names[target.name] = line.expr
                    block.remove(line)
            elif isinstance(line, Def):
                run(line.lines)
                line.result = transform(line.result, change)
            elif isinstance(line, If):
                line.results = [(result, change(otherwise)) for result, otherwise in line.results]
                if isinstance(line.lines[-1], Assign):
                    run(line.lines[:-1])
            else:
                line.iterables = [transform(iterable, change) for iterable in line.iterables]
                run(line.lines)
                line.collected = [(variable, change(value)) for variable, value in line.collected]

    run(lines)
    return [transform(expr, change) for expr in after]


__all__ = ["depth", "duplicate_cheap", "inline", "trivial", "walk"]
