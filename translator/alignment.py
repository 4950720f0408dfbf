"""Alignment: whether the body of one instance is that of another up to numbers, and how their arguments and results correspond.

The first body may have more: code on a field that the other instance lacks. What that code computes the other has at hand,
or gets as an argument, which is then an optional one: T5's first layer computes a position bias, and all others are given it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from op_table.expr import Call, Function, Value
from translator.body import Body, Leaf, Statement
from translator.modules import Module
from translator.tokens import Literal, Read, tokens

ANY = Literal(object())  # the place of a number in code that an instance does not have


class Passed(Value):
    """A result that is an argument handed back, in a call that does not compute it."""

    def __init__(self, source: Value, name: str):
        super().__init__(name, source.shape, source.dtype)
        self.source = source


@dataclass
class Alignment:
    """How another body corresponds to the first. numbers: the other's, in the order of the first's places.

    same: the other's value for each of the first's, by name. branches: for statements that the other lacks, the field that
    they need, where they begin and end, and each of their results with the name of the first's value that is that in the
    other (empty: an extra). extras: for each place of the first where the other has an argument that the first lacks, that
    argument; a place is the name of a branch's result, or a statement and argument.
    """

    numbers: list[Any]
    same: dict[str, str]
    branches: list[tuple[str, int, int, list[tuple[Value, str]]]]
    extras: dict[Any, Value] = field(default_factory=dict)


def _name(value: Value | None) -> str | None:
    return value.name if value is not None else None


def own(module: Module) -> Any:
    """What gives the path below a module of a value that is its own, None for any other."""
    prefix = f"{module.path}." if module.path else ""

    def path(value: Value) -> str | None:
        return value.fqn[len(prefix) :] if isinstance(value, Leaf) and value.fqn.startswith(prefix) else None

    return path


def align(
    first: Module,
    mine: Body,
    extra: list[Value],
    module: Module,
    other: Body,
    absent: frozenset[str],
    loose: bool = True,
) -> Alignment | None:
    """Match other's body to mine, statement by statement, or None. extra: the optional arguments that mine has by now.

    absent: the fields that other lacks. loose: whether arguments may become optional, and results go unused.
    """
    if len(mine.sizes) != len(other.sizes):
        return None
    if not loose and (len(mine.inputs) != len(other.inputs) or len(mine.outputs) != len(other.outputs)):
        return None
    for skips in _skips(first, mine, other, absent):
        found = _Attempt(first, mine, extra, module, other, skips, loose).run()
        if found is not None:
            return found
    return None


def _field_of(statement: Statement, prefix: str) -> str | None:
    """The field of the class that a statement's code belongs to: a child's call, or code written in place of one."""
    path = statement.groups[0] if statement.groups else statement.call.path if statement.call is not None else None
    return None if path is None else path[len(prefix) :].partition(".")[0]


def _skips(first: Module, mine: Body, other: Body, absent: frozenset[str]) -> Iterator[list[tuple[str, int, int]]]:
    """Which statements of mine other may lack: those on absent fields; for one field also those around it that lead to it."""
    prefix = f"{first.path}." if first.path else ""
    names = [_field_of(statement, prefix) for statement in mine.statements]
    runs: list[tuple[str, int, int]] = []
    for position, name in enumerate(names):
        if name in absent and runs and runs[-1][0] == name and runs[-1][2] == position:
            runs[-1] = (name, runs[-1][1], position + 1)
        elif name is not None and name in absent:
            runs.append((name, position, position + 1))
    yield runs
    length = len(mine.statements) - len(other.statements)
    if len(runs) == 1 and length > runs[0][2] - runs[0][1]:
        name, begin, end = runs[0]
        for position in range(max(0, end - length), begin + 1):
            if position + length <= len(mine.statements):
                yield [(name, position, position + length)]


class _Attempt:
    """One try at matching two bodies, with the statements that other is to lack."""

    def __init__(
        self,
        first: Module,
        mine: Body,
        extra: list[Value],
        module: Module,
        other: Body,
        skips: list[tuple[str, int, int]],
        loose: bool,
    ):
        self.mine, self.other, self.skips, self.loose = mine, other, skips, loose
        self.own, self.theirs = own(first), own(module)
        self.inputs = {v.name for v in mine.inputs} | {v.name for v in extra}
        self.given = {v.name: v for v in other.inputs}
        self.optional = {v.name for v in extra}
        self.same: dict[str, str] = {}
        self.holes: dict[str, str | None] = {}
        self.extras: dict[Any, Value] = {}

    def run(self) -> Alignment | None:
        numbers: list[Any] = []
        branches: list[tuple[str, int, int, list[Value]]] = []
        starts = {begin: (name, end) for name, begin, end in self.skips}
        theirs = iter(self.other.statements)
        position = 0
        while position < len(self.mine.statements):
            if position in starts:
                name, end = starts[position]
                results = self._results(position, end)
                if results is None:
                    return None
                skipped = self.mine.statements[position:end]
                numbers += [ANY.value for s in skipped for t in tokens(s.expr, self.own) if isinstance(t, Literal)]
                self.holes |= {result.name: None for result in results}
                branches.append((name, position, end, results))
                position = end
                continue
            statement, theirs_now = self.mine.statements[position], next(theirs, None)
            found = None if theirs_now is None else self._statement(position, statement, theirs_now)
            if found is None:
                return None
            numbers += found
            position += 1
        if next(theirs, None) is not None or not self._results_match():
            return None
        return self._finish(numbers, branches)

    def _results(self, begin: int, end: int) -> list[Value] | None:
        """The values that are made by the last of statements begin..end and read after them; None if others of theirs are, too."""
        skipped = self.mine.statements[begin:end]
        opened = {s.opens.name for s in skipped if s.opens is not None}
        if opened != {t.name for s in skipped for t in s.targets if isinstance(t, Function)}:
            return None  # part of a local function
        last = [target for target in self.mine.statements[end - 1].targets if target is not None]
        made = {t.name for s in self.mine.statements[begin:end] for t in s.targets if t is not None}
        rest = [v.name for v in self.mine.outputs]
        for statement in self.mine.statements[end:]:
            rest += [t.name for t in tokens(statement.expr, self.own) if isinstance(t, Read)]
        results = [target for target in last if target.name in rest]
        return results if results and made & set(rest) == {result.name for result in results} else None

    def _results_match(self) -> bool:
        if self.loose:
            if len(self.mine.outputs) == len(self.other.outputs):  # what is only returned was met nowhere else
                for a, b in zip(self.mine.outputs, self.other.outputs, strict=True):
                    self.holes |= {a.name: b.name} if a.name in self.holes and self.holes[a.name] is None else {}
            known = {*self.same.values(), *(v for v in self.holes.values() if v)}
            return all(v.name in known for v in self.other.outputs)
        return all(self._values(a.name, b.name) for a, b in zip(self.mine.outputs, self.other.outputs, strict=True))

    def _finish(self, numbers: list[Any], branches: list[tuple[str, int, int, list[Value]]]) -> Alignment | None:
        back = {b: a for a, b in reversed(self.same.items())}
        settled = []
        for name, begin, end, results in branches:
            pairs: list[tuple[Value, str]] = []
            for result in results:
                theirs = self.holes[result.name]
                if theirs is None:
                    return None
                if theirs in back:
                    pairs.append((result, back[theirs]))
                elif self.loose and theirs in self.given and len(results) == 1:
                    self.extras[result.name] = self.given[theirs]
                    pairs.append((result, ""))
                else:
                    return None
                self.same[result.name] = theirs
            settled.append((name, begin, end, pairs))
        if any(v.name not in self.same for v in self.mine.inputs):
            return None
        matched = {*self.same.values(), *(v.name for v in self.extras.values())}
        if any(name not in matched for name in self.given):
            return None
        return Alignment(numbers, self.same, settled, self.extras)

    def _statement(self, position: int, a: Statement, b: Statement) -> list[Any] | None:
        """The numbers of b where it is a up to numbers, or None."""
        unused = [t is None for t in a.targets], [t is None for t in b.targets]
        if len(a.targets) != len(b.targets) or (unused[0] != unused[1] and not self.loose):
            return None
        x, y = a.expr, b.expr
        if self.loose and a.call is not None and b.call is not None and isinstance(x, Call) and isinstance(y, Call):
            if len(x.args) != len(y.args) or [name for name, _ in x.kwargs] != [name for name, _ in y.kwargs]:
                return None
            pairs = [
                (x.function, y.function, None),
                *((p, q, i) for i, (p, q) in enumerate(zip(x.args, y.args, strict=True))),
                *((p, q, None) for (_, p), (_, q) in zip(x.kwargs, y.kwargs, strict=True)),
            ]
        else:
            pairs = [(x, y, None)]
        numbers: list[Any] = []
        for p, q, argument in pairs:
            found = self._optional(p, q, (position, argument)) if argument is not None else None
            found = self._parts(p, q) if found is None else found
            if found is None:
                return None
            numbers += found
        for s, t in zip(a.targets, b.targets, strict=True):
            if s is not None and t is not None:
                self.same[s.name] = t.name
        return numbers

    def _optional(self, p: Any, q: Any, place: Any) -> list[Any] | None:
        """No numbers where one call passes an argument that the other leaves out; None if that is not so."""
        if p is None and isinstance(q, Value) and q.name in self.given and q.name not in self.same.values():
            self.extras[place] = self.given[q.name]
            return []
        return [] if q is None and isinstance(p, Value) and p.name in self.optional else None

    def _parts(self, p: Any, q: Any) -> list[Any] | None:
        mine, other = list(tokens(p, self.own)), list(tokens(q, self.theirs))
        if len(mine) != len(other):
            return None
        numbers = []
        for x, y in zip(mine, other, strict=True):
            if isinstance(x, Literal) and isinstance(y, Literal):
                if type(x.value) is not type(y.value):
                    return None
                numbers.append(y.value)
            elif isinstance(x, Read) and isinstance(y, Read):
                if not self._values(x.name, y.name):
                    return None
            elif x != y:
                return None
        return numbers

    def _values(self, a: str, b: str) -> bool:
        """Whether value b of other stands for a of mine; arguments are paired as they are met."""
        if a in self.holes:
            self.holes[a] = self.holes[a] or b
            return self.holes[a] == b
        if a not in self.same:
            both_inputs = a in self.inputs and b in self.given
            sizes = a.startswith("size_") and b.startswith("size_")
            keys = a == _name(self.mine.key) and b == _name(self.other.key)
            if not (both_inputs or sizes or keys) or b in self.same.values():
                return False
            self.same[a] = b
        return self.same[a] == b
