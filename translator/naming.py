"""Names for the values of one `__call__`, none of them taken from a value that is still needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch.fx import Node

from op_table.expr import Attribute, Call, Function, Name, Operation, Prelude, Subscript, Value, values
from translator import functions, provenance
from translator.classes import Given
from translator.keys import Key
from translator.lines import Assign, Def, For, If, Line, Return, reads, writes
from translator.loops import ItemLeaf
from translator.parameters import place
from translator.source_names import PLAIN, RESERVED, call_names, usable
from translator.state import State

_GENERIC = {"x", "out", "output", "input", "hidden_states", "y", "z"}

# What the result of an op is called where the source has no name for it.
_BY_FUNCTION = {
    "concatenate": "joined", "stack": "stacked", "mean": "mean", "var": "variance", "sum": "total", "where": "chosen",
    "einsum": "product", "matmul": "product", "softmax": "weights", "log_softmax": "log_probabilities", "rsqrt": "scale",
    "arange": "positions", "exp": "exponential", "pad": "padded", "argmax": "index", "max": "largest", "min": "smallest",
    "scaled_dot_product_attention": "attended", "sigmoid": "gate", "tanh": "squashed", "cumsum": "running_sum",
    "zeros": "zeros", "ones": "ones", "full": "filled", "array": "constant", "take_along_axis": "taken", "tril": "triangle",
    "cos": "cosine", "sin": "sine", "log": "logarithm", "split": "parts", "abs": "magnitude", "sqrt": "root", "clip": "clipped", "round": "rounded",
    "weight_norm": "weight", "cdist": "distances", "euclidean_distance": "distances", "difference_norm": "distances",
}  # fmt: skip
# What recurrent networks call the state that they are given, and return after the output.
_STATES = {"lstm": ("h", "c"), "gru": ("h",), "rnn_tanh": ("h",), "rnn_relu": ("h",)}
_COMPARISONS = {"==", "!=", "<", "<=", ">", ">=", "&", "|"}


class Namer:
    """Gives every value of a body its name, in running order."""

    def __init__(
        self,
        taken: Iterable[str] = (),
        hints: Mapping[str, str] | None = None,
        assigned: Mapping[str, str] | None = None,
        fallback: Mapping[str, str] | None = None,
        nodes: Mapping[str, Node] | None = None,
        results: Mapping[str, list[str | None]] | None = None,
    ):
        """hints: names for values that come from no node. assigned: the source's names for nodes. fallback: names that are not
        as good. nodes: by name. results: by path, what a child's own code calls what it returns."""
        self.hints, self.assigned, self.results = dict(hints or {}), dict(assigned or {}), dict(results or {})
        self.fallback, self.nodes = dict(fallback or {}), nodes or {}
        self.names: dict[str, str] = {}
        self.holders: dict[str, str] = {}
        self.reserved = RESERVED | set(taken)
        self.last: dict[str, int] = {}
        self.consumers: dict[str, Assign | None] = {}
        self.clock = 0

    def arguments(self, values: list[Value], names: list[str]) -> None:
        for value, name in zip(values, names, strict=True):
            self._give(value, name)

    def run(self, lines: list[Line], after: list[Value]) -> None:
        self._measure(lines)
        for value in after:
            self.last[value.name] = 1_000_000
        self._keep_for_functions(lines)
        self.clock = 0
        self._hint_carried(lines)
        self._name(lines)

    def _hint_carried(self, lines: list[Line]) -> None:
        """A variable that goes round a loop is called what a round's own code calls it."""
        for line in lines:
            if isinstance(line, For):
                for variable, value in line.carried:
                    made = _maker(line.lines, value)
                    name = self._called(made, _position(made, value)) if made is not None else None
                    if name:
                        self.hints.setdefault(variable.name, name)
                self._hint_carried(line.lines)

    def _measure(self, lines: list[Line]) -> None:
        """When each value is read last. What a loop or a choice reads from outside is needed until its end."""
        for line in lines:
            self.clock += 1
            if isinstance(line, (Def, Return)):
                self._measure(line.lines)
                self.clock += 1
                for value in values(line.result):
                    self.last[value.name] = self.clock
                self.clock += 1
            elif isinstance(line, (For, If)):
                self._measure(line.lines)
                self.clock += 1
                made = {value.name for inner in line.lines for value in writes(inner)}
                kept = [value for value in reads(line) if value.name not in made]
                if isinstance(line, For):
                    kept += [*line.items, *(value for _, value in (*line.carried, *line.collected))]
                for value in kept:
                    self.last[value.name] = max(self.clock, self.last.get(value.name, 0))
            else:
                for value in reads(line):
                    if isinstance(value, ItemLeaf):
                        self.last[value.item.name] = self.clock
                    self.consumers[value.name] = None if value.name in self.consumers else line
                    self.last[value.name] = self.clock

    def _keep_for_functions(self, lines: list[Line]) -> None:
        """What a local function reads is needed until the function is called."""
        for line in lines:
            if isinstance(line, Def):
                called = self.last.get(line.function.name, 0)
                own = {value.name for value in writes(line)}
                for value in (value for value in reads(line) if value.name not in own):
                    held = value.item if isinstance(value, ItemLeaf) else value
                    self.last[held.name] = max(called, self.last.get(held.name, 0))
            if not isinstance(line, Assign):
                self._keep_for_functions(line.lines)

    def _name(self, lines: list[Line]) -> None:
        for line in lines:
            self.clock += 1
            match line:
                case Assign():
                    self._assign(line)
                case Def():
                    self._def(line)
                case If():
                    last = _last_assign(line.lines)
                    for result, otherwise in line.results:
                        # An argument that stays as it is, or is computed here; a state, of which there is but one.
                        if isinstance(otherwise, (Given, State)):
                            self._take(result, self.names[otherwise.name])
                        else:
                            self._give(result, *self._candidates(last, _position(last, result) if last else 0))
                    self._name(line.lines[:-1])
                    self.clock += 2
                case Return():
                    self._name(line.lines)
                    self.clock += 2
                case For():
                    self._loop(line)

    def _def(self, line: Def) -> None:
        """A local function is called what the source calls it, and so are its arguments; a tuple of them is a `carry` or `xs`."""
        given = line.node.meta if line.node is not None else {}
        self._give(line.function, *filter(usable, [given.get("function")]), "body")
        for parameter in values(line.function.parameters):
            hints = [hint for hint in [self.hints.get(parameter.name)] if usable(hint)]
            self._give(parameter, *hints, *(PLAIN if not hints or hints[0] in PLAIN else ()))
        for position, parameter in enumerate(line.function.parameters):
            if isinstance(parameter, tuple):
                group = functions.Group(parameter)
                self._give(group, *filter(usable, [given.get("groups", {}).get(position)]), "carry", "items")
                line.groups[position] = group
        self._name(line.lines)
        self.clock += 2

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
                hint = self.fallback.get(_base(target)) or next(iter(self._dying(line)), None)
            others = [] if "__length" in target.name else self._candidates(line, position)  # of what reads the length
            self._give(target, *([hint] if hint else []), *others)

    def _candidates(self, line: Assign | None, position: int) -> list[str]:
        if line is None:
            return []
        names: list[str | None] = []
        if line.field is not None:
            names.append(self._called(line, position))
            names += [name for name in self._dying(line) if name in _GENERIC and _single(line)]
            inside = self.results.get(line.path or "", [])
            own = inside[position] if not _single(line) and position < len(inside) else None
            names += [own, self.fallback.get(_base(line.targets[position]))]
            names += [] if own else [line.field if _single(line) else f"{line.field}_{position}"]
        else:
            target = line.targets[position]
            name = self.assigned.get(target.name) if target is not None and len(line.targets) > 1 else None
            name = name or (self.assigned.get(line.node.name) if line.node is not None else None)
            name = name or self.fallback.get(_base(line.targets[position]))
            names.append(name)
            if not name:
                names += [*_returned(line.expr, position), *self._state(target)]
                names += [*self.of_base(line.expr), self._goal(line.targets[position]), *self._dying(line)[:1]]
        return [name for name in names if name and usable(name)]

    def _goal(self, value: Value | None) -> str | None:
        """What the source calls the result of the one line that reads a value."""
        consumer = self.consumers.get(value.name) if value is not None else None
        if consumer is None or len(consumer.targets) > 1 or consumer.node is None or consumer.field is not None:
            return None
        return self.assigned.get(consumer.node.name)

    def _state(self, value: Value | None) -> list[str]:
        """What a recurrent network calls a value that it starts from."""
        consumer = self.consumers.get(value.name) if value is not None else None
        states = _states(consumer.expr) if consumer is not None else ()
        given = consumer.expr.args[1] if states else ()
        parts = given if isinstance(given, tuple) else (given,)
        return [name for part, name in zip(parts, states, strict=False) if part is value]

    def _called(self, line: Assign, position: int) -> str | None:
        """What the source itself calls one result of a line."""
        if line.field is None:
            return self.assigned.get(line.node.name) if line.node is not None else None
        results = [self.nodes.get(_base(target)) for target in line.targets]
        names = call_names(line.node, line.frame, line.child_frame, results[position])
        places = [place(result, line.path or "") if result is not None else None for result in results]
        at = places[position]
        if len(names) == 1:
            at = 0 if _single(line) else None
        elif len(names) == len(line.targets) and not any(p is not None for p in places):
            at = position
        name = names[at] if at is not None and at < len(names) else None
        return name if usable(name) else None

    def of_base(self, expr: object) -> list[str]:
        """What an op's result is called by the op: a part or another shape of an array keeps its name."""
        base = None
        while isinstance(expr, Subscript) or (isinstance(expr, Call) and _is_method(expr)):
            base = expr if isinstance(expr, Subscript) else None
            expr = expr.value if isinstance(expr, Subscript) else expr.function.value
        if isinstance(expr, Name) and base is not None:  # CONSTANTS["blocks.0.relative_position_index"]
            return [str(base.index).rpartition(".")[2]]
        if isinstance(expr, Value):
            return [self.names[expr.name]] if expr.name in self.names else []
        if isinstance(expr, Call) and isinstance(expr.function, Attribute):
            return [_BY_FUNCTION[expr.function.attribute]] if expr.function.attribute in _BY_FUNCTION else []
        if isinstance(expr, Call) and isinstance(expr.function, Prelude):
            name = expr.function.function.__name__
            return [_BY_FUNCTION[name]] if name in _BY_FUNCTION else []
        if isinstance(expr, Operation) and expr.symbol in _COMPARISONS:
            return ["mask"]
        return []

    def _dying(self, line: Line) -> list[str]:
        """The names of arrays that a line reads for the last time."""
        arrays = [
            v for v in reads(line) if v.name in self.names and "__length" not in v.name and not isinstance(v, Key)
        ]
        arrays = [v for v in arrays if not isinstance(v, Function)]
        return [self.names[v.name] for v in arrays if self.last.get(v.name, 0) <= self.clock]

    def _give(self, value: Value, *candidates: str) -> None:
        for name in [*candidates, *([] if candidates else PLAIN)]:
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


def _states(expr: object) -> tuple[str, ...]:
    """The state of the recurrent network that is called; empty for other expressions."""
    called = isinstance(expr, Call) and isinstance(expr.function, Prelude)
    return _STATES.get(expr.function.function.__name__, ()) if called else ()


def _returned(expr: object, position: int) -> list[str]:
    """What a recurrent network calls one of its results."""
    states = _states(expr)
    return [("output", *states)[position]] if states else []


def _base(value: Value | None) -> str:
    """The name of the node that a value is, or stands for in a loop."""
    return value.name.partition("__")[0] if value is not None else ""


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


def _maker(lines: list[Line], value: Value) -> Assign | None:
    """The assignment among lines that makes a value."""
    return next((line for line in lines if isinstance(line, Assign) and any(t is value for t in line.targets)), None)


def _position(line: Assign, value: Value) -> int:
    return next(i for i, target in enumerate(line.targets) if target is value)


def _single(line: Assign) -> bool:
    """Whether a line makes one value, beside a state that may be returned with it."""
    return sum(not isinstance(target, State) for target in line.targets) == 1


def _last_assign(lines: list[Line]) -> Assign | None:
    return next((line for line in reversed(lines) if isinstance(line, Assign)), None)


def _is_method(call: Call) -> bool:
    function = call.function
    return (
        isinstance(function, Attribute)
        and isinstance(function.value, (Value, Subscript, Call))
        and function.attribute in _SHAPING
    )


_SHAPING = {"reshape", "swapaxes", "transpose", "astype"}
