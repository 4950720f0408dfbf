"""Classes: instances of one torch class whose bodies are the same up to numbers share one emitted class.

The numbers in which they differ become constructor arguments. A child that some instances lack (a downsampling shortcut)
becomes an optional field, its code a branch on it. Instances that differ in more than that get classes of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from op_table.expr import Value
from translator.body import Bodies, Body, Leaf, Statement
from translator.constructors import full_call
from translator.modules import CLASS, DICT, INLINE, LAYER, TUPLE, Array, Module
from translator.tokens import Literal, Own, Read, tokens

ANY = Literal(object())  # the place of a number in code that an instance does not have


@dataclass(frozen=True)
class Branch:
    """Statements first..last (exclusive) run only where field is there; otherwise result is the value otherwise."""

    field: str
    first: int
    last: int
    result: Value
    otherwise: Value


@dataclass(eq=False)
class Member:
    """One instance of a definition: its numbers, place by place, its inputs in the definition's order, the fields it lacks."""

    module: Module
    numbers: list[Any]
    inputs: list[int]
    absent: frozenset[str] = frozenset()
    branches: tuple[Branch, ...] = ()


@dataclass(eq=False)
class Definition:
    """An emitted class. The first member is its representative: its fields and body are written."""

    module: Module
    body: Body | None
    members: list[Member] = field(default_factory=list)
    name: str = ""
    arguments: list[Argument] = field(default_factory=list)
    places: list[Any] = field(default_factory=list)  # a number, or an Argument's expression, for each place
    needs_key: bool = False
    # What `__call__` returns, once it is written: for each part the output that it is, or the outputs that it is a list of.
    returns: list[list[int] | int] | None = None
    results: list[str | None] = field(default_factory=list)

    @property
    def type_name(self) -> str:
        return self.module.type_name

    @property
    def optional(self) -> list[str]:
        """The fields that some members lack, in order."""
        absent = {name for member in self.members for name in member.absent}
        return [name for name in self.module.entries if name in absent]

    @property
    def branches(self) -> list[Branch]:
        """The branches on optional fields, in order."""
        found = {branch.first: branch for member in self.members for branch in member.branches}
        return [found[first] for first in sorted(found)]


@dataclass(eq=False)
class Argument:
    """A constructor argument: its value for each member, in order."""

    name: str
    values: tuple
    in_body: bool = False
    optional: bool = False  # whether it says that a field is there, which it is not by default


@dataclass(frozen=True)
class Program:
    """All definitions, children before parents; of maps each module path that is an instance of a class to its definition."""

    definitions: tuple[Definition, ...]
    of: dict[str, Definition]
    bodies: Bodies
    root: Definition

    def values_of(self, path: str) -> list[Any]:
        """The constructor arguments' values of the instance at path."""
        definition = self.of[path]
        position = next(i for i, m in enumerate(definition.members) if m.module.path == path)
        return [argument.values[position] for argument in definition.arguments]


class Merger:
    """Finds the definitions, from the innermost classes outwards."""

    def __init__(self, bodies: Bodies):
        self.bodies = bodies
        self.of: dict[str, Definition] = {}
        self.definitions: list[Definition] = []

    def run(self, name_arguments: Any) -> Program:
        self._settle_calls()
        for group in _groups(self.bodies.tree):
            made = self._partition(group)
            self.definitions += made
            for definition in made:
                name_arguments(definition, self)
        return Program(tuple(self.definitions), self.of, self.bodies, self.of[""])

    def _settle_calls(self) -> None:
        """A module whose calls do different things has no one __call__: its code is written in its callers."""
        changed = True
        while changed:
            changed = False
            self.bodies.__dict__["_bodies"] = {}
            for module in reversed(list(self.bodies.tree.walk())):
                if module.callable and len(module.calls) > 1 and module.path:
                    first, *rest = [self.bodies.body_of(module, call) for call in module.calls]
                    if any(_align(module, first, module, other, frozenset()) is None for other in rest):
                        module.callable = False
                        changed = True

    def body(self, module: Module) -> Body | None:
        return self.bodies.body_of(module, module.calls[0]) if module.callable else None

    def _partition(self, group: list[Module]) -> list[Definition]:
        definitions: list[Definition] = []
        for module in sorted(group, key=lambda m: (-len(m.entries), -_length(self.body(m)))):
            self._reorder_calls(module)
            body = self.body(module)
            member = None
            for definition in definitions:
                member = self._fits(definition, module, body)
                if member is not None:
                    break
            if member is None:
                definition = Definition(module, body)
                definitions.append(definition)
                own = _own(module)
                count = len(body.inputs) if body else 0
                member = Member(module, [t.value for t in self.all_tokens(definition, module, own)], list(range(count)))
            definition.members.append(member)
            self.of[module.path] = definition
        return definitions

    def all_tokens(self, definition: Definition, module: Module, own: Any) -> Iterator[Literal]:
        """The places of a representative's numbers: its fields', then its body's."""
        for entry in module.entries.values():
            yield from (t for t in self.entry_tokens(entry) if isinstance(t, Literal))
        for statement in definition.body.statements if definition.body else ():
            yield from (t for t in tokens(statement.expr, own) if isinstance(t, Literal))

    def entry_tokens(self, entry: Module | Array | None) -> Iterator[Any]:
        """What a field is, as tokens: a layer by its constructor, an instance by its class and arguments, an array by its shape."""
        if isinstance(entry, Array):
            yield ("array", entry.dtype, entry.is_buffer, len(entry.shape))
            yield from (Literal(size) for size in entry.shape)
        elif entry is None or entry.kind == INLINE:
            yield ("nothing",)
        elif entry.kind == LAYER:
            yield ("layer", entry.layer.event_ndim)
            yield from tokens(full_call(entry.layer.constructor), lambda value: None)
        elif entry.kind == CLASS:
            definition = self.of[entry.path]
            yield ("instance", id(definition))
            position = next(i for i, m in enumerate(definition.members) if m.module is entry)
            yield from (Literal(argument.values[position]) for argument in definition.arguments)
        else:
            yield (entry.kind, tuple(entry.entries))
            for child in entry.entries.values():
                yield from self.entry_tokens(child)

    def _fits(self, definition: Definition, module: Module, body: Body | None) -> Member | None:
        """module as a member of definition, or None."""
        first = definition.module
        extra = [name for name in module.entries if name not in first.entries]
        absent = frozenset(name for name in first.entries if name not in module.entries)
        if extra or (definition.body is None) != (body is None):
            return None
        numbers: list[Any] = []
        for name, entry in first.entries.items():
            mine = list(self.entry_tokens(entry))
            if name in absent:
                if isinstance(entry, Array):
                    return None
                numbers += [ANY.value for t in mine if isinstance(t, Literal)]
                continue
            other = list(self.entry_tokens(module.entries[name]))
            if not _same_places(mine, other):
                return None
            numbers += [t.value for t in other if isinstance(t, Literal)]
        if body is None or definition.body is None:
            return Member(module, numbers, [], absent)
        alignment = _align(first, definition.body, module, body, absent)
        if alignment is None:
            return None
        return Member(module, numbers + alignment.numbers, alignment.inputs, absent, tuple(alignment.branches))

    def _reorder_calls(self, module: Module) -> None:
        """Calls of children pass their arguments in the order of the child's definition."""
        for call in module.calls if module.callable else ():
            for statement in self.bodies.body_of(module, call).statements:
                child = self.bodies.by_path.get(statement.call.path) if statement.call is not None else None
                if child is not None and child.kind == CLASS and child.callable and not hasattr(statement, "ordered"):
                    definition = self.of[child.path]
                    order = next(m.inputs for m in definition.members if m.module is child)
                    args = statement.expr.args
                    reordered = tuple(args[i] for i in order) + args[len(order) :]
                    statement.expr = type(statement.expr)(statement.expr.function, reordered, statement.expr.kwargs)
                    statement.ordered = True  # type: ignore[attr-defined]


def _length(body: Body | None) -> int:
    return len(body.statements) if body else 0


def _groups(tree: Module) -> list[list[Module]]:
    """The class instances by torch class, inner classes first. A class that nests in itself is grouped by its height."""
    height: dict[str, int] = {}
    nests: set[str] = set()

    def measure(module: Module, above: frozenset[str]) -> int:
        is_class = module.kind == CLASS
        if is_class and module.type_name in above:
            nests.add(module.type_name)
        below = above | {module.type_name} if is_class else above
        inner = [measure(e, below) for e in module.entries.values() if isinstance(e, Module)]
        height[module.path] = max(inner, default=0) + is_class
        return height[module.path]

    measure(tree, frozenset())
    groups: dict[Any, list[Module]] = {}
    for module in tree.walk():
        if module.kind == CLASS:
            alone = module.type_name in nests or not module.type_name or not module.path
            tag = (module.type_name, height[module.path]) if alone else (module.type_name, None)
            groups.setdefault((tag, not module.path), []).append(module)
    return sorted(groups.values(), key=lambda group: max(height[m.path] for m in group))


def _same_places(mine: list[Any], other: list[Any]) -> bool:
    if len(mine) != len(other):
        return False
    for a, b in zip(mine, other, strict=True):
        if isinstance(a, Literal) and isinstance(b, Literal):
            if type(a.value) is not type(b.value) and ANY.value not in (a.value, b.value):
                return False
        elif a != b:
            return False
    return True


def _own(module: Module) -> Any:
    prefix = f"{module.path}." if module.path else ""

    def own(value: Value) -> str | None:
        return value.fqn[len(prefix) :] if isinstance(value, Leaf) and value.fqn.startswith(prefix) else None

    return own


def _field_of(statement: Statement, prefix: str) -> str | None:
    """The field of the class that a statement's code belongs to: a child's call, or code written in place of one."""
    path = statement.groups[0] if statement.groups else statement.call.path if statement.call is not None else None
    return None if path is None else path[len(prefix) :].partition(".")[0]


@dataclass
class Alignment:
    numbers: list[Any]
    inputs: list[int]
    branches: list[Branch]


def _align(first: Module, mine: Body, module: Module, other: Body, absent: frozenset[str]) -> Alignment | None:
    """Match other's body to mine, statement by statement; mine may have more, in fields that other lacks."""
    prefix = f"{first.path}." if first.path else ""
    own, theirs = _own(first), _own(module)
    same: dict[str, str] = {}
    holes: dict[str, Any] = {}
    my_inputs, their_inputs = {v.name for v in mine.inputs}, {v.name for v in other.inputs}
    if (
        len(mine.inputs) != len(other.inputs)
        or len(mine.outputs) != len(other.outputs)
        or len(mine.sizes) != len(other.sizes)
    ):
        return None
    numbers: list[Any] = []
    runs: list[tuple[str, int, int, Value]] = []

    def matches(a: str, b: str) -> bool:
        if a in holes:
            holes[a] = holes[a] or b
            return holes[a] == b
        if a not in same:
            both_inputs = a in my_inputs and b in their_inputs
            sizes = a.startswith("size_") and b.startswith("size_")
            if not (both_inputs or sizes) or b in same.values():
                return False
            same[a] = b
        return same[a] == b

    i = j = 0
    while i < len(mine.statements):
        statement = mine.statements[i]
        name = _field_of(statement, prefix)
        if name in absent:
            last = i
            while last < len(mine.statements) and _field_of(mine.statements[last], prefix) == name:
                numbers += [ANY.value for t in tokens(mine.statements[last].expr, own) if isinstance(t, Literal)]
                last += 1
            result = mine.statements[last - 1].targets
            if len(result) != 1 or result[0] is None:
                return None
            holes[result[0].name] = None
            runs.append((name, i, last, result[0]))
            i = last
            continue
        if j >= len(other.statements):
            return None
        found = _match(statement, other.statements[j], own, theirs, matches)
        if found is None:
            return None
        numbers += found
        for a, b in zip(statement.targets, other.statements[j].targets, strict=True):
            if a is not None and b is not None:
                same[a.name] = b.name
        i, j = i + 1, j + 1
    if j != len(other.statements) or not all(
        matches(a.name, b.name) for a, b in zip(mine.outputs, other.outputs, strict=True)
    ):
        return None
    back = {b: a for a, b in reversed(same.items())}
    if any(v is None or v not in back for v in holes.values()):
        return None
    known = {v.name: v for v in mine.inputs} | {t.name: t for s in mine.statements for t in s.targets if t is not None}
    branches = [Branch(name, f, last, result, known[back[holes[result.name]]]) for name, f, last, result in runs]
    positions = {v.name: k for k, v in enumerate(other.inputs)}
    if any(v.name not in same for v in mine.inputs):
        return None
    return Alignment(numbers, [positions[same[v.name]] for v in mine.inputs], branches)


def _match(a: Statement, b: Statement, own: Any, theirs: Any, matches: Any) -> list[Any] | None:
    """The numbers of b where it is a up to numbers, or None."""
    mine, other = list(tokens(a.expr, own)), list(tokens(b.expr, theirs))
    if len(mine) != len(other) or [t is None for t in a.targets] != [t is None for t in b.targets]:
        return None
    numbers = []
    for x, y in zip(mine, other, strict=True):
        if isinstance(x, Literal) and isinstance(y, Literal):
            if type(x.value) is not type(y.value):
                return None
            numbers.append(y.value)
        elif isinstance(x, Read) and isinstance(y, Read):
            if not matches(x.name, y.name):
                return None
        elif x != y:
            return None
    return numbers


__all__ = [
    "ANY",
    "CLASS",
    "DICT",
    "LAYER",
    "TUPLE",
    "Argument",
    "Branch",
    "Definition",
    "Member",
    "Merger",
    "Own",
    "Program",
]
