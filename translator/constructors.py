"""Calls of constructors with all their arguments named, so that two can be compared, and with those that say nothing left out again."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from op_table.expr import Attribute, Call, Name, Value, evaluate, walk

_LEFT_TO_JAX = {"key", "dtype", "inference"}


@functools.cache
def _parameters(function: Any) -> tuple[inspect.Parameter, ...]:
    try:
        if inspect.isclass(function):  # an eqx.Module's own signature is that of its metaclass
            parameters = list(inspect.signature(function.__init__).parameters.values())[1:]
        else:
            parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return ()
    return tuple(p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))


def parameters(call: Call) -> tuple[inspect.Parameter, ...]:
    """The parameters of the class that a constructor call builds."""
    return _parameters(evaluate(call.function, {}))


def full_call(call: Call) -> Call:
    """The call with every optional argument written, as a keyword where it was not given by position."""
    given = dict(call.kwargs)
    kwargs = []
    for position, parameter in enumerate(parameters(call)):
        if position < len(call.args) or parameter.name in _LEFT_TO_JAX:
            continue
        if parameter.name in given:
            kwargs.append((parameter.name, _plain(given[parameter.name])))
        elif parameter.default is not parameter.empty:
            kwargs.append((parameter.name, _plain(parameter.default)))
    return Call(call.function, call.args, tuple(kwargs))


def _plain(value: Any) -> Any:
    """One number for all axes where every axis has the same: `stride=2` for `stride=(2, 2)`."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 and isinstance(value[0], int) else value


def short_call(call: Call) -> Call:
    """The call without the keyword arguments that are the class's defaults."""
    defaults = {p.name: p.default for p in parameters(call)}
    kwargs = tuple(
        (name, value) for name, value in call.kwargs if not _is_default(value, defaults.get(name, inspect._empty))
    )
    return Call(call.function, call.args, kwargs)


def _is_default(value: Any, default: Any) -> bool:
    default = _plain(default)
    return (
        type(value) is type(default)
        and isinstance(value, (bool, int, float, str, type(None), tuple))
        and value == default
    )


def argument_names(call: Call) -> list[str]:
    """The parameter name of each argument of a full call, in order."""
    names = [p.name for p in parameters(call)]
    return names[: len(call.args)] + [name for name, _ in call.kwargs]


def parameter_names(function: Any) -> list[str]:
    """The parameter names of a library or prelude function that an expression calls; none for a method or a module."""
    if any(isinstance(part, Value) for part in walk(function)) or isinstance(function, Call):
        return []
    if isinstance(function, Attribute) and not isinstance(function.value, (Name, Attribute)):
        return []
    try:
        return [p.name for p in _parameters(evaluate(function, {}))]
    except (AttributeError, TypeError):
        return []
