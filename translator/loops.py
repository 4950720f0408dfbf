"""Loops: code that repeats down a tuple of children is written once, in a for loop over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from op_table.expr import (
    Attribute,
    Call,
    Name,
    Operation,
    Prelude,
    Subscript,
    Value,
    children,
    key,
    rebuild,
    transform,
    values,
)
from translator.body import Leaf
from translator.keys import is_split
from translator.lines import Assign, Def, For, Line, reads, rewrite, writes
from translator.modules import TUPLE, Module


class Item(Value):
    """The child that a round of a loop is about; path is that of the first round's."""

    def __init__(self, name: str, path: str):
        super().__init__(name, (), "float32")
        self.path = path


class Roller:
    """Rolls the repeated lines of one class's body. by_path gives the tree's modules; after are the expressions read after the lines."""

    def __init__(self, by_path: dict[str, Module], prefix: str, after: list[Any]):
        self.by_path, self.prefix, self.after = by_path, prefix, after
        self.count = 0

    def run(self, lines: list[Line]) -> list[Line]:
        for line in lines:
            if isinstance(line, Def):
                outside, self.after = self.after, [line.result]
                line.lines = self.run(line.lines)
                (line.result,), self.after = self.after, outside
        for path in sorted(self._containers(lines), key=lambda p: (-p.count("."), p)):
            start = 0
            while (found := self._roll(lines, path, start)) is not None:
                lines, start = found
        return merge_adjacent(lines, self.after)

    def _containers(self, lines: list[Line]) -> set[str]:
        """The tuples below this class that any line reads an item of."""
        found = set()
        for line in lines:
            for leaf in _leaves(line):
                for path, _ in self._indices(leaf):
                    found.add(path)
        return found

    def _indices(self, leaf: str) -> list[tuple[str, int]]:
        """Each tuple on the way to a leaf, with the item that is passed."""
        parts, path, found = leaf[len(self.prefix) :].split("."), self.prefix.rstrip("."), []
        for part in parts:
            module = self.by_path.get(path)
            if module is not None and module.kind == TUPLE and part.isdecimal():
                found.append((path, int(part)))
            path = f"{path}.{part}" if path else part
        return found

    def _index_of(self, line: Line, path: str) -> int | None:
        indices = {index for leaf in _leaves(line) for p, index in self._indices(leaf) if p == path}
        return indices.pop() if len(indices) == 1 else None

    def _roll(self, lines: list[Line], path: str, start: int) -> tuple[list[Line], int] | None:
        """Roll the first run of rounds over the tuple at path, from line start on."""
        for first in range(start, len(lines)):
            index = self._index_of(lines[first], path)
            if index is None:
                continue
            following = [p for p in range(first + 1, len(lines)) if self._index_of(lines[p], path) == index + 1]
            if not following:
                continue
            period = following[0] - first
            shifts = range(min(period, first - start + 1))
            for shift in sorted(shifts, key=lambda n: not (n == 1 and _splits(lines[first - 1]))):  # noqa: B023
                rounds = self._rounds(lines, path, first - shift, period, index)
                if len(rounds) > 1:
                    loop, before, renames = self._loop(rounds, path, index, lines, first - shift)
                    if loop is None:
                        continue
                    end = first - shift + period * len(rounds)
                    rest = lines[end:]
                    rewrite(rest, renames[0])
                    self.after[:] = [transform(value, renames[1]) for value in self.after]
                    return [*lines[: first - shift], *before, loop, *rest], first - shift + len(before) + 1
        return None

    def _rounds(self, lines: list[Line], path: str, first: int, period: int, index: int) -> list[list[Line]]:
        """Consecutive segments of one length that match the one before, child by child."""
        rounds = [lines[first : first + period]]
        while len(rounds[-1]) == period:
            begin = first + period * len(rounds)
            segment = lines[begin : begin + period]
            if len(segment) < period or self._matching(rounds, segment, path, index) is None:
                break
            rounds.append(segment)
        return rounds

    def _matching(self, rounds: list[list[Line]], segment: list[Line], path: str, index: int) -> _Match | None:
        now, following = f"{path}.{index + len(rounds) - 1}", f"{path}.{index + len(rounds)}"
        match = _Match(now, following, rounds[-1], segment)
        if not match.run() or not _alike(self.by_path[now], self.by_path[following]):
            return None
        if len(rounds) > 1:
            earlier = _Match(
                f"{path}.{index + len(rounds) - 2}", f"{path}.{index + len(rounds) - 1}", rounds[-2], rounds[-1]
            )
            if not earlier.run() or len(earlier.external) != len(match.external):
                return None
            for (_, now), (_, then) in zip(match.external, earlier.external, strict=True):
                carried = earlier.position_before(then), match.position_before(now)
                if carried[0] != carried[1] or (carried[0] is None and now != then):
                    return None
        return match

    def _loop(self, rounds: list, path: str, index: int, lines: list[Line], first: int) -> tuple:
        """The loop of rounds, what is assigned before it, and how later lines name what it leaves."""
        if not _self_contained(rounds[0]):
            return None, None, None
        match = _Match(f"{path}.{index}", f"{path}.{index + 1}", rounds[0], rounds[1])
        match.run()
        self.count += 1
        item = Item(f"item_{self.count}_{path}", f"{path}.{index}")
        made = [[v for line in segment for v in writes(line)] for segment in rounds]
        carried: dict[tuple[str, int], Value] = {}
        pattern = iter(match.external)

        def occurrence(value: Value) -> Value:
            mine, theirs = next(pattern)
            position = match.position_before(theirs)
            if position is None:
                return value
            at = (mine, position)
            if at not in carried:
                source = made[0][position]
                carried[at] = Value(f"{source.name}__carried{self.count}", source.shape, source.dtype)
            return carried[at]

        inits: dict[tuple[str, int], Value] = {}

        def change(part: Any, own: set[str]) -> Any:
            if isinstance(part, Leaf) and (part.fqn + ".").startswith(f"{path}.{index}."):
                rest = part.fqn[len(f"{path}.{index}") :].lstrip(".")
                return ItemLeaf(item, rest, part) if rest else item
            if isinstance(part, Value) and not isinstance(part, (Leaf, ItemLeaf)) and part.name not in own:
                new = occurrence(part)
                for at, variable in carried.items():
                    if variable is new:
                        inits[at] = part
                return new
            return part

        body = [_copy(line) for line in rounds[0]]
        own = {v.name for v in made[0]}
        for line in body:
            _walk_values(line, lambda part: change(part, own))
        if len({position for _, position in carried}) != len(carried):
            return None, None, None
        read_outside = self._read_outside(lines, first, len(rounds) * len(rounds[0]))
        collected: dict[int, Value] = {}
        results: dict[str, Value] = {}
        positions = {position: variable for (_, position), variable in carried.items()}
        for segment in made[:-1]:
            for position, value in enumerate(segment):
                if value.name in read_outside:
                    collected.setdefault(position, Value(f"{made[0][position].name}__list{self.count}", (), "float32"))
        for position, value in enumerate(made[-1]):
            if value.name in read_outside and (position in positions or position not in collected):
                results[value.name] = positions.get(position, made[0][position])
        gathered = {
            segment[position].name: (variable, number)
            for position, variable in collected.items()
            for number, segment in enumerate(made)
        }
        if any(not isinstance(line, Assign) for line in rounds[0]) and collected:
            return None, None, None

        def gather(part: Any) -> Any:
            if isinstance(part, Value) and part.name in gathered:
                variable, number = gathered[part.name]
                return Subscript(variable, number)
            return results.get(part.name, part) if isinstance(part, Value) else part

        def rename(part: Any) -> Any:
            return results[part.name] if isinstance(part, Value) and part.name in results else gather(part)

        before: list[Line] = [Assign([variable], inits[at]) for at, variable in carried.items()]
        loop = For([item], [self._iterable(path, index, len(rounds))], body)
        loop.collected = [(variable, made[0][position]) for position, variable in collected.items()]
        loop.carried = [(variable, made[0][position]) for (_, position), variable in carried.items()]
        return loop, before, (rename, gather)

    def _iterable(self, path: str, index: int, rounds: int) -> Any:
        total = len(self.by_path[path].entries)
        leaf = Leaf(path)
        if rounds == total:
            return leaf
        stop = None if index + rounds == total else index + rounds
        return leaf[slice(index or None, stop)]

    def _read_outside(self, lines: list[Line], first: int, length: int) -> set[str]:
        outside = lines[:first] + lines[first + length :]
        return {value.name for line in outside for value in reads(line)} | {value.name for value in values(self.after)}


class ItemLeaf(Value):
    """An array or module below the item of a loop."""

    def __init__(self, item: Item, path: str, leaf: Leaf):
        super().__init__(f"{item.name}.{path}", leaf.shape, leaf.dtype)
        self.item, self.path, self.leaf = item, path, leaf


def _splits(line: Line) -> bool:
    """Whether a line splits off the key that the next one takes, and so belongs to its round."""
    return isinstance(line, Assign) and is_split(line.targets)


def _alike(one: Module, other: Module) -> bool:
    """Whether a loop may run over both of two children: instances of classes, or layers of one kind, or containers."""
    if one.layer is not None and other.layer is not None:
        return key(one.layer.constructor.function) == key(other.layer.constructor.function)
    return one.kind == other.kind


def _self_contained(lines: list[Line]) -> bool:
    """Whether what the loops within a round carry gets its first value in that round, too."""
    given = {target.name for line in lines if isinstance(line, Assign) for target in line.targets if target is not None}
    return all(variable.name in given for line in lines if isinstance(line, For) for variable, _ in line.carried)


@dataclass
class _Match:
    """Whether one round's lines are the other's, with one item for the other; and which outside values stand at the same places."""

    mine: str
    theirs: str
    a: list[Line]
    b: list[Line]

    def run(self, same: dict[str, str] | None = None) -> bool:
        self.same: dict[str, str] = dict(same or {})
        self.external: list[tuple[str, str]] = []
        self.positions = {v.name: i for i, v in enumerate(v for line in self.a for v in writes(line))}
        self.made = {v.name for line in self.b for v in writes(line)}
        return len(self.a) == len(self.b) and all(self._lines(x, y) for x, y in zip(self.a, self.b, strict=True))

    def position_before(self, name: str) -> int | None:
        """Which of the values made in the first round a name is, or None if it comes from outside."""
        return self.positions.get(name)

    def _lines(self, x: Line, y: Line) -> bool:
        if type(x) is not type(y):
            return False
        if isinstance(x, Assign) and isinstance(y, Assign):
            if [t is None for t in x.targets] != [t is None for t in y.targets] or not self._parts(x.expr, y.expr):
                return False
            self.same |= {
                t.name: u.name for t, u in zip(x.targets, y.targets, strict=True) if t is not None and u is not None
            }
            return True
        if isinstance(x, For) and isinstance(y, For):
            if (
                not self._parts(x.iterables, y.iterables)
                or len(x.lines) != len(y.lines)
                or len(x.carried) != len(y.carried)
            ):
                return False
            if x.collected or y.collected:
                return False
            pairs = [
                *zip(x.items, y.items, strict=True),
                *((a, b) for (a, _), (b, _) in zip(x.carried, y.carried, strict=True)),
            ]
            self.same |= {a.name: b.name for a, b in pairs}
            return all(self._lines(p, q) for p, q in zip(x.lines, y.lines, strict=True))
        return False

    def _parts(self, x: Any, y: Any) -> bool:
        if isinstance(x, Leaf) and isinstance(y, Leaf):
            if self.mine and (x.fqn + ".").startswith(self.mine + "."):
                return y.fqn == self.theirs + x.fqn[len(self.mine) :]
            return x.fqn == y.fqn
        if isinstance(x, ItemLeaf) and isinstance(y, ItemLeaf):
            return x.path == y.path and self.same.get(x.item.name) == y.item.name
        if isinstance(x, Value) or isinstance(y, Value):
            if not (isinstance(x, Value) and isinstance(y, Value)) or isinstance(x, Leaf) or isinstance(y, Leaf):
                return False
            if x.name in self.same or x.name in self.positions:
                return self.same.get(x.name) == y.name
            if y.name in self.made:
                return False
            self.external.append((x.name, y.name))
            return self.position_before(y.name) is not None or x.name == y.name
        below, other = children(x), children(y)
        if type(x) is not type(y) or len(below) != len(other):
            return False
        if not below:
            return _text(x) == _text(y)
        return _head(x) == _head(y) and all(self._parts(p, q) for p, q in zip(below, other, strict=True))


def merge_adjacent(lines: list[Line], after: list[Any]) -> list[Line]:
    """Loops in a row that do the same to the same variable are one loop over all their items."""
    merged: list[Line] = []
    for line in lines:
        if isinstance(line, For) and len(merged) > 1:
            first, init = merged[-2], merged[-1]
            if isinstance(first, For) and isinstance(init, Assign) and _continues(first, init, line):
                merged.pop()
                first.iterables = [Operation("+", (first.iterables[0], line.iterables[0]))]
                old, new = line.carried[0][0], first.carried[0][0]
                rest = lines[lines.index(line) + 1 :]
                rename = lambda part, old=old, new=new: (
                    new if isinstance(part, Value) and part.name == old.name else part
                )
                rewrite(rest, rename)
                after[:] = [transform(expr, rename) for expr in after]
                continue
        merged.append(line)
    return merged


def _continues(first: For, init: Assign, second: For) -> bool:
    if len(first.carried) != 1 or len(second.carried) != 1 or first.collected or second.collected:
        return False
    (variable, _), (after, _) = first.carried[0], second.carried[0]
    handed = len(init.targets) == 1 and init.targets[0] is after and init.expr is variable
    if not handed or len(first.iterables) != 1 or len(first.lines) != len(second.lines):
        return False
    match = _Match("", "", first.lines, second.lines)
    return match.run({first.items[0].name: second.items[0].name, variable.name: after.name}) and not any(
        a != b for a, b in match.external
    )


def _text(part: Any) -> Any:
    if isinstance(part, Name):
        return part.text
    return part.function if isinstance(part, Prelude) else (type(part).__name__, repr(part))


def _head(part: Any) -> Any:
    if isinstance(part, Call):
        return len(part.args), [name for name, _ in part.kwargs]
    if isinstance(part, Operation):
        return part.symbol
    return part.attribute if isinstance(part, Attribute) else list(part) if isinstance(part, dict) else None


def _leaves(line: Line) -> list[str]:
    return [value.fqn for value in reads(line) if isinstance(value, Leaf)]


def _copy(line: Line) -> Line:
    if isinstance(line, Assign):
        return replace(line, targets=list(line.targets))
    if isinstance(line, For):
        return For(
            line.items, list(line.iterables), [_copy(inner) for inner in line.lines], line.carried, line.collected
        )
    return line


def _walk_values(line: Line, change: Callable[[Any], Any]) -> None:
    """Apply change to the values of a line in the order in which `_Match` meets them."""

    def run(part: Any) -> Any:
        if isinstance(part, Value):
            return change(part)
        below = children(part)
        new = tuple(run(child) for child in below)
        return part if all(a is b for a, b in zip(below, new, strict=True)) else rebuild(part, new)

    if isinstance(line, Assign):
        line.expr = run(line.expr)
    elif isinstance(line, For):
        line.iterables = [run(iterable) for iterable in line.iterables]
        for inner in line.lines:
            _walk_values(inner, change)
