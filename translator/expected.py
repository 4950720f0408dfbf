"""What torch gives on the inputs that a verification compares: in float64, which is the truth, and in the module's own precision."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from translator import compare, inputs
from translator.captured import Captured, in_training
from translator.emitted import Emitted
from translator.errors import TranslationError
from translator.inputs import Case
from translator.reference import Reference
from translator.runtime import BUFFER
from translator.trees import map_tensors, torch_leaves

# A distance from float64 that is looked into, as a share of an output's scale: is it rounding?
FAR = 1e-4

_HAVE_FAST_PATHS = (nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.MultiheadAttention)


@dataclass(frozen=True)
class Expected:
    """torch's outputs of one case by name. astray: those where the module gives something else than its exported program."""

    case: Case
    truth: Mapping[str, np.ndarray]
    own: Mapping[str, np.ndarray]
    astray: frozenset[str] = frozenset()

    def errors(self) -> dict[str, float]:
        """torch's own error of each floating output."""
        return _errors(self.own, self.truth)


def _unlifted(captured: Captured) -> torch.nn.Module | None:
    """The program as a module. torch writes attribute names into the code it makes for that, and fails where they are no identifiers."""
    try:
        return captured.program.module()
    except SyntaxError:
        if captured.module is None:
            raise
        return None


def cases(captured: Captured, emitted: Emitted, random: int, sizes: int, notes: list[str]) -> Iterator[Expected]:
    """The cases with torch's outputs. What torch refuses is passed over, but never the example.

    A module in training mode has every case in both modes, as far as one file holds both.
    """
    training = in_training(captured.module)
    plain = not emitted.takes_key and not captured.mutated
    for found in _cases_in_a_mode(captured, random, sizes, notes, False, plain):
        yield replace(found, case=replace(found.case, name=f"{found.case.name} (training)")) if training else found
    if captured.evaluation is not None:
        for found in _cases_in_a_mode(captured, random, sizes, [], True, False):
            case = replace(found.case, name=f"{found.case.name} (evaluation)", evaluation=True)
            yield replace(found, case=case)


def _called(module: nn.Module, case: Case, fast: bool = False) -> dict[str, Any]:
    """What a module gives. fast: whether its layers may take the paths that torch has for evaluation without gradients."""
    with _fast_paths(fast):
        try:
            return torch_leaves(module(*fresh(case.args), **fresh(case.kwargs)))
        except RuntimeError as error:
            if "does not require grad" not in str(error):
                raise
            with torch.enable_grad():  # forward itself differentiates
                return torch_leaves(module(*fresh(case.args), **fresh(case.kwargs)))


@contextlib.contextmanager
def _fast_paths(allowed: bool) -> Iterator[None]:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(before and allowed)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _fast_path_differs(module: nn.Module, case: Case, own: Mapping[str, np.ndarray]) -> bool:
    """Whether what torch's layers do in evaluation without gradients is not what they do otherwise."""
    if not any(isinstance(child, _HAVE_FAST_PATHS) for child in module.modules()):
        return False
    with torch.no_grad():
        fast = _arrays(_called(module, case, fast=True))
    return any(
        compare.is_inexact(array.dtype) and not compare.distance(fast[name], compare.wide(array), array).error <= FAR
        for name, array in own.items()
    )


def _cases_in_a_mode(
    captured: Captured, random: int, sizes: int, notes: list[str], evaluation: bool, plain: bool
) -> Iterator[Expected]:
    """evaluation: whether that of a module in training mode. plain: whether the module itself can be run, as often as need be."""
    reference = Reference(captured, evaluation=evaluation, by_chance=False)
    narrow = Reference(captured, wide=False, evaluation=evaluation, by_chance=False)
    unlifted = _unlifted(captured) if plain else None
    module = captured.module if captured.module is not None else unlifted

    def run(case: Case, check: bool) -> Expected:
        with torch.no_grad():
            if check and unlifted not in (None, module):  # its guards say which sizes the program stands for
                unlifted(*fresh(case.args), **fresh(case.kwargs))
            own = _arrays(_called(module, case) if plain else _with_buffers(narrow, case))
            truth = _arrays(_with_buffers(reference, case))
            found = Expected(case, truth, own)
            if plain and any(error > FAR for error in found.errors().values()):
                exported = _arrays(_with_buffers(narrow, case))
                found = replace(found, astray=_astray(found, _errors(exported, truth)))
        return found

    try:
        example = run(inputs.example(captured), False)
    except Exception as error:
        raise TranslationError(f"torch cannot run the example inputs: {type(error).__name__}: {error}") from error
    if plain and _fast_path_differs(module, example.case, example.own):
        notes.append(
            "in evaluation without gradients torch takes a fast path for nn.TransformerEncoder that gives other values here (zeros "
            "where keys are padding); the emitted module computes what torch does otherwise, in training, say"
        )
    yield example
    for seed in range(random):
        case = inputs.random(captured, seed)
        try:
            yield run(case, True)
        except Exception as error:
            notes.append(f"input {case.name} was left out, torch refuses it: {str(error).strip()[:150]}")
    accepted = itertools.islice(_accepted(captured, run), sizes)
    found = 0
    for found, result in enumerate(accepted, 1):  # noqa: B007
        yield result
    if captured.hints and found < sizes:
        notes.append(f"torch accepts {found} of the other sizes that were tried; {sizes} were wanted")


def _with_buffers(reference: Reference, case: Case) -> dict[str, Any]:
    outputs, buffers, _ = reference.call(fresh(case.args), fresh(case.kwargs), _detached(reference.held))
    return outputs | {f"{BUFFER}{name}": tensor for name, tensor in buffers.items()}


def _detached(held: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach() for name, tensor in held.items()}


def _accepted(captured: Captured, run: Callable) -> Iterator[Expected]:
    for case in inputs.resized(captured):
        try:
            result = run(case, True)
        except Exception:  # torch says in many ways that a size is none of its own
            continue
        yield result


def fresh(value: Any) -> Any:
    return map_tensors(lambda tensor: tensor.detach().clone(), value)


def _arrays(outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: compare.as_array(value) for name, value in outputs.items()}


def _errors(own: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The distance of each floating output from the truth."""
    return {n: compare.distance(a, truth[n], a).error for n, a in own.items() if compare.is_inexact(a.dtype)}


def _astray(found: Expected, rounding: Mapping[str, float]) -> frozenset[str]:
    """The outputs in which a module is further from the truth than rounding takes its exported program."""
    return frozenset(
        name
        for name, error in found.errors().items()
        if error > compare.MULTIPLE * rounding[name] + compare.FLOOR_ULPS * compare.ulp(found.own[name].dtype)
    )
