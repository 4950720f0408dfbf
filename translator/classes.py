"""Classes: instances of one torch class whose bodies are the same up to numbers share one emitted class.

The numbers in which they differ become constructor arguments. A child that some instances lack (a downsampling shortcut)
becomes an optional field, its code a branch on it. Instances that differ in more than that get classes of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from op_table.expr import Call, Inference, Value, key, walk
from translator.alignment import ANY, Alignment, Passed, align, own
from translator.body import Bodies, Body, Statement
from translator.constructors import full_call
from translator.modules import CLASS, DICT, INLINE, LAYER, TUPLE, Array, Module
from translator.tokens import Literal, same_number, tokens


@dataclass(frozen=True)
class Branch:
    """Statements first..last (exclusive) run only where field is there; otherwise each result is the value beside it."""

    field: str
    first: int
    last: int
    results: tuple[tuple[Value, Value], ...]


class Given(Value):
    """An argument that only some instances get: source is the node that it is in the first of these, at path."""

    def __init__(self, like: Value, path: str, source: str):
        super().__init__(f"{like.name}__given", like.shape, like.dtype)
        self.path, self.source = path, source


@dataclass(eq=False)
class Member:
    """One instance of a definition: its numbers, place by place, and the fields it lacks.

    inputs: which of its own body's inputs each of the definition's is, by name; an optional one may be missing.
    same: its own value for each of the definition's, by name.
    """

    module: Module
    numbers: list[Any]
    inputs: dict[str, int] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()


@dataclass(eq=False)
class Definition:
    """An emitted class. The first member is its representative: its fields and body are written."""

    module: Module
    body: Body | None
    members: list[Member] = field(default_factory=list)
    name: str = ""
    arguments: list[Argument] = field(default_factory=list)
    places: list[Any] = field(default_factory=list)  # a number, or an Argument's expression, for each place
    extras: list[Given] = field(default_factory=list)  # optional arguments of `__call__`, None unless given
    given: dict[Any, Given] = field(default_factory=dict)  # the place in the body where each is read
    outputs: list[Value] = field(default_factory=list)  # what any member returns
    branches: list[Branch] = field(default_factory=list)  # on optional fields, in order
    needs_key: bool = False
    returns_by_mode: bool = False  # whether a root returns something else in evaluation mode
    # What `__call__` returns, once it is written: for each part the output that it is, or the outputs that it is a list of.
    returns: list[list[int] | int] | None = None
    results: list[str | None] = field(default_factory=list)
    stacked: set[str] = field(default_factory=set)  # the containers of module whose items are one, of stacked leaves

    @property
    def type_name(self) -> str:
        return self.module.type_name

    @property
    def inference(self) -> bool:
        """Whether its own code does something else in evaluation mode."""
        statements = self.body.statements if self.body is not None else []
        own = any(isinstance(part, Inference) for statement in statements for part in walk(statement.expr))
        return own or self.returns_by_mode

    @property
    def optional(self) -> list[str]:
        """The fields that some members lack, in order."""
        absent = {name for member in self.members for name in member.absent}
        return [name for name in self.module.entries if name in absent]


@dataclass(eq=False)
class Argument:
    """A constructor argument: its value for each member, in order.

    in_body: whether `__call__` reads it. field: the optional field that it says is there. default: what it is unless given.
    """

    name: str
    values: tuple
    in_body: bool = False
    field: str | None = None
    default: Any = None


@dataclass(frozen=True)
class Program:
    """All definitions, children before parents; of maps each module path that is an instance of a class to its definition."""

    definitions: tuple[Definition, ...]
    of: dict[str, Definition]
    bodies: Bodies
    root: Definition
    origin: Callable[[str], str]  # the node that a value is, if calls only handed it on


def merged(bodies: Bodies, name_arguments: Any) -> Program:
    """The fewest classes. Where some instances of one draw random numbers, the others are called with a key as well."""
    while True:
        program = Merger(bodies).run(name_arguments)
        keyed = [d for d in program.definitions if d.body is not None and d.body.key is not None]
        modules = [member.module for definition in keyed for member in definition.members]
        keyless = {module.path for module in modules if bodies.body_of(module, module.calls[0]).key is None}
        if not keyless:
            return program
        bodies.keyed |= keyless


class Merger:
    """Finds the definitions, from the innermost classes outwards."""

    def __init__(self, bodies: Bodies):
        self.bodies = bodies
        self.of: dict[str, Definition] = {}
        self.definitions: list[Definition] = []
        self.passed: dict[str, str] = {}

    def run(self, name_arguments: Any) -> Program:
        self._settle_calls()
        for group in _groups(self.bodies.tree):
            made = self._partition(group)
            self.definitions += made
            for definition in made:
                name_arguments(definition, self)
        return Program(tuple(self.definitions), self.of, self.bodies, self.of[""], self.origin)

    def _settle_calls(self) -> None:
        """A module whose calls do different things has no one __call__: its code is written in its callers."""
        changed = True
        while changed:
            changed = False
            self.bodies.__dict__["_bodies"] = {}
            for module in reversed(list(self.bodies.tree.walk())):
                if module.callable and len(module.calls) > 1 and module.path:
                    first, *rest = [self.bodies.body_of(module, call) for call in module.calls]
                    if not all(_same_call(module, first, other) for other in rest):
                        module.callable = False
                        changed = True

    def body(self, module: Module) -> Body | None:
        return self.bodies.body_of(module, module.calls[0]) if module.callable else None

    def _partition(self, group: list[Module]) -> list[Definition]:
        definitions: list[Definition] = []
        for module in sorted(group, key=lambda m: (-len(m.entries), -_length(self.body(m)))):
            self._arrange_calls(module)
            body = self.body(module)
            member = None
            for definition in definitions:
                member = self._fits(definition, module, body)
                if member is not None:
                    break
            if member is None:
                definition = Definition(module, body)
                definitions.append(definition)
                member = Member(module, [t.value for t in self.all_tokens(definition, module, own(module))])
                if body is not None:
                    definition.outputs = list(body.outputs)
                    member.inputs = {value.name: position for position, value in enumerate(body.inputs)}
                    member.same = {name: name for name in (*member.inputs, *_made(body))}
            definition.members.append(member)
            self.of[module.path] = definition
        return definitions

    def all_tokens(self, definition: Definition, module: Module, path: Any) -> Iterator[Literal]:
        """The places of a representative's numbers: its fields', then its body's."""
        for entry in module.entries.values():
            yield from (t for t in self.entry_tokens(entry) if isinstance(t, Literal))
        for statement in definition.body.statements if definition.body else ():
            yield from (t for t in tokens(statement.expr, path) if isinstance(t, Literal))

    def entry_tokens(self, entry: Module | Array | None) -> Iterator[Any]:
        """What a field is, as tokens: a layer by its constructor, an instance by its class and arguments, an array by its shape."""
        if isinstance(entry, Array):
            yield ("array", entry.dtype, entry.is_buffer, entry.is_state, len(entry.shape))
            yield from (Literal(size) for size in entry.shape)
        elif entry is None or entry.kind == INLINE:
            yield ("nothing",)
        elif entry.kind == LAYER:
            yield ("layer", entry.layer.event_ndim, key(entry.layer.lift))
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
            return Member(module, numbers, absent=absent)
        alignment = align(first, definition.body, definition.extras, module, body, absent)
        if alignment is None:
            return None
        member = Member(module, numbers + alignment.numbers, same=alignment.same, absent=absent)
        return member if self._adopt(definition, member, body, alignment) else None

    def _adopt(self, definition: Definition, member: Member, body: Body, alignment: Alignment) -> bool:
        """Take over what alignment found: arguments that become optional, branches, results. False if an earlier member forbids it."""
        mine = definition.body
        position = {value.name: i for i, value in enumerate(body.inputs)}
        known = {v.name: v for v in mine.inputs} | {v.name: v for v in _made(mine).values()}
        member.inputs = {v.name: position[member.same[v.name]] for v in mine.inputs}
        member.inputs |= {v.name: position[member.same[v.name]] for v in definition.extras if v.name in member.same}
        new: dict[str, Given] = {}
        given: dict[Any, Given] = {}
        for place, value in alignment.extras.items():
            extra = definition.given.get(place, new.get(value.name))
            if extra is None:
                extra = new[value.name] = Given(value, member.module.path, self.origin(value.name))
            if member.inputs.setdefault(extra.name, position[value.name]) != position[value.name]:
                return False
            given[place] = extra
        branches = {branch.first: branch for branch in definition.branches}
        for name, first, last, pairs in alignment.branches:
            results = tuple((result, known[o] if o else given[result.name]) for result, o in pairs)
            branch = Branch(name, first, last, results)
            earlier = branches.setdefault(first, branch)
            if earlier.last != last or [id(o) for _, o in earlier.results] != [id(o) for _, o in results]:
                return False
        ordered = sorted(branches.values(), key=lambda branch: branch.first)
        if any(a.last > b.first for a, b in itertools.pairwise(ordered)):
            return False
        definition.branches = ordered
        definition.given |= given
        definition.extras += new.values()
        for place, extra in given.items():
            if isinstance(place, tuple):
                statement, argument = mine.statements[place[0]], place[1]
                call = statement.expr
                args = (*call.args[:argument], extra, *call.args[argument + 1 :])
                statement.expr = Call(call.function, args, call.kwargs)
        member.same |= {
            extra.name: body.inputs[member.inputs[extra.name]].name
            for extra in definition.extras
            if extra.name in member.inputs
        }
        back = {theirs: name for name, theirs in reversed(member.same.items())}
        returned = {member.same.get(value.name) for value in definition.outputs}
        definition.outputs += [known[back[v.name]] for v in body.outputs if v.name not in returned]
        return True

    def origin(self, name: str) -> str:
        """The node that a value is, if calls only handed it on."""
        while name in self.passed:
            name = self.passed[name]
        return name

    def _arrange_calls(self, module: Module) -> None:
        """Calls of children pass their arguments, and take their results, in the order of the child's definition."""
        for call in module.calls if module.callable else ():
            latest: dict[tuple[int, str], Passed] = {}
            for statement in self.bodies.body_of(module, call).statements:
                child = self.bodies.by_path.get(statement.call.path) if statement.call is not None else None
                if child is not None and child.kind == CLASS and child.callable and not statement.arranged:
                    self._arrange(statement, child, latest)

    def _arrange(self, statement: Statement, child: Module, latest: dict[tuple[int, str], Passed]) -> None:
        """latest: what a definition's earlier calls in the same body handed back of a value, so that the next gets it from there."""
        definition, body = self.of[child.path], self.body(child)
        member = next(m for m in definition.members if m.module is child)
        args, targets = statement.expr.args, statement.targets
        extras = [args[member.inputs[v.name]] if v.name in member.inputs else None for v in definition.extras]
        extras = [latest.get((id(definition), self.origin(v.name)), v) if isinstance(v, Value) else v for v in extras]
        arranged = [args[member.inputs[v.name]] for v in definition.body.inputs]
        arguments = (*arranged, *args[len(body.inputs) :], *extras)
        made = {value.name: target for value, target in zip(body.outputs, targets, strict=True)}
        by_name = {
            v.name: arg
            for v, arg in zip((*definition.body.inputs, *definition.extras), (*arranged, *extras), strict=True)
        }
        results: list[Value | None] = []
        for output in definition.outputs:
            own_name = self.origin(member.same.get(output.name, ""))
            source = next((by_name[n] for n in by_name if self.origin(member.same.get(n, "-")) == own_name), None)
            if member.same.get(output.name) in made:
                results.append(made[member.same[output.name]])
            elif isinstance(source, Value):
                handed = Passed(source, f"{source.name}__passed{len(self.passed)}")
                self.passed[handed.name] = source.name
                latest[id(definition), self.origin(source.name)] = handed
                results.append(handed)
            else:
                results.append(None)
        statement.expr = Call(statement.expr.function, arguments, statement.expr.kwargs)
        statement.targets = tuple(results)
        statement.arranged = True


def _same_call(module: Module, first: Body, other: Body) -> bool:
    """Whether two calls of a module do the same, with the same numbers."""
    alignment = align(module, first, [], module, other, frozenset(), loose=False)
    mine = [t.value for s in first.statements for t in tokens(s.expr, own(module)) if isinstance(t, Literal)]
    return alignment is not None and all(map(same_number, mine, alignment.numbers))


def _made(body: Body) -> dict[str, Value]:
    """The values that a body makes, by name."""
    return {t.name: t for statement in body.statements for t in statement.targets if t is not None}


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
    "Program",
]
