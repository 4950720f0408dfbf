"""The names that the user's source gives to values: of locals, of arguments."""

from __future__ import annotations

from collections.abc import Iterable

from torch.fx import Node

from op_table.expr import Value
from translator import provenance
from translator.hierarchy import ModuleCall
from translator.modules import is_field_name

RESERVED = {
    "self", "eqx", "jax", "jnp", "lax", "np", "math", "json", "Array", "Bool", "Complex", "Float", "Int", "PRNGKeyArray",
    "NamedTuple", "Path", "load_file", "load", "bind", "CONSTANTS", "TIED", "UNUSED", "int", "float", "bool", "complex", "len",
    "max", "min", "tuple", "list", "dict", "zip", "range", "slice", "iter", "next", "print", "type", "set", "sum", "abs", "str",
}  # fmt: skip

PLAIN = ("x", "y", "z", "u", "v", "w")


def usable(name: str | None) -> bool:
    """Whether a name of the source can name a local of the emitted file."""
    return bool(name) and is_field_name(name) and name not in RESERVED and not name.startswith("_")


def assigned_names(nodes: Iterable[Node], frame: int) -> dict[str, str]:
    """What the source calls the values of nodes, in the code at a depth of the stack trace or below it.

    A statement names only what outlives it: the values that other statements read. One that assigns to several names gives
    them in order, if it has as many such values.
    """
    groups: dict[tuple, list[Node]] = {}
    place: dict[Node, tuple] = {}
    for node in nodes:
        found = _naming_frame(node, frame)
        if found is not None:
            place[node] = found
            groups.setdefault(found, []).append(node)
    names: dict[str, str] = {}
    for key, members in groups.items():
        outlive = [node for node in members if any(place.get(user) != key for user in node.users)]
        targets = key[2]
        if len(targets) == 1:
            names |= {node.name: targets[0] for node in outlive if usable(targets[0])}
        elif len(targets) == len(outlive):
            names |= {node.name: name for node, name in zip(outlive, targets, strict=True) if usable(name)}
    return names


def _naming_frame(node: Node, frame: int) -> tuple | None:
    """The innermost statement at frame or below that assigns names: file, line and names."""
    trace = provenance.frames(node)
    for depth in range(len(trace) - 1, max(frame, 0) - 1, -1):
        targets = None if trace[depth].in_torch else provenance.targets(trace[depth])
        if targets is not None:
            return *provenance.line_key(trace[depth]), tuple(targets)
    return None


def call_names(node: Node | None, frame: int, child: int) -> list[str | None]:
    """What the source calls the results of a child's call: the targets of the line that makes the call.

    frame and child are the depths in the stack trace of the calling code and of the child's own.
    """
    trace = provenance.frames(node) if node is not None else ()
    for depth in range(min(child, len(trace)) - 1, max(frame, 0) - 1, -1):
        found = None if trace[depth].in_torch else provenance.targets(trace[depth])
        if found is not None:
            return found
    return []


def argument_names(call: ModuleCall, inputs: list[Value], nodes: dict[str, Node], hints: dict[str, str]) -> list[str]:
    """Names for the arguments of a class's `__call__`: those of the torch module's own forward, wherever its source tells which is which.

    nodes: the FX node of each input by name. hints: what the values are called where they are made.
    """
    forward = tuple(name for name in provenance.forward_names(call.type_name) if usable(name))
    inside = set(call.nodes())
    read = [_names_read(nodes.get(value.name), call, inside, forward) for value in inputs]
    names: list[str | None] = _passed(call, inputs, nodes, hints)

    def settle(choose) -> None:
        for position in range(len(inputs)):
            name = choose(position) if names[position] is None else None
            if name and name not in names:
                names[position] = name

    def only_one(position: int) -> str | None:
        left = read[position] - set(names)
        return left.pop() if len(left) == 1 else None

    hinted = [hints.get(value.name) for value in inputs]
    settle(lambda i: hinted[i] if hinted[i] in read[i] else None)
    settle(only_one)
    settle(only_one)
    settle(lambda i: hinted[i] if hinted[i] in forward else None)
    settle(lambda i: hinted[i] if usable(hinted[i]) else None)
    for fallback in (*forward, *PLAIN, *(f"x{n}" for n in range(len(inputs)))):
        settle(lambda i: fallback if not read[i] or fallback in read[i] or fallback not in forward else None)  # noqa: B023
    return [name or f"x{position}" for position, name in enumerate(names)]


def _passed(call: ModuleCall, inputs: list[Value], nodes: dict[str, Node], hints: dict[str, str]) -> list[str | None]:
    """The parameters that the calling statement passes the values as, by what they are called there."""
    first = next(call.nodes(), None)
    trace = provenance.frames(first) if first is not None else ()
    names: list[str | None] = [None] * len(inputs)
    depth = call.frame - 1
    if not 0 <= depth < len(trace) or trace[depth].in_torch:
        return names
    callee = next((part for part in reversed(call.path.split(".")) if not part.isdecimal()), "")
    parameters = provenance.passed_names(trace[depth], callee, provenance.forward_names(call.type_name))
    for position, value in enumerate(inputs):
        node = nodes.get(value.name)
        own = provenance.frames(node) if node is not None else ()
        called = provenance.targets(own[depth]) if depth < len(own) and own[depth].file == trace[depth].file else None
        known = [parameters[name] for name in called or [hints.get(value.name)] if name in parameters]
        if len(known) == 1 and usable(known[0]):
            names[position] = known[0]
    for parameter in {name for name in names if name}:
        several = [i for i, name in enumerate(names) if name == parameter]
        if len(several) > 1:
            parts = provenance.unpacked(call.type_name, parameter)
            parts = parts if len(parts) == len(several) else tuple(f"{parameter}_{i}" for i in range(len(several)))
            for position, part in zip(several, parts, strict=True):
                names[position] = part if usable(part) and part not in names else f"{parameter}_{position}"
    return names


def _names_read(node: Node | None, call: ModuleCall, inside: set[Node], forward: tuple[str, ...]) -> set[str]:
    """The arguments of forward that the lines read which read a node."""
    found: set[str] = set()
    for user in [user for user in node.users if user in inside][:4] if node is not None else []:
        own = [f for f in provenance.frames(user)[max(call.frame, 0) :] if provenance.within(f, call.type_name)]
        found |= {name for frame in own[:1] for name in provenance.names_read(frame) if name in forward}
    return found
