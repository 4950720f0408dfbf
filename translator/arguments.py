"""Constructor arguments: the numbers in which the instances of a class differ, each named once."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch._ops import OpOverload
from torch.utils import _pytree as pytree

from op_table.expr import Attribute, Call, Expr, Name, Operation, Subscript, children, walk
from translator import provenance
from translator.alignment import ANY
from translator.body import Statement
from translator.classes import Argument, Definition, Merger
from translator.constructors import argument_names, full_call, parameter_names
from translator.modules import CLASS, INLINE, LAYER, Array, Module, is_field_name
from translator.tokens import is_number, same_number, tokens

_SMALL = range(2, 9)


def name_arguments(definition: Definition, merger: Merger) -> None:
    """Fill definition.places and definition.arguments: what stands at the place of each number of the class."""
    contexts = list(_contexts(definition, merger))
    fields = sum(1 for _ in _field_contexts(definition.module, merger))
    taken = {"self", "key", *definition.module.entries}
    for place in range(len(contexts)):
        column = [member.numbers[place] for member in definition.members]
        known = [value for value in column if value is not ANY.value]
        same = all(same_number(value, known[0]) for value in known)
        argument = (
            _find(definition, column) if not same or (len(known) < len(column) and type(known[0]) is int) else None
        )
        if same and argument is None:
            definition.places.append(known[0])
            continue
        expression = Name(argument.name) if argument else None
        if place >= fields:
            length = _length(definition, merger, column)
            expression = expression if length is None else length
        if expression is None:
            expression = _derived(definition, column)
        if expression is None:
            base = _base(definition, contexts[:fields], place)
            of_base = [member.numbers[base] for member in definition.members]
            name = _attribute(definition, merger, of_base)
            names = [name] if name else _readable_names(definition, contexts, base)
            argument = Argument(_fresh(names, taken), tuple(of_base))
            definition.arguments.append(argument)
            expression = Name(argument.name) if base == place else _derived(definition, column)
        if place >= fields:
            for argument in definition.arguments:
                argument.in_body |= any(
                    isinstance(part, Name) and part.text == argument.name for part in walk(expression)
                )
        definition.places.append(expression)
    for name in definition.optional:
        values = tuple(name not in member.absent for member in definition.members)
        argument = Argument(_fresh([f"has_{name}"], taken), values, field=name)
        argument.in_body = definition.module.entries[name].kind == INLINE  # there is no field to ask
        definition.arguments.append(argument)
    for argument in definition.arguments:
        filler = next((v for v in argument.values if v is not ANY.value), None)
        argument.values = tuple(filler if v is ANY.value else v for v in argument.values)
        argument.default = False if argument.field else _default(argument.values)


@dataclass(frozen=True)
class _Context:
    """Where a number stands. name: the argument that it is. owner: the field, or else the class, of the child whose it is.

    vague: whether another name for the same number says more, as that of an argument of a layer does than that of an array's size.
    """

    name: str
    owner: str | None = None
    vague: bool = False

    @property
    def kind(self) -> str:
        """What is counted: the `channels` of `in_channels`."""
        return re.sub("^(in|out|hidden)_", "", self.name)


def _readable_names(definition: Definition, contexts: list[_Context], place: int) -> list[str]:
    """Names for the number of a place, the best first: what the first layer with it calls it, or that with its owner before.

    `in_channels` and `out_channels` are those of the class; what only its own layers hand on is `hidden_channels`, and what
    it takes and hands on is `channels`.
    """
    column = [member.numbers[place] for member in definition.members]
    alike = [
        other
        for other in range(place, len(contexts))
        if _agree(column, [member.numbers[other] for member in definition.members])
    ]
    context = next((contexts[other] for other in alike if not contexts[other].vague), contexts[place])
    name, kind = context.name, context.kind
    if kind != name and not name.startswith("hidden_"):
        taken, given = ([p for p, c in enumerate(contexts) if c.name in (way + kind, kind)] for way in ("in_", "out_"))
        enters, leaves = taken and taken[0] in alike, given and given[-1] in alike
        passes = not set(taken).isdisjoint(alike) and not set(given).isdisjoint(alike)
        if passes:
            name = kind if enters else f"out_{kind}" if leaves else f"hidden_{kind}"
    return [name, *([f"{context.owner}_{kind}"] if context.owner else [])]


def _default(values: tuple) -> Any:
    """What most instances have, if that is what one expects of a layer unless told otherwise: no stride, no padding, a switch."""
    if type(values[0]) is bool:
        return False if False in values else None
    value = Counter(map(repr, values)).most_common(1)[0]
    count, value = value[1], next(v for v in values if repr(v) == value[0])
    plain = type(value) is float or value in (0, 1)
    return value if plain and count > 2 and 2 * count > len(values) else None


def _find(definition: Definition, column: list) -> Argument | None:
    """An argument with the same values where both have one; it takes over the values it lacked."""
    for argument in definition.arguments:
        if _agree(argument.values, column):
            pairs = zip(argument.values, column, strict=True)
            argument.values = tuple(b if a is ANY.value else a for a, b in pairs)
            return argument
    return None


def _agree(one: Sequence, other: Sequence) -> bool:
    """Whether two places have the same numbers in the instances that have both, of which there is one."""
    both = [pair for pair in zip(one, other, strict=True) if ANY.value not in pair]
    return bool(both) and all(same_number(*pair) for pair in both)


def _length(definition: Definition, merger: Merger, column: list) -> Expr | None:
    """The length of an argument's axis, if that is the number in every instance."""
    if definition.body is None or any(type(value) is not int for value in column):
        return None
    bodies = [merger.body(member.module) for member in definition.members]
    for value in definition.body.inputs:
        inputs = [body.inputs[m.inputs[value.name]] for m, body in zip(definition.members, bodies, strict=True)]
        for axis in range(value.ndim):
            if all(x.ndim == value.ndim and x.shape[axis] == n for x, n in zip(inputs, column, strict=True)):
                return Subscript(Attribute(value, "shape"), axis)
    return None


def _base(definition: Definition, contexts: list[_Context], place: int) -> int:
    """The later place, what the same layer takes in, whose number what it gives out is a multiple of; or else the place itself."""

    def multiple(other: int) -> bool:
        pairs = [(member.numbers[place], member.numbers[other]) for member in definition.members]
        whole = all(type(a) is int and type(b) is int for a, b in pairs)
        return whole and any(all(a == n * b for a, b in pairs) for n in _SMALL)

    if place >= len(contexts) or not contexts[place].name.startswith("out_"):
        return place
    taken = replace(contexts[place], name=f"in_{contexts[place].kind}")
    return next((p for p in range(place, len(contexts)) if contexts[p] == taken and multiple(p)), place)


def _derived(definition: Definition, column: list) -> Operation | None:
    """A number that follows from an earlier argument in every instance: a multiple, a fraction, the square, or so many less."""
    for argument in definition.arguments:
        pairs = [(a, b) for a, b in zip(argument.values, column, strict=True) if ANY.value not in (a, b)]
        if len(set(pairs)) < 2 or not all(type(a) is int and type(b) is int for a, b in pairs):
            continue
        for expression, forward, back in _formulas(Name(argument.name)):
            # Where an instance has no use for the argument yet, the number says what it must be.
            zipped = zip(argument.values, column, strict=True)
            values = tuple(back(b) if a is ANY.value and b is not ANY.value else a for a, b in zipped)
            settled = [(a, b) for a, b in zip(values, column, strict=True) if ANY.value not in (a, b)]
            if all(forward(a) == b for a, b in settled):
                argument.values = values
                return expression
    return None


def _formulas(name: Name) -> Iterator[tuple[Operation, Callable[[int], int], Callable[[int], int]]]:
    """Ways in which a number may follow from an argument: as code, as a function, and back."""
    yield Operation("**", (name, 2)), lambda a: a * a, math.isqrt
    for n in _SMALL:
        yield Operation("*", (n, name)), lambda a, n=n: n * a, lambda b, n=n: b // n
        yield Operation("//", (name, n)), lambda a, n=n: a // n if a % n == 0 else None, lambda b, n=n: b * n
    for n in _SMALL:
        yield Operation("-", (name, n)), lambda a, n=n: a - n, lambda b, n=n: b + n


def _fresh(names: list[str], taken: set[str]) -> str:
    numbered = (f"{names[0]}_{count}" for count in itertools.count(2))
    candidate = next(name for name in itertools.chain(names, numbered) if name not in taken)
    taken.add(candidate)
    return candidate


def _attribute(definition: Definition, merger: Merger, column: list) -> str | None:
    """The attribute of the torch modules that holds these very numbers, if there is one."""
    torch_module = merger.bodies.captured.module
    if torch_module is None:
        return None
    common: list[str] | None = None
    for member, value in zip(definition.members, column, strict=True):
        if value is ANY.value:
            continue
        attributes = vars(torch_module.get_submodule(member.module.path))
        names = [n for n, v in attributes.items() if _holds(v, value) and is_field_name(n)]
        common = names if common is None else [n for n in common if n in names]
    names = [
        n for n in common or [] if not n.startswith("_") and n not in definition.module.entries and n != "training"
    ]
    return names[0] if names else None


def _holds(attribute: Any, number: Any) -> bool:
    """Whether an attribute is a number, or the same number for each axis, as `kernel_size=(3, 3)` is."""
    numbers = attribute if isinstance(attribute, tuple) and attribute else (attribute,)
    return all(is_number(n) and same_number(n, number) for n in numbers)


def _contexts(definition: Definition, merger: Merger) -> Iterator[_Context]:
    """A name for each place, from where it stands: the argument that it is of a layer, of a child, of a call."""
    yield from _field_contexts(definition.module, merger)
    for statement in definition.body.statements if definition.body else ():
        named = _named_in_source(statement)
        contexts = list(_expression_contexts(statement.expr, "value"))
        yield from (_Context(name or context) for name, context in zip(named or contexts, contexts, strict=True))


def _named_in_source(statement: Statement) -> list[str | None] | None:
    """What the source of a call such as `x.view(batch, height, width)` calls each number; None unless they match one by one."""
    numbers, axes = [part for part in walk(statement.expr) if is_number(part)], list(_axes(statement.expr))
    node = statement.node
    if node is None or not numbers or not isinstance(node.target, OpOverload):
        return None
    given = [a for a in pytree.tree_leaves((node.args[1:], node.kwargs)) if is_number(a)]
    names = provenance.given_names(node, {node.target._schema.name.partition("::")[2], "view", "reshape"})
    names = [name for name, arg in zip(names, pytree.tree_leaves(node.args[1:]), strict=False) if is_number(arg)]
    if given != [n for n, axis in zip(numbers, axes, strict=True) if not axis] or len(names) != len(given):
        return None
    left = iter(names)
    names = [None if axis else next(left) for axis in axes]
    return [name if name and is_field_name(name) else None for name in names]


def _axes(part: Any) -> Iterator[bool]:
    """For each number of an expression, whether it is an axis of a shape: the 0 of `x.shape[0]`."""
    if is_number(part):
        yield False
    elif isinstance(part, Subscript) and isinstance(part.value, Attribute) and part.value.attribute == "shape":
        yield from (True for number in walk(part.index) if is_number(number))
    else:
        for child in children(part):
            yield from _axes(child)


def _field_contexts(module: Module, merger: Merger) -> Iterator[_Context]:
    for name, entry in module.entries.items():
        yield from _entry_contexts(name, entry, merger, name)


def _entry_contexts(name: str, entry: Module | Array, merger: Merger, owner: str | None) -> Iterator[_Context]:
    if isinstance(entry, Array):
        flat = sum(size != 1 for size in entry.shape) <= 1
        names = (f"{name}_size" if flat else f"{name}_size_{axis}" for axis in range(len(entry.shape)))
        yield from (_Context(name, vague=True) for name in names)
    elif entry.kind == INLINE:
        return
    elif entry.kind == LAYER and entry.layer is not None:
        call = full_call(entry.layer.constructor)
        arguments = (*call.args, *(value for _, value in call.kwargs))
        for argument_name, value in zip(argument_names(call), arguments, strict=True):
            # A norm's shape, where it has one axis.
            context = "features" if argument_name == "shape" and is_number(value) else _readable(argument_name)
            yield from (_Context(context, owner) for t in tokens(value, lambda v: None) if hasattr(t, "value"))
    elif entry.kind == CLASS:
        owner = owner or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", entry.type_name.rpartition(".")[2]).lower()
        yield from (_Context(_readable(argument.name), owner) for argument in merger.of[entry.path].arguments)
    else:
        for child_name, child in entry.entries.items():
            named = not child_name.isdecimal()
            yield from _entry_contexts(child_name if named else name, child, merger, child_name if named else None)


def _readable(name: str) -> str:
    return name if is_field_name(name) else "size"


def _expression_contexts(part: Any, context: str) -> Any:
    if is_number(part):
        yield context
    elif isinstance(part, Call):
        if isinstance(part.function, Attribute) and part.function.attribute == "reshape":
            context = "size"
        yield from _expression_contexts(part.function, context)
        names = [*parameter_names(part.function), *[context] * len(part.args)]
        for arg, name in zip(part.args, names, strict=False):
            yield from _expression_contexts(arg, name if is_field_name(name) else context)
        for name, value in part.kwargs:
            yield from _expression_contexts(value, name if is_field_name(name) else context)
    else:
        for child in children(part):
            yield from _expression_contexts(child, context)
