"""Nested arguments and outputs: their tensors under names, in torch's classes and in those of the emitted file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import torch

from translator import pytrees
from translator.arrays import to_array

_NUMBERS = (bool, int, float, complex)


def parts(value: Any) -> list[tuple[str, Any]] | None:
    """The named children of a container of torch's or the user's; None for a leaf.

    A ModelOutput or dict has its keys, a dataclass or NamedTuple its fields, a sequence its positions, and any other object
    (a cache) its attributes that hold tensors.
    """
    if value is None or isinstance(value, (torch.Tensor, str, bytes, *_NUMBERS)):
        return None
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in value.items()]
    fields = getattr(value, "_fields", None)
    if type(value).__module__ == "torch.return_types":
        fields = type(value).__match_args__
    if fields is not None:
        return [(name, getattr(value, name)) for name in fields]
    if isinstance(value, (list, tuple)):
        return [(str(position), part) for position, part in enumerate(value)]
    if dataclasses.is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    names = pytrees.fields(value) if hasattr(value, "__dict__") else []
    return [(name.lstrip("_"), getattr(value, name)) for name in names] if names else None


def torch_leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Every tensor and number of a torch output under its dotted path ("output" for a bare one); None and strings are dropped."""
    children = parts(value)
    if children is not None:
        return {k: v for key, part in children for k, v in torch_leaves(part, f"{name}.{key}" if name else key).items()}
    return {name or "output": value} if isinstance(value, (torch.Tensor, *_NUMBERS)) else {}


def emitted_leaves(value: Any) -> dict[str, np.ndarray]:
    """Every array and number of an emitted module's output under its dotted path ("output" for a bare one)."""
    leaves = jax.tree_util.tree_leaves_with_path(value)
    named = {jax.tree_util.keystr(where, simple=True, separator=".") or "output": leaf for where, leaf in leaves}
    return {name: np.asarray(leaf) for name, leaf in named.items() if not isinstance(leaf, str)}


def emitted_arguments(value: Any, classes: Mapping[str, Any]) -> Any:
    """A torch argument as the emitted module takes it: arrays for tensors, and for a class of the user's the emitted one of its name."""
    if isinstance(value, torch.Tensor):
        return to_array(value)
    children = parts(value)
    if children is None:
        return value
    converted = {key: emitted_arguments(part, classes) for key, part in children}
    emitted = classes.get(type(value).__name__)
    if isinstance(emitted, type) and hasattr(emitted, "_fields"):
        return emitted(**{name: converted.get(name) for name in emitted._fields})
    if hasattr(value, "_fields"):
        return type(value)(**converted)
    if isinstance(value, Mapping):
        return dict(zip(value, converted.values(), strict=True))
    return tuple(converted.values()) if isinstance(value, tuple) else list(converted.values())


def map_tensors(function: Any, value: Any) -> Any:
    """value with function applied to every tensor in it. Classes must be known to torch's pytrees, as those of example inputs are."""
    return torch.utils._pytree.tree_map_only(torch.Tensor, function, value)
