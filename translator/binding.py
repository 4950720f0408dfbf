"""Binding: torch tensors fill the leaves of an emitted module, and an emitted module gives its torch tensors back.

The rule itself (a leaf's path is its torch name; strict both ways) is in the emitted file's own `bind`, see loader.py. Here
are its two ends: the emitted source becomes a module that can be run, and tensors become arrays and arrays tensors.
"""

from __future__ import annotations

import inspect
import itertools
import linecache
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import torch

from translator import checkpoint
from translator.arrays import to_array, to_tensor
from translator.errors import BindingError
from translator.loader import CONSTANTS_FILE, stacked_name

_numbers = itertools.count()


@dataclass(frozen=True)
class Origin:
    """What an emitted class's leaves do not say of the torch module: shape and dtype of each tensor, and the tensors without a leaf."""

    specs: Mapping[str, tuple[torch.Size, torch.dtype]]
    leftover: Mapping[str, torch.Tensor]
    tied: Mapping[str, str]


_origins: weakref.WeakKeyDictionary[type, Origin] = weakref.WeakKeyDictionary()


def instantiate(source: str, constants: Mapping[str, torch.Tensor] | None = None) -> ModuleType:
    """Run an emitted source as a module of its own, with the constants that belong beside it.

    It stays in sys.modules, so that tracebacks show its lines and its classes can be looked up; JAX's registry of pytrees holds
    on to every class of an Equinox module anyway.
    """
    name = f"torch2eqx_emitted_{next(_numbers)}"
    module = ModuleType(name)
    with tempfile.TemporaryDirectory() as folder:
        if constants:
            checkpoint.write_file(constants, Path(folder, CONSTANTS_FILE))
        filename = str(Path(folder, f"{name}.py"))
        module.__file__ = filename
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        sys.modules[name] = module
        try:
            exec(compile(source, filename, "exec"), module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
    return module


def bind(module: ModuleType, state: Mapping[str, torch.Tensor]) -> tuple[eqx.Module, eqx.nn.State | None]:
    """The emitted root class filled with state, and the first state of its mutated buffers, None where it has none.

    Raises BindingError that lists everything that does not fit.
    """
    arrays, problems = {}, []
    for name, tensor in state.items():
        try:
            arrays[name] = to_array(tensor)
        except TypeError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise BindingError(problems)
    try:
        bound = module.bind(arrays)
    except ValueError as error:
        raise BindingError(str(error).splitlines()) from error
    model, buffers = bound if isinstance(bound, tuple) else (bound, None)
    _origins[type(model)] = _origin(model, buffers, state, getattr(module, "TIED", {}))
    return model, buffers


def _origin(
    model: eqx.Module, buffers: eqx.nn.State | None, state: Mapping[str, torch.Tensor], tied: Mapping[str, str]
) -> Origin:
    leaves = {name for name, _ in named_leaves(model, state, buffers)}
    specs = {name: (tensor.shape, tensor.dtype) for name, tensor in state.items()}
    leftover = {n: t.detach() for n, t in state.items() if n not in leaves and n not in tied}
    return Origin(specs, leftover, dict(tied))


def named_leaves(
    model: eqx.Module, known: Mapping[str, Any], buffers: eqx.nn.State | None = None
) -> Iterator[tuple[str, Any]]:
    """The array leaves of an emitted model, and what buffers hold, under their torch names, in the tree's order.

    known: the names that torch has. buffers: the state of those that forward writes to. A root that is itself a Sequential keeps
    its children in a field of its own, `layers`, which is not part of them. A leaf that is a stack of tensors is given in its parts.
    """
    stacked = _namespace(type(model)).get("STACKED", {})
    known = {stacked_name(name, stacked) for name in known}
    for where, leaf in jax.tree_util.tree_leaves_with_path(model, is_leaf=is_index):
        if is_index(leaf):
            leaf = buffers.get(leaf) if buffers is not None else None
        if eqx.is_array(leaf) or hasattr(leaf, "__array__"):
            name = jax.tree_util.keystr(where, simple=True, separator=".")
            yield from _parts(name if name in known else _within(name, known), leaf, stacked)


def _parts(name: str, leaf: Any, stacked: Mapping[str, int]) -> Iterator[tuple[str, Any]]:
    """A leaf under its name, or the tensors that it is a stack of under theirs."""
    for path, count in stacked.items():
        if name.startswith(f"{path}."):
            yield from ((f"{path}.{position}{name[len(path) :]}", leaf[position]) for position in range(count))
            return
    yield name, leaf


def is_index(leaf: Any) -> bool:
    """Whether a leaf says where in a state a buffer is."""
    return isinstance(leaf, eqx.nn.StateIndex)


def _within(name: str, known: Set[str]) -> str:
    inner = name.removeprefix("layers.")
    return inner if inner in known else name


def state_dict(model: eqx.Module, state: eqx.nn.State | None = None) -> dict[str, torch.Tensor]:
    """The torch state dict of an emitted model, for `load_state_dict(strict=True)` on the module that it was translated from.

    state: the present state of a model that has one, whose buffers are among the tensors.
    Every torch name is there, in torch's shape and dtype (a leaf that is wider by now keeps its own): tied names share one
    tensor, and tensors that the emitted module does not use are the original ones, which the translation keeps, or which
    the weights beside a saved model.py hold. Raises BindingError listing the names that cannot be given.
    """
    if state is None and any(map(is_index, jax.tree.leaves(model, is_leaf=is_index))):
        raise BindingError(["the model's buffers are in its state: state_dict(model, state)"])
    origin = _origins.get(type(model)) or _saved_origin(model, state)
    found = dict(origin.leftover)
    targets = {**origin.specs, **dict.fromkeys(origin.tied.values())}
    for name, leaf in named_leaves(model, targets, state):
        tensor = to_tensor(leaf)
        source = next((n for n in (name, *_aliases(name, origin.tied)) if n in origin.specs), None)
        if source is not None:
            shape, dtype = origin.specs[source]
            if tensor.numel() != shape.numel():
                raise BindingError([f"{name} has shape {tuple(tensor.shape)}, where torch has {tuple(shape)}"])
            tensor = tensor.reshape(shape).to(torch.promote_types(tensor.dtype, dtype))
        found |= dict.fromkeys((name, *_aliases(name, origin.tied)), tensor)
    missing = [name for name in origin.specs if name not in found]
    if missing:
        raise BindingError([f"{name} is not in the model" for name in missing])
    return {name: found[name] for name in origin.specs}


def _aliases(leaf: str, tied: Mapping[str, str]) -> list[str]:
    return [alias for alias, target in tied.items() if target == leaf]


def _saved_origin(model: eqx.Module, buffers: eqx.nn.State | None) -> Origin:
    """The origin of a model that a saved model.py loaded: its weights lie beside it, each shared tensor once."""
    namespace = _namespace(type(model))
    folder = Path(namespace.get("__file__") or ".").parent
    tied = namespace.get("TIED", {})
    try:
        saved = checkpoint.read(folder)
    except checkpoint.CheckpointError as error:
        names = [f"{name} (unused by the model)" for name in namespace.get("UNUSED", ())]
        raise BindingError(
            [
                f"the weights that torch2eqx saved beside model.py are needed for torch's shapes and unused tensors: {error}",
                *names,
            ]
        ) from error
    origin = _origin(model, buffers, saved, tied)
    specs = dict(origin.specs)
    for alias, leaf in tied.items():
        sharing = next((name for name in (leaf, alias, *_aliases(leaf, tied)) if name in saved), None)
        if sharing is not None:
            specs[alias] = specs[sharing]
    _origins[type(model)] = Origin(specs, origin.leftover, tied)
    return _origins[type(model)]


def _namespace(cls: type) -> Mapping[str, Any]:
    """The globals of the file that defines cls, whether or not that was imported under its name."""
    module = vars(sys.modules.get(cls.__module__, object))
    if module.get(cls.__name__) is cls:
        return module
    call = inspect.getattr_static(cls, "__call__")
    return inspect.unwrap(call).__globals__
