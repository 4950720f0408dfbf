"""Entries of torch's database of nn modules: a module made from each of their inputs, and the call it gets."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import jax
import torch
from torch.nn.modules.lazy import LazyModuleMixin
from torch.testing._internal.common_modules import ModuleInfo, module_db

import translator
from tests.opinfo import check, statistics
from tests.opinfo.distance import gap
from tests.opinfo.outcome import OK, WRONG, Outcome
from translator import compare
from translator.reference import widened
from translator.runtime import BUFFER
from translator.trees import emitted_arguments, emitted_leaves, map_tensors, torch_leaves


@dataclass(frozen=True)
class ModuleCall:
    """One module of an entry, with a call."""

    name: str
    description: str
    module: torch.nn.Module
    args: tuple
    kwargs: dict[str, Any]

    def torch(self, wide: bool = False, buffers: Sequence[str] = ()) -> dict[str, Any]:
        """torch's result, and what buffers hold afterwards; wide: in float64. Random numbers are the same in every call."""
        module, args, kwargs = self.module, self.args, self.kwargs
        torch.manual_seed(0)
        if wide:
            module = copy.deepcopy(module).double()
            args, kwargs = map_tensors(widened, (args, kwargs))
        module = copy.deepcopy(module)  # a call may change its buffers
        # Without torch's fast paths of evaluation: they write zeros where keys are padding (see verify's note).
        with torch.no_grad(), mock.patch("torch.backends.mha.get_fastpath_enabled", lambda: False):
            result = torch_leaves(module(*args, **kwargs))
        held = module.state_dict()
        return result | {f"{BUFFER}{name}": held[name] for name in buffers}

    def draw(self) -> Any:
        """One more of torch's results, with whatever random numbers are next."""
        with torch.no_grad():
            return copy.deepcopy(self.module)(*self.args, **self.kwargs)


MODES = ("evaluation", "training")


@functools.cache
def entries() -> dict[str, ModuleInfo]:
    return {info.name: info for info in module_db}


def calls(info: ModuleInfo, training: bool) -> list[ModuleCall]:
    """The calls of an entry that eager torch runs, in float32; in float64 where it runs none of those."""
    return list(_calls(info, training, torch.float32)) or list(_calls(info, training, torch.float64))


def _calls(info: ModuleInfo, training: bool, dtype: torch.dtype) -> Iterator[ModuleCall]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=False, training=training)
        for number, given in enumerate(inputs):
            made = given.constructor_input
            options = dict(made.kwargs)
            if "dtype" in inspect.signature(info.module_cls.__init__).parameters:
                options.setdefault("dtype", dtype)
            module = info.module_cls(*made.args, **options).train(training)
            call = given.forward_input
            if call is None:
                continue
            if isinstance(module, LazyModuleMixin):
                module(*call.args, **call.kwargs)
            entry = ModuleCall(info.name, f"{number} {given.desc}", module, tuple(call.args), dict(call.kwargs))
            try:
                entry.torch()
            except Exception:  # what torch itself does not run
                continue
            yield entry


def outcome(info: ModuleInfo, training: bool, most: int | None = None) -> Outcome:
    """How the calls of an entry (at most so many, evenly spread) come out, as one `dtype` a mode: training or evaluation."""
    result = Outcome(info.name, MODES[training])
    found = calls(info, training)
    leaves = torch.utils._pytree.tree_leaves([call.args for call in found])
    wide = any(isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64 for leaf in leaves)
    with check.mode("float64" if wide else "float32"):
        for call in check.spread(found, most):
            try:
                problem = _problem(call)
            except Exception as error:
                result.add(*check.classified(error))
                continue
            result.add(WRONG, f"{call.description}: {problem}") if problem else result.add(OK)
    return result


def _problem(call: ModuleCall) -> str:
    """Why the emitted module's result is not torch's; empty if it is."""
    translation = translator.translate(call.module, call.args, call.kwargs, dynamic_shapes=None)
    model = translation.model
    arrays, rest = _arrays(call.args, call.kwargs)
    state, buffers = translation.state, translation.captured.mutated
    run = jax.jit(lambda arrays, **more: model(*rest(arrays)[0], **rest(arrays)[1], **more))
    if statistics.is_random(translation):
        found = statistics.draws(lambda key: [run(arrays, key=key)])
        return statistics.problem(found[0], call.draw)
    if state is None:
        ours = emitted_leaves(run(arrays))
    else:
        result, state = run(arrays, state=state)
        held = translator.state_dict(model, state)
        ours = emitted_leaves(result) | {f"{BUFFER}{name}": compare.as_array(held[name]) for name in buffers}
    theirs = call.torch(buffers=buffers)
    if ours.keys() != theirs.keys():
        return f"gives {sorted(ours)} where torch gives {sorted(theirs)}"
    wide: dict[str, Any] = {}
    if any(gap(ours[name], wanted) for name, wanted in theirs.items()):
        with contextlib.suppress(Exception):
            wide = call.torch(wide=True, buffers=buffers)
    problems = (gap(ours[name], wanted, wide.get(name)) for name, wanted in theirs.items())
    return next((f"{name} {problem}" for name, problem in zip(theirs, problems, strict=True) if problem), "")


def _arrays(args: tuple, kwargs: dict) -> tuple[list, Any]:
    """The arrays of a call as the emitted module takes it, and what puts them back in."""
    leaves, structure = jax.tree.flatten(
        (emitted_arguments(args, {}), emitted_arguments(kwargs, {})), is_leaf=lambda x: x is None
    )
    places = [place for place, leaf in enumerate(leaves) if hasattr(leaf, "dtype")]

    def rest(arrays: list) -> Any:
        given = list(leaves)
        for place, array in zip(places, arrays, strict=True):
            given[place] = array
        return jax.tree.unflatten(structure, given)

    return [leaves[place] for place in places], rest
