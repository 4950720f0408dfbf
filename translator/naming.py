"""Names for the values of one `__call__`: the user's own where the source gives one, and never one that is still needed for another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

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

_GENERIC = {"x", "out", "output", "input", "hidden_states", "y", "z"}
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


def call_name(node: Node | None, frame: int, child: int) -> list[str | None]:
    """What the source calls the results of a child's call: the targets of the line that makes the call.

    frame and child are the depths in the stack trace of the calling code and of the child's own.
    """
    trace = provenance.frames(node) if node is not None else ()
    for depth in range(min(child, len(trace)) - 1, max(frame, 0) - 1, -1):
        found = None if trace[depth].in_torch else provenance.targets(trace[depth])
        if found is not None:
            return found
    return []


def usable(name: str) -> bool:
    return is_field_name(name) and name not in RESERVED and not name.startswith("_")


def argument_names(call: ModuleCall, inputs: list[Value], nodes: dict[str, Node], hints: dict[str, str]) -> list[str]:
    """Names for the arguments of a class's `__call__`: those of the torch module's own forward, wherever its source tells which is which.

    nodes: the FX node of each input by name. hints: what the callers call the values.
    """
    forward = [name for name in provenance.forward_names(call.type_name) if usable(name)]
    inside = set(call.nodes())
    read = [_names_read(nodes.get(value.name), call, inside, forward) for value in inputs]
    hinted = [hints.get(value.name) for value in inputs]
    names: list[str | None] = [None] * len(inputs)

    def settle(choose: Callable[[int], str | None]) -> None:
        for position in range(len(inputs)):
            name = choose(position) if names[position] is None else None
            if name and name not in names:
                names[position] = name

    def only_one(position: int) -> str | None:
        left = read[position] - set(names)
        return left.pop() if len(left) == 1 else None

    settle(lambda i: hinted[i] if hinted[i] in read[i] else None)
    settle(only_one)
    settle(only_one)
    settle(lambda i: hinted[i] if hinted[i] in forward else None)
    settle(lambda i: next((name for name in forward if name in read[i] and name not in names), None))
    settle(lambda i: hinted[i] if hinted[i] and usable(hinted[i]) else None)
    for fallback in (*forward, *_PLAIN, *(f"x{n}" for n in range(len(inputs)))):
        settle(lambda i: fallback if not read[i] or fallback in read[i] or fallback not in forward else None)  # noqa: B023
    return [name or f"x{position}" for position, name in enumerate(names)]


def _names_read(node: Node | None, call: ModuleCall, inside: set[Node], forward: list[str]) -> set[str]:
    """The arguments of forward that the lines read which read a node."""
    found: set[str] = set()
    for user in [user for user in node.users if user in inside][:4] if node is not None else []:
        own = [f for f in provenance.frames(user)[max(call.frame, 0) :] if provenance.within(f, call.type_name)]
        found |= {name for frame in own[:1] for name in provenance.names_read(frame) if name in forward}
    return found


class Namer:
    """Gives every value of a body its name, in running order."""

    def __init__(self, taken: Iterable[str] = (), hints: Mapping[str, str] | None = None):
        self.hints = dict(hints or {})
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
        self._hint_carried(lines)
        self._name(lines)

    def _hint_carried(self, lines: list[Line]) -> None:
        """A variable that goes round a loop is called what a round's own code calls it."""
        for line in lines:
            if isinstance(line, For):
                for variable, value in line.carried:
                    made = _maker(line.lines, value)
                    name = _called(made, _position(made, value)) if made is not None else None
                    if name:
                        self.hints.setdefault(variable.name, name)
                self._hint_carried(line.lines)

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
            made = _maker(line.lines, value)
            names = self._candidates(made, _position(made, value)) if made is not None else []
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
            hint = self.hints.get(target.name)
            if hint is None and "__carried" in target.name:
                hint = next(iter(self._dying(line)), None)
            self._give(target, *([hint] if hint else []), *self._candidates(line, position))

    def _candidates(self, line: Assign | None, position: int) -> list[str]:
        if line is None:
            return []
        names: list[str | None] = []
        if line.field is not None:
            called = call_name(line.node, line.frame, line.child_frame)
            names.append(called[position] if position < len(called) else None)
            names += [name for name in self._dying(line) if name in _GENERIC and len(line.targets) == 1]
            names.append(line.field if len(line.targets) == 1 else f"{line.field}_{position}")
        else:
            names.append(source_name(line.node, line.frame))
            names += self._dying(line)[:1] if names == [None] else []
        return [name for name in names if name and usable(name)]

    def _dying(self, line: Line) -> list[str]:
        """The names of values that a line reads for the last time."""
        return [self.names[v.name] for v in reads(line) if v.name in self.names and self.last.get(v.name, 0) <= self.clock]

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


def _called(line: Assign, position: int) -> str | None:
    """What the source calls one result of a line."""
    if line.field is None:
        return source_name(line.node, line.frame)
    names = call_name(line.node, line.frame, line.child_frame)
    name = names[position] if position < len(names) else None
    return name if name and usable(name) else None


def _maker(lines: list[Line], value: Value) -> Assign | None:
    """The assignment among lines that makes a value."""
    return next((line for line in lines if isinstance(line, Assign) and any(t is value for t in line.targets)), None)


def _position(line: Assign, value: Value) -> int:
    return next(i for i, target in enumerate(line.targets) if target is value)


def _last_assign(lines: list[Line]) -> Assign | None:
    return next((line for line in reversed(lines) if isinstance(line, Assign)), None)


__all__ = ["Namer", "argument_names", "call_name", "item_names", "source_name", "usable"]
