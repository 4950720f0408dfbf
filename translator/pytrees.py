"""Classes that modules take and return, registered as pytrees with torch so that torch.export can flatten them.

A dataclass is registered by its fields. Any other object that holds tensors (the cache classes of transformers, say) is
registered as a plain container of its attributes, in their order; the emitted module returns it as a NamedTuple.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch.utils import _pytree as pytree

_PLAIN = (str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device, type)


def register(*values: Any) -> None:
    """Register the class of every object among values, and within them, that torch does not flatten and that holds tensors."""
    for value in values:
        _register(value)


def _register(value: Any, inside: bool = False) -> None:
    if isinstance(value, (torch.Tensor, *_PLAIN)) or callable(value):
        return
    if type(value) not in pytree.SUPPORTED_NODES and not _is_namedtuple(value):
        if not _holds_tensors(value):
            if inside:  # a cache's layer that keeps nothing, say: torch would take it for an output
                _register_object(type(value))
            return
        if dataclasses.is_dataclass(value):
            torch.export.register_dataclass(type(value), serialized_type_name=_name(type(value)))
        else:
            _register_object(type(value))
    for part in _parts(value):
        _register(part, inside or type(value) not in (tuple, list, dict))


def _is_namedtuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(type(value), "_fields")


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _parts(value: Any) -> list:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple)):
        return list(value)
    return list(vars(value).values()) if hasattr(value, "__dict__") else []


def _holds_tensors(value: Any, depth: int = 0) -> bool:
    if isinstance(value, torch.Tensor):
        return True
    if isinstance(value, _PLAIN) or callable(value) or depth > 4:
        return False
    return any(_holds_tensors(part, depth + 1) for part in _parts(value))


def fields(value: Any) -> list[str]:
    """The attributes of an object that hold tensors, in the order in which it set them."""
    return [name for name, part in vars(value).items() if _holds_tensors(part)]


def _register_object(cls: type) -> None:
    def flatten(value: Any) -> tuple[list, Any]:
        names = fields(value)
        rest = {name: part for name, part in vars(value).items() if name not in names}
        return [getattr(value, name) for name in names], (tuple(names), _Rest(rest))

    def unflatten(children: Any, context: Any) -> Any:
        names, rest = context
        value = cls.__new__(cls)
        value.__dict__.update(rest.attributes)
        value.__dict__.update(zip(names, children, strict=True))
        return value

    def flatten_with_keys(value: Any) -> tuple[list, Any]:
        children, context = flatten(value)
        return [(pytree.GetAttrKey(name), child) for name, child in zip(context[0], children, strict=True)], context

    pytree.register_pytree_node(
        cls, flatten, unflatten, serialized_type_name=_name(cls), flatten_with_keys_fn=flatten_with_keys
    )


class _Rest:
    """Attributes that hold no tensors: carried along, and equal to any other so that structures compare by their tensors."""

    def __init__(self, attributes: dict[str, Any]):
        self.attributes = attributes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rest)

    def __hash__(self) -> int:
        return 0

    def __deepcopy__(self, memo: dict) -> _Rest:
        """torch copies structures; what is in here may be a tracer's and not copy."""
        return self

    def __repr__(self) -> str:
        return "..."
