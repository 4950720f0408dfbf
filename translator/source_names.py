"""The names that the user's source gives to values: of locals, of arguments."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import torch
from torch.fx import Node

from op_table.expr import Value
from translator import provenance
from translator.hierarchy import ModuleCall, is_item, is_size
from translator.modules import is_field_name
from translator.parameters import parameter

RESERVED = {
    "self", "eqx", "jax", "jnp", "lax", "np", "math", "json", "Array", "Bool", "Complex", "Float", "Int", "PRNGKeyArray",
    "NamedTuple", "Path", "load_file", "load", "bind", "CONSTANTS", "TIED", "UNUSED", "int", "float", "bool", "complex", "len",
    "max", "min", "tuple", "list", "dict", "zip", "range", "slice", "iter", "next", "print", "type", "set", "sum", "abs", "str",
}  # fmt: skip

PLAIN = ("x", "y", "z", "u", "v", "w")


def usable(name: str | None) -> bool:
    """Whether a name of the source can name a local of the emitted file."""
    return bool(name) and is_field_name(name) and name not in RESERVED and not name.startswith("_")


def assigned_names(nodes: Iterable[Node], frame: int, elsewhere: bool = False) -> dict[str, str]:
    """What the source calls the values of nodes, in the code at a depth of the stack trace or below it.

    elsewhere: whether in helpers from other files, rather than in that code's own. A statement names only what outlives it: the values that other statements read. One that assigns to several names gives
    them in order, if it has as many such values, or one with as many parts.
    """
    groups: dict[tuple, list[Node]] = {}
    place: dict[Node, tuple] = {}
    for node in nodes:
        found = _naming_frame(node, frame, elsewhere)
        if found is not None:
            place[node] = found
            groups.setdefault(found, []).append(node)
    names: dict[str, str] = {}
    for key, members in groups.items():
        outlive = [node for node in members if any(place.get(user) != key for user in node.users)]
        # Where there are arrays, their lengths are not what is assigned.
        outlive = [node for node in outlive if not is_size(node)] or outlive
        targets = key[2]
        if len(targets) == 1:
            names |= {node.name: targets[0] for node in outlive if usable(targets[0])}
            continue
        if len(outlive) == 1 and _parts(outlive[0]) == len(targets):
            items = [user for user in outlive[0].users if is_item(user)]
            names |= {item.name: targets[item.args[1]] for item in items if usable(targets[item.args[1]])}
        elif len(targets) == len(outlive):
            names |= {node.name: name for node, name in zip(outlive, targets, strict=True) if usable(name)}
    return names


def _parts(node: Node) -> int:
    """How many values a node stands for."""
    value = node.meta.get("val")
    return len(value) if isinstance(value, (tuple, list)) else 1


def _naming_frame(node: Node, frame: int, elsewhere: bool) -> tuple | None:
    """The innermost statement at frame or below that assigns names: file, line and names."""
    trace = provenance.frames(node)
    first = max(frame, 0)
    for depth in range(len(trace) - 1, first - 1, -1):
        if (trace[depth].file != trace[first].file) is not elsewhere:
            continue
        nameless = trace[depth].in_torch and trace[depth].file != torch.nn.functional.__file__
        targets = None if nameless else provenance.targets(trace[depth])
        if targets is not None:
            return *provenance.line_key(trace[depth]), tuple(targets)
    return None


def call_names(node: Node | None, frame: int, child: int, result: Node | None = None) -> list[str | None]:
    """What the source calls the results of a child's call: the targets of the line that makes the call.

    frame and child are the depths in the stack trace of the calling code and of the child's own. A result that only the same
    line reads is not what that line assigns.
    """
    trace = provenance.frames(node) if node is not None else ()
    for depth in range(min(child, len(trace)) - 1, max(frame, 0) - 1, -1):
        found = None if trace[depth].in_torch else provenance.targets(trace[depth])
        if found is not None:
            line = provenance.line_key(trace[depth])
            direct = depth == child - 1  # and not through a Sequential, whose every result is on the way to that name
            within = direct and result is not None and all(_line(user, depth) == line for user in result.users)
            return [] if within else found
    return []


def _line(node: Node, depth: int) -> tuple[str, int] | None:
    trace = provenance.frames(node)
    return provenance.line_key(trace[depth]) if depth < len(trace) else None


def argument_names(call: ModuleCall, inputs: list[Value], nodes: dict[str, Node], hints: dict[str, str]) -> list[str]:
    """Names for the arguments of a class's `__call__`: what its torch module's forward calls them, if that was recorded.

    nodes: the FX node of each input by name. hints: what the values are called where they are made.
    """
    names = _recorded(call, inputs, nodes, hints)
    forward = () if any(names) else provenance.forward_names(call.type_name)
    hinted = [hints.get(value.name) for value in inputs]

    def settle(choose: Callable[[int], str | None]) -> None:
        for position, name in enumerate(names):
            chosen = choose(position) if name is None else None
            if usable(chosen) and chosen not in names:
                names[position] = chosen

    settle(lambda position: hinted[position] if hinted[position] in forward else None)
    settle(lambda position: hinted[position])
    for fallback in (*forward, *PLAIN):
        settle(lambda position: fallback)  # noqa: B023
    return [name or f"x{position}" for position, name in enumerate(names)]


def _recorded(call: ModuleCall, inputs: list[Value], nodes: dict[str, Node], hints: dict[str, str]) -> list[str | None]:
    """The parameter of forward that each input is; a part of one by the name that forward unpacks it to."""
    found = [parameter(nodes[v.name], call.path) if v.name in nodes else None for v in inputs]
    # A part of an argument goes by the name that it was made under.
    found = [
        hints[v.name] if name and "." in name and usable(hints.get(v.name)) else name
        for v, name in zip(inputs, found, strict=True)
    ]
    whole = Counter(name.partition(".")[0] for name in found if name)
    names: list[str | None] = []
    for name in found:
        base, _, place = (name or "").partition(".")
        parts = provenance.unpacked(call.type_name, base) if place.isdecimal() else ()
        if place.isdecimal() and int(place) < len(parts):
            base = parts[int(place)]
        elif place and whole[base] > 1:
            base = f"{base}_{place.replace('.', '_')}"
        count = 2
        while base in names:
            base, count = f"{base.removesuffix(f'_{count - 1}')}_{count}", count + 1
        names.append(base if usable(base) else None)
    return names


class LengthNames:
    """What the source calls the lengths of arrays, where it unpacks their shapes: in the code at a depth of the stack trace or below it."""

    def __init__(self, nodes: Iterable[Node], frame: int, arguments: Mapping[str, str], assigned: Mapping[str, str]):
        """arguments: by the names of values, what the source calls the arguments. assigned: what it calls other values."""
        self.arguments, self.assigned = arguments, assigned
        self.parameters: dict[str, tuple[str | None, ...]] = {}
        self.locals: dict[str, tuple[str | None, ...]] = {}
        traces = [[line for line in provenance.frames(node)[max(frame, 0) :] if not line.in_torch] for node in nodes]
        for lines in itertools.zip_longest(*traces):
            for line in filter(None, lines):
                shapes = provenance.shapes(line)
                for found, theirs in ((self.parameters, shapes.parameters), (self.locals, shapes.locals)):
                    for array, names in theirs.items():
                        found.setdefault(array, tuple(name.lower() if usable(name) else None for name in names))

    def of(self, value: Value) -> tuple[str | None, ...]:
        """A name for each length, by the source's name for the array; where that is not known, or is another's, by how many they are."""
        if value.name in self.arguments:
            found = [self.parameters.get(self.arguments[value.name]), *self.parameters.values()]
        elif value.name in self.assigned:
            found = [of.get(self.assigned[value.name]) for of in (self.locals, self.parameters)]
        else:
            found = [*self.locals.values(), *self.parameters.values()]
        return next((names for names in found if names is not None and len(names) == value.ndim), ())
