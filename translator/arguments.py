"""Constructor arguments: the numbers in which the instances of a class differ, each named once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
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
            name = _attribute(definition, merger, column) or _readable_context(definition, contexts, place)
            argument = Argument(_fresh(name, taken), tuple(column))
            definition.arguments.append(argument)
            expression = Name(argument.name)
        if place >= fields:
            for argument in definition.arguments:
                argument.in_body |= any(
                    isinstance(part, Name) and part.text == argument.name for part in walk(expression)
                )
        definition.places.append(expression)
    for name in definition.optional:
        values = tuple(name not in member.absent for member in definition.members)
        argument = Argument(_fresh(f"has_{name}", taken), values, field=name)
        argument.in_body = definition.module.entries[name].kind == INLINE  # there is no field to ask
        definition.arguments.append(argument)
    for argument in definition.arguments:
        filler = next((v for v in argument.values if v is not ANY.value), None)
        argument.values = tuple(filler if v is ANY.value else v for v in argument.values)
        argument.default = False if argument.field else _default(argument.values)


class _OfArray(str):
    """A name for a number of an array's shape, which says less than the argument of a layer with the same numbers."""


def _readable_context(definition: Definition, contexts: list[str], place: int) -> str:
    """The name for the number of a place: what the first layer with it calls it, without in_ where it comes out of layers, too."""
    column = [member.numbers[place] for member in definition.members]
    alike = [
        contexts[other]
        for other in range(place, len(contexts))
        if all(same_number(m.numbers[other], value) for m, value in zip(definition.members, column, strict=True))
    ]
    name = next((context for context in alike if not isinstance(context, _OfArray)), contexts[place])
    kind = name.removeprefix("in_")
    return kind if kind != name and f"out_{kind}" in alike else name


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
        pairs = list(zip(argument.values, column, strict=True))
        if all(ANY.value in (a, b) or same_number(a, b) for a, b in pairs) and any(
            ANY.value not in (a, b) for a, b in pairs
        ):
            argument.values = tuple(b if a is ANY.value else a for a, b in pairs)
            return argument
    return None


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


def _fresh(name: str, taken: set[str]) -> str:
    candidate, count = name, 2
    while candidate in taken:
        candidate, count = f"{name}_{count}", count + 1
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


def _contexts(definition: Definition, merger: Merger) -> Any:
    """A name for each place, from where it stands: the argument that it is of a layer, of a child, of a call."""
    yield from _field_contexts(definition.module, merger)
    for statement in definition.body.statements if definition.body else ():
        named = _named_in_source(statement)
        contexts = list(_expression_contexts(statement.expr, "value"))
        yield from (name or context for name, context in zip(named or contexts, contexts, strict=True))


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


def _field_contexts(module: Module, merger: Merger) -> Any:
    for name, entry in module.entries.items():
        yield from _entry_contexts(name, entry, merger)


def _entry_contexts(name: str, entry: Module | Array, merger: Merger) -> Any:
    if isinstance(entry, Array):
        flat = sum(size != 1 for size in entry.shape) <= 1
        yield from (_OfArray(f"{name}_size" if flat else f"{name}_size_{axis}") for axis in range(len(entry.shape)))
    elif entry.kind == INLINE:
        return
    elif entry.kind == LAYER and entry.layer is not None:
        call = full_call(entry.layer.constructor)
        arguments = (*call.args, *(value for _, value in call.kwargs))
        for argument_name, value in zip(argument_names(call), arguments, strict=True):
            yield from (_readable(argument_name) for t in tokens(value, lambda v: None) if hasattr(t, "value"))
    elif entry.kind == CLASS:
        yield from (_readable(argument.name) for argument in merger.of[entry.path].arguments)
    else:
        for child_name, child in entry.entries.items():
            yield from _entry_contexts(name if child_name.isdecimal() else child_name, child, merger)


def _readable(name: str) -> str:
    return name if is_field_name(name) else "size"


def _expression_contexts(part: Any, context: str) -> Any:
    if is_number(part):
        yield context
    elif isinstance(part, Call):
        yield from _expression_contexts(part.function, context)
        names = [*parameter_names(part.function), *[context] * len(part.args)]
        for arg, name in zip(part.args, names, strict=False):
            yield from _expression_contexts(arg, name if is_field_name(name) else context)
        for name, value in part.kwargs:
            yield from _expression_contexts(value, name if is_field_name(name) else context)
    else:
        for child in children(part):
            yield from _expression_contexts(child, context)
