"""Constructor arguments: the numbers in which the instances of a class differ, each named once."""

from __future__ import annotations

from typing import Any

from op_table.expr import Call, Name, Operation, children
from translator.classes import ANY, Argument, Definition, Merger
from translator.constructors import argument_names, full_call, parameter_names
from translator.modules import CLASS, INLINE, LAYER, Array, Module, is_field_name
from translator.tokens import is_number, tokens

_MULTIPLES = range(2, 9)


def name_arguments(definition: Definition, merger: Merger) -> None:
    """Fill definition.places and definition.arguments: what stands at the place of each number of the class."""
    contexts = list(_contexts(definition, merger))
    fields = sum(1 for _ in _field_contexts(definition.module, merger))
    taken = {"self", "key"}
    for place, context in enumerate(contexts):
        column = [member.numbers[place] for member in definition.members]
        known = [value for value in column if value is not ANY.value]
        same = all(_same(value, known[0]) for value in known)
        argument = (
            _find(definition, column) if not same or (len(known) < len(column) and type(known[0]) is int) else None
        )
        if same and argument is None:
            definition.places.append(known[0])
            continue
        expression = Name(argument.name) if argument else None
        if expression is None and place < fields:
            expression = _multiple(definition, column)
        if expression is None:
            argument = Argument(_fresh(_attribute(definition, merger, column) or context, taken), tuple(column))
            definition.arguments.append(argument)
            expression = Name(argument.name)
        if place >= fields and argument is not None:
            argument.in_body = True
        definition.places.append(expression)
    for name in definition.optional:
        values = tuple(name not in member.absent for member in definition.members)
        definition.arguments.append(Argument(_fresh(f"has_{name}", taken), values, optional=True))
    for argument in definition.arguments:
        filler = next((v for v in argument.values if v is not ANY.value), None)
        argument.values = tuple(filler if v is ANY.value else v for v in argument.values)


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and (a == b or (a != a and b != b))


def _find(definition: Definition, column: list) -> Argument | None:
    """An argument with the same values where both have one; it takes over the values it lacked."""
    for argument in definition.arguments:
        pairs = list(zip(argument.values, column, strict=True))
        if all(ANY.value in (a, b) or _same(a, b) for a, b in pairs) and any(ANY.value not in (a, b) for a, b in pairs):
            argument.values = tuple(b if a is ANY.value else a for a, b in pairs)
            return argument
    return None


def _multiple(definition: Definition, column: list) -> Operation | None:
    for argument in definition.arguments:
        pairs = [(a, b) for a, b in zip(argument.values, column, strict=True) if ANY.value not in (a, b)]
        if len(set(pairs)) > 1 and all(type(a) is int and type(b) is int for a, b in pairs):
            for factor in _MULTIPLES:
                if all(b == factor * a for a, b in pairs):
                    return Operation("*", (factor, Name(argument.name)))
    return None


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
        names = [n for n, v in attributes.items() if is_number(v) and _same(v, value) and is_field_name(n)]
        common = names if common is None else [n for n in common if n in names]
    names = [
        n for n in common or [] if not n.startswith("_") and n not in definition.module.entries and n != "training"
    ]
    return names[0] if names else None


def _contexts(definition: Definition, merger: Merger) -> Any:
    """A name for each place, from where it stands: the argument that it is of a layer, of a child, of a call."""
    yield from _field_contexts(definition.module, merger)
    for statement in definition.body.statements if definition.body else ():
        yield from _expression_contexts(statement.expr, "value")


def _field_contexts(module: Module, merger: Merger) -> Any:
    for name, entry in module.entries.items():
        yield from _entry_contexts(name, entry, merger)


def _entry_contexts(name: str, entry: Module | Array, merger: Merger) -> Any:
    if isinstance(entry, Array):
        yield from (
            f"{name}_size" if len(entry.shape) == 1 else f"{name}_size_{axis}" for axis in range(len(entry.shape))
        )
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
