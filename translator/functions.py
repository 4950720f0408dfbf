"""The regions of control flow as local functions: what a region's nodes were lowered to becomes the steps of one."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
from torch.fx import Node

from op_table.expr import (
    Attribute,
    Call,
    Expr,
    Function,
    RandomKey,
    Subscript,
    Value,
    transform,
    values,
    walk,
)
from translator import provenance
from translator.errors import Problem
from translator.hierarchy import is_item
from translator.lines import Assign, Def, Line, reads, rewrite
from translator.lower import op_name
from translator.regions import argument, closes, is_control_flow, opens
from translator.remat import checkpoint

if TYPE_CHECKING:
    from translator.body import Bodies
    from translator.source import Printer


class Functions:
    """Gathers the steps of each region while its nodes are lowered in order.

    lost: nodes that could not be lowered, and the functions and control flow around them, which are no problem of their own.
    """

    def __init__(self, bodies: Bodies):
        self.bodies = bodies
        self.inside: list[list[Node]] = []
        self.lost: set[Node] = set()

    def take(self, node: Node) -> bool:
        """Whether a node is none to lower: a marker of a region, or control flow over what could not be lowered."""
        if node.target is opens:
            self.inside.append([])
            return True
        if node.target is argument:
            return True
        if node.target is closes:
            self._close(node, self.inside.pop())
            return True
        if self.inside:
            self.inside[-1].append(node)
        if is_control_flow(node) and any(part in self.lost for part in node.all_input_nodes):
            self.lost.add(node)
            return True
        return False

    def _close(self, node: Node, inside: list[Node]) -> None:
        begin, parameters, result = node.args
        if any(part in self.lost for part in inside):
            self.lost.add(node)
            return
        for part in inside:
            if any(isinstance(p, RandomKey) for p in walk(self.bodies.lowered.get(part.name))):
                reason = "it draws random numbers within a branch or a body of control flow: draw them before it"
                self.bodies.problems.append(Problem(op_name(part), "", provenance.user_line(part), reason))
        steps = [parts for part in inside if (parts := self.bodies.parts(part)) is not None]
        function = Function(node.name, self._operands(parameters), steps, self._operands(result))
        self.bodies.values[node.name] = self.bodies.lowered[begin.name] = function

    def _operands(self, nodes: Any) -> Any:
        if isinstance(nodes, Node):
            return self.bodies.operand(nodes)
        return tuple(map(self._operands, nodes))


def nested(expr: Expr) -> Any:
    """The places of the leaves of an expression's value, as they are nested in it; None where that is one flat tuple, or one leaf."""
    structure = jax.tree.structure(expr.aval)
    places = jax.tree.unflatten(structure, range(structure.num_leaves))
    return places if isinstance(places, tuple) and any(isinstance(place, tuple) for place in places) else None


def result_names(nodes: Mapping[str, Node]) -> dict[str, str]:
    """What the source calls the results of control flow, by the statement that it is in."""
    found: dict[str, str] = {}
    for node in nodes.values():
        trace = provenance.frames(node) if is_control_flow(node) or node.target is checkpoint else ()
        names = provenance.targets(trace[-1], deep=True) if trace else None
        if names is not None and len(names) == len(node.meta["val"]):
            found |= {user.name: name for user in node.users if is_item(user) and (name := names[user.args[1]])}
    return found


def reduced(lines: list[Line]) -> list[Line]:
    """lines with each function that merely calls a module with its own arguments replaced by that module, so that loops can roll."""
    modules: dict[str, Any] = {}
    kept: list[Line] = []
    taken = set(_taken_as_modules(lines))
    for line in lines:
        if isinstance(line, Def):
            line.lines = reduced(line.lines)
            called = _called(line) if line.function.name in taken else None
            if called is not None:
                modules[line.function.name] = called
                continue
        kept.append(line)
    if modules:
        rewrite(kept, lambda part: modules.get(part.name, part) if isinstance(part, Function) else part)
    return kept


def _taken_as_modules(lines: list[Line]) -> Iterator[str]:
    """The functions that go to what takes a module as well: most of JAX's want to hash a function."""
    for line in lines:
        for part in walk(line.expr) if isinstance(line, Assign) else ():
            if (
                isinstance(part, Call)
                and isinstance(part.function, Attribute)
                and part.function.attribute in _ANY_CALLABLE
            ):
                yield from (arg.name for arg in part.args if isinstance(arg, Function))


_ANY_CALLABLE = {"map", "vmap", "filter_checkpoint"}


def _called(line: Def) -> Any:
    """The module that a function merely calls with its own arguments, or None."""
    if len(line.lines) != 1 or not isinstance(line.lines[0], Assign) or not line.function.parameters:
        return None
    call, targets = line.lines[0].expr, line.lines[0].targets
    if len(targets) != 1 or targets[0] is not line.result or not isinstance(call, Call) or call.kwargs:
        return None
    given = list(call.args)
    while given and given[-1] is None:
        given.pop()
    same = len(given) == len(line.function.parameters) and all(map(operator.is_, given, line.function.parameters))
    return call.function if same and isinstance(call.function, Value) else None


def hints(nodes: Mapping[str, Node]) -> dict[str, str]:
    """What the source calls the arguments of local functions."""
    return {name: node.meta["hint"] for name, node in nodes.items() if node.meta.get("hint")}


class Group(Value):
    """A parameter that is a tuple."""

    def __init__(self, parts: tuple[Value, ...]):
        super().__init__(f"{parts[0].name}__group", (), "float32")


SHORT = 44  # the longest function, in characters, that is a lambda where it is passed


def lambda_text(line: Def, printer: Printer) -> str | None:
    """A function of one short expression as a lambda, or as what it merely calls with its arguments; None if it is longer."""
    if line.lines:
        return None
    parameters = line.function.parameters
    call = line.result
    if parameters and isinstance(call, Call) and not call.kwargs and len(call.args) == len(parameters):
        alone = not any(value is parameter for value in values(call.function) for parameter in parameters)
        if (
            alone
            and not isinstance(call.function, Value)
            and not (line.function.spelled_out and isinstance(call.function, Call))
            and all(arg is parameter for arg, parameter in zip(call.args, parameters, strict=True))
        ):
            return printer.text(call.function)
    parts = {
        part.name: Subscript(line.groups[position], place)
        for position, group in enumerate(parameters)
        if isinstance(group, tuple)
        for place, part in enumerate(group)
    }
    result = transform(call, lambda part: parts.get(part.name, part) if isinstance(part, Value) else part)
    names = [printer.name(line.groups.get(i, parameter)) for i, parameter in enumerate(parameters)]
    text = f"lambda{' ' if names else ''}{', '.join(names)}: {printer.text(result)}"
    return text if len(text) <= SHORT else None


def written(line: Def, printer: Printer, block: Callable[[list[Line], int], list[str]], indent: int) -> list[str]:
    """The text of a local function, its lines by block."""
    pad = "    " * (indent + 1)
    read = {value.name for value in reads(line)}
    parameters, head = [], []
    for position, parameter in enumerate(line.function.parameters):
        if isinstance(parameter, tuple):
            parts = tuple(part if part.name in read else None for part in parameter)
            group = printer.name(line.groups[position])
            head.append(f"{pad}{target_text(parts, printer.name)} = {group}")
            parameters.append(group)
        else:
            parameters.append(printer.name(parameter))
    inner = block(line.lines, indent + 1)
    result = printer.text(line.result)
    if isinstance(line.result, tuple) and len(line.result) > 1:
        result = result[1:-1]
    first = f"{pad[4:]}def {printer.name(line.function)}({', '.join(parameters)}):"
    return [first, *head, *inner, f"{pad}return {result}"]


def target_text(line: Assign | tuple, name: Callable[[Value], str]) -> str:
    """What is assigned to, nested as the value is."""
    targets = line if isinstance(line, tuple) else line.targets
    nesting = getattr(line, "nesting", None)

    def text(place: Any) -> str:
        if not isinstance(place, tuple):
            return "_" if targets[place] is None else name(targets[place])
        parts = list(map(text, place))
        return "_" if all(part == "_" for part in parts) else f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"

    places = nesting if nesting is not None else tuple(range(len(targets)))
    return ", ".join(map(text, places))
