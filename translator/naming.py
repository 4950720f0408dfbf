"""Names for the values of one `__call__`: the user's own where the source gives one, and never one that is still needed for another."""

from __future__ import annotations

from collections.abc import Iterable

from torch.fx import Node

from op_table.expr import Value
from translator import provenance
from translator.hierarchy import ModuleCall
from translator.lines import Assign, For, If, Line, reads
from translator.modules import is_field_name

RESERVED = {
    "self", "eqx", "jax", "jnp", "lax", "np", "math", "json", "Array", "Bool", "Complex", "Float", "Int", "PRNGKeyArray",
    "NamedTuple", "Path", "load_file", "load", "bind", "CONSTANTS", "TIED", "UNUSED", "int", "float", "bool", "complex", "len",
    "max", "min", "tuple", "list", "dict", "zip", "range", "slice", "iter", "next", "print", "type", "set", "sum", "abs", "str",
}  # fmt: skip

_PLAIN = ("x", "y", "z", "u", "v", "w")


def source_name(node: Node | None, frame: int) -> str | None:
    """What the user's source calls a node's value in the code at a frame: the innermost plain assignment to one name."""
    if node is None:
        return None
    trace = provenance.frames(node)
    for depth in range(len(trace) - 1, max(frame, 0) - 1, -1):
        if trace[depth].in_torch:
            continue
        names = provenance.targets(trace[depth])
        if names is None:
            continue
        plain = [name for name in names if name]
        if len(plain) == 1 or (plain and len(names) > 1 and depth == frame):
            return plain[0] if usable(plain[0]) else None
        return None
    return None


def call_name(node: Node | None, frame: int) -> list[str | None]:
    """What the source calls the results of a child's call: the targets of the line at frame that makes the call."""
    if node is None:
        return []
    trace = provenance.frames(node)
    if 0 <= frame < len(trace):
        return provenance.targets(trace[frame]) or []
    return []


def usable(name: str) -> bool:
    return is_field_name(name) and name not in RESERVED and not name.startswith("_")


def argument_names(call: ModuleCall, inputs: list[Value], nodes: dict[str, Node], hints: dict[str, str]) -> list[str]:
    """Names for the arguments of a class's `__call__`: those of the torch module's own forward, wherever its source tells which is which.

    nodes: the FX node of each input by name. hints: what the callers call the values.
    """
    forward = [name for name in provenance.forward_names(call.type_name) if usable(name)]
    inside = set(call.nodes())
    names: list[str] = []
    for value in inputs:
        node = nodes.get(value.name)
        read: set[str] = set()
        users = [user for user in node.users if user in inside] if node is not None else []
        for user in users[:4]:
            trace = provenance.frames(user)
            own = [f for f in trace[max(call.frame, 0) :] if provenance.within(f, call.type_name)]
            read |= {name for frame in own[:1] for name in provenance.names_read(frame) if name in forward}
        read -= set(names)
        hint = hints.get(value.name)
        if len(read) == 1:
            names.append(read.pop())
        elif hint in forward and hint not in names:
            names.append(hint)
        elif hint and usable(hint) and hint not in names:
            names.append(hint)
        else:
            left = [name for name in [*(n for n in forward if n in read), *forward, *_PLAIN] if name not in names]
            names.append(left[0] if left else f"x{len(names)}")
    return names


class Namer:
    """Gives every value of a body its name, in running order."""

    def __init__(self, taken: Iterable[str] = ()):
        self.names: dict[str, str] = {}
        self.holders: dict[str, str] = {}
        self.reserved = RESERVED | set(taken)
        self.last: dict[str, int] = {}
        self.clock = 0

    def arguments(self, values: list[Value], names: list[str]) -> None:
        for value, name in zip(values, names, strict=True):
            self._give(value, name)

    def run(self, lines: list[Line], after: list[Value]) -> None:
        self._measure(lines)
        for value in after:
            self.last[value.name] = 1_000_000
        self.clock = 0
        self._name(lines)

    def _measure(self, lines: list[Line]) -> None:
        """When each value is read last. What a loop reads from outside is needed until its end."""
        for line in lines:
            self.clock += 1
            if isinstance(line, (For, If)):
                self._measure(line.lines)
                self.clock += 1
                for value in reads(line):
                    self.last[value.name] = max(self.clock, self.last.get(value.name, 0))
            else:
                for value in reads(line):
                    self.last[value.name] = self.clock

    def _name(self, lines: list[Line]) -> None:
        for line in lines:
            self.clock += 1
            match line:
                case Assign():
                    self._assign(line)
                case If():
                    self._give(line.result, *self._candidates(_last_assign(line.lines), 0))
                    self._name(line.lines[:-1])
                    self.clock += 2
                case For():
                    self._loop(line)

    def _loop(self, line: For) -> None:
        for item in line.items:
            self._give(item, *item_names(line, item))
        for variable, value in line.collected:
            made = next((i for i in line.lines if isinstance(i, Assign) and any(t is value for t in i.targets)), None)
            names = self._candidates(made, made.targets.index(value)) if made is not None else []
            self._give(variable, *(f"all_{name}" for name in names), "outputs")
        # What a round hands on is assigned to the name it was read by.
        for variable, value in line.carried:
            if self._replaces(line, variable, value):
                self.names[value.name] = self.names[variable.name]
        self._name(line.lines)
        self.clock += 1

    def _replaces(self, line: For, variable: Value, value: Value) -> bool:
        """Whether a round may assign value straight to the carried variable: nothing reads the variable after that."""
        position = next(
            (i for i, inner in enumerate(line.lines) if isinstance(inner, Assign) and any(t is not None and t.name == value.name for t in inner.targets)),
            None,
        )  # fmt: skip
        if position is None:
            return False
        return not any(v.name == variable.name for inner in line.lines[position + 1 :] for v in reads(inner))

    def _assign(self, line: Assign) -> None:
        for position, target in enumerate(line.targets):
            if target is None or target.name in self.names:
                continue
            self._give(target, *self._candidates(line, position))

    def _candidates(self, line: Assign | None, position: int) -> list[str]:
        if line is None:
            return []
        names: list[str | None] = []
        if line.field is not None:
            called = call_name(line.node, line.frame)
            names.append(called[position] if position < len(called) else None)
            names.append(line.field if len(line.targets) == 1 else f"{line.field}_{position}")
        else:
            names.append(source_name(line.node, line.frame))
        return [name for name in names if name and usable(name)]

    def _give(self, value: Value, *candidates: str) -> None:
        for name in [*candidates, *([] if candidates else _PLAIN)]:
            if self._free(name):
                self._take(value, name)
                return
        base, count = (candidates[0] if candidates else "x"), 2
        while not self._free(f"{base}_{count}"):
            count += 1
        self._take(value, f"{base}_{count}")

    def _free(self, name: str) -> bool:
        holder = self.holders.get(name)
        return name not in self.reserved and (holder is None or self.last.get(holder, 0) <= self.clock)

    def _take(self, value: Value, name: str) -> None:
        self.names[value.name] = name
        self.holders[name] = value.name


def item_names(line: For, item: Value) -> list[str]:
    """Names for a loop's item: the loop variable of the user's source, or the singular of the tuple's field."""
    for inner in line.lines:
        if isinstance(inner, Assign) and inner.node is not None:
            trace = provenance.frames(inner.node)
            for frame in trace[max(inner.frame, 0) : max(inner.frame, 0) + 2]:
                name = None if frame.in_torch else provenance.loop_variable(frame)
                if name and usable(name):
                    return [name]
    field = next((part for part in reversed(getattr(item, "path", "").split(".")) if not part.isdecimal()), "")
    singular = field[:-1] if field.endswith("s") and len(field) > 3 else None
    return [name for name in (singular, "block", "item") if name and usable(name)]


def _last_assign(lines: list[Line]) -> Assign | None:
    return next((line for line in reversed(lines) if isinstance(line, Assign)), None)


__all__ = ["Namer", "argument_names", "call_name", "item_names", "source_name", "usable"]
