"""Runs samples of an op through the translator and compares what the emitted module gives, jitted, with torch."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.testing._internal.opinfo.core import OpInfo, UnaryUfuncInfo

import translator
from tests.compiling import COMPILING, OPTIMISED, optimised
from tests.opinfo import distance, entries, lowering, numeric, open_results, statistics
from tests.opinfo.entries import Call, Calls
from tests.opinfo.outcome import CAPTURE, CRASH, OK, REFUSED, TORCH, WRONG, Outcome
from translator import compare
from translator.errors import CaptureError, TranslationError
from translator.reference import widened
from translator.trees import emitted_arguments, torch_leaves

# So many samples are translated as one module: tracing, formatting and compiling one module each would take an hour more.
TOGETHER = 32


def check(op: OpInfo, dtype: str, most: int | None = None) -> Outcome:
    """Every sample of an entry in a dtype, forward and where torch can differentiate it backward.

    most: how many samples to run, evenly spread; all unless given.
    """
    outcome = Outcome(entries.name(op), dtype)
    with mode(dtype):
        for runs in _together(runnable(spread(entries.samples(op, dtype), most))):
            _forward(op, runs, outcome)
        if entries.differentiable(op, dtype):
            for runs in _together(differentiable(spread(entries.samples(op, dtype, gradient=True), most))):
                _backward(op, runs, outcome)
    return outcome


def _together(runs: Sequence[tuple[Call, Any]]) -> Iterator[Sequence[tuple[Call, Any]]]:
    """The runs in parts of at most TOGETHER; those that ask for float64 by name last, with x64 on: without it JAX has none."""
    for wide in (False, True):
        alike = [run for run in runs if run[0].wide is wide]
        with jax.enable_x64(True) if wide else contextlib.nullcontext():
            for start in range(0, len(alike), TOGETHER):
                yield alike[start : start + TOGETHER]


def spread(items: Sequence[Any], most: int | None) -> Sequence[Any]:
    """At most so many items, evenly spread; all if most is None."""
    return items if most is None else items[:: max(1, len(items) // most)][:most]


@contextlib.contextmanager
def mode(dtype: str) -> Iterator[None]:
    with (
        warnings.catch_warnings(),
        jax.enable_x64(dtype in ("float64", "complex128")),
        jax.default_matmul_precision("highest"),
    ):
        warnings.simplefilter("ignore")
        yield


def runnable(calls: Sequence[Call]) -> list[tuple[Call, Any]]:
    """The samples that eager torch runs, with its results."""
    found = []
    for call in calls:
        torch.manual_seed(1)
        with contextlib.suppress(Exception):
            found.append((call, call(*(tensor.detach().clone() for tensor in call.tensors))))
    return found


def _forward(op: OpInfo, runs: Sequence[tuple[Call, Any]], outcome: Outcome) -> None:
    """Check samples together; where one cannot be captured or translated, each by itself."""
    if not runs:
        return
    try:
        results = translated(op, [call for call, _ in runs], outcome)
    except Exception as error:
        if len(runs) == 1:
            return outcome.add(*classified(error))
        for run in runs:
            _forward(op, [run], outcome)
        return
    for (call, expected), found in zip(runs, results, strict=True):
        problem = open_results.compare(entries.name(op), call, found, expected, lambda c=call: truth(op, c))
        outcome.add(WRONG, problem) if problem else outcome.add(OK)


def classified(error: Exception) -> tuple[str, str]:
    kind = REFUSED if isinstance(error, TranslationError) else CRASH
    if (
        isinstance(error, CaptureError) and error.__cause__ is not None
    ):  # it is torch.export's, and not the translator's own
        kind = CAPTURE
    text = str(error) if kind is not CRASH else f"{type(error).__name__}: {error}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return kind, " ".join(
        lines[-2:] if kind is CAPTURE else lines[1:2] if kind is REFUSED and len(lines) > 1 else lines
    )[:300]


def translated(op: OpInfo, calls: Sequence[Call], outcome: Outcome) -> list[Any]:
    """The emitted module's result for each sample, under jax.jit."""
    module = Calls(calls).eval()
    tensors = tuple(tensor.detach() for tensor in module.tensors)
    translation = translator.translate(module, tensors, dynamic_shapes=None)
    outcome.how |= lowering.kinds(translation)
    model, arguments = translation.model, list(map(jax.device_put, emitted_arguments(tensors, {})))
    if statistics.is_random(translation):
        return statistics.draws(lambda key: model(*arguments, key=key))
    if translation.captured.value_lengths:
        return list(model(*arguments))
    return list(jax.jit(lambda *arrays: model(*arrays), compiler_options=COMPILING)(*arguments))


def truth(op: OpInfo, call: Call) -> Any:
    """torch's result in float64, None where the op has none: what torch's own rounding is measured by.

    Of functions of one float64 number, the database's reference: NumPy's or SciPy's.
    """
    if isinstance(op, UnaryUfuncInfo) and [tensor.dtype for tensor in call.tensors] == [torch.float64]:
        with contextlib.suppress(Exception):
            found = torch.from_numpy(np.asarray(op.ref(call.tensors[0].detach().numpy())))
            return found if found.dtype is torch.float64 else None
    tensors = [widened(tensor.detach().clone()) for tensor in call.tensors]
    with contextlib.suppress(Exception):
        return call(*tensors)
    return None


# Gradients.


def differentiable(calls: Sequence[Call]) -> list[tuple[Call, tuple]]:
    """The samples whose gradients torch gives, each with its cotangents and gradients."""
    found = []
    for call in calls:
        with contextlib.suppress(Exception):
            gradients = torch_gradients(call)
            if gradients is not None:
                found.append((call, gradients))
    return found


def torch_gradients(
    call: Call, wide: bool = False, cotangents: Sequence[torch.Tensor | None] | None = None
) -> tuple | None:
    """(cotangent of each output, gradient of each tensor); None stands for what has none."""
    tensors = [tensor.detach().clone() for tensor in call.tensors]
    tensors = [widened(tensor) for tensor in tensors] if wide else tensors
    for tensor, own in zip(tensors, call.tensors, strict=True):
        tensor.requires_grad_(own.requires_grad)
    outputs = list(torch_leaves(call(*tensors)).values())
    live = [isinstance(out, torch.Tensor) and out.requires_grad for out in outputs]
    wanted = [tensor for tensor in tensors if tensor.requires_grad]
    if not any(live) or not wanted:
        return None
    if cotangents is None:
        generator = torch.Generator().manual_seed(2)
        cotangents = [
            torch.randn(out.shape, dtype=out.dtype, generator=generator) if is_live else None
            for out, is_live in zip(outputs, live, strict=True)
        ]
    pairs = [(out, seed.to(out.dtype)) for out, seed in zip(outputs, cotangents, strict=True) if seed is not None]
    gradients = torch.autograd.grad([out for out, _ in pairs], wanted, [seed for _, seed in pairs], allow_unused=True)
    # What torch knows to be zero without storing it has no values to compare.
    found = iter([g if g is None or not g._is_zerotensor() else torch.zeros(g.shape, dtype=g.dtype) for g in gradients])
    return cotangents, [next(found) if tensor.requires_grad else None for tensor in tensors]


def _backward(op: OpInfo, runs: Sequence[tuple[Call, tuple]], outcome: Outcome) -> None:
    if not runs:
        return
    try:
        results = emitted_gradients(runs)
    except Exception as error:
        if len(runs) == 1:
            return outcome.add(*classified(error), gradient=True)
        for run in runs:
            _backward(op, [run], outcome)
        return
    for run, found in zip(runs, results, strict=True):
        judged = _gradient_judged(*run, found)
        if judged[0] is WRONG:  # a norm may be none of its elements where LLVM computes these anew without optimising
            with optimised():
                judged = _gradient_judged(*run, emitted_gradients([run], OPTIMISED)[0])
        outcome.add(*judged, gradient=True)


def _gradient_judged(call: Call, gradients: tuple, found: Any) -> tuple[str, str]:
    """How gradients compare with torch's, and why they are not the same."""
    seeds, expected = gradients
    if isinstance(found, statistics.Draws):
        problem = statistics.problem(found, lambda: torch_gradients(call, cotangents=seeds)[1])
        return (WRONG, problem) if problem else (OK, "")
    differing = [
        place for place, wanted in enumerate(expected) if wanted is not None and distance.gap(found[place], wanted)
    ]
    wide: Any = None
    if differing:
        with contextlib.suppress(Exception):
            wide = torch_gradients(call, wide=True, cotangents=seeds)[1]
    problems = [distance.gap(found[p], expected[p], wide[p] if wide else None) for p in differing]
    problem = next(filter(None, problems), "")
    with contextlib.suppress(Exception):  # float64 may be missing
        if problem and numeric.only_torch_errs(call, seeds, found, expected):
            return TORCH, problem
    return (WRONG, problem) if problem else (OK, "")


def emitted_gradients(runs: Sequence[tuple[Call, tuple]], options: Mapping[str, Any] = COMPILING) -> list[Any]:
    """jax.vjp of the emitted module, jitted: for each sample the gradient of each of its tensors, None where none is wanted.

    Of a sample that draws random numbers, the gradients for many keys.
    """
    module = Calls([call for call, _ in runs]).eval()
    tensors = tuple(tensor.detach() for tensor in module.tensors)
    translation = translator.translate(module, tensors, dynamic_shapes=None)
    model = translation.model
    arrays = list(map(jax.device_put, emitted_arguments(tensors, {})))
    wanted = [place for place, tensor in enumerate(module.tensors) if tensor.requires_grad]
    seeds = [seed for _, (cotangents, _) in runs for seed in cotangents]
    live = [jax.device_put(compare.as_array(seed)) for seed in seeds if seed is not None]

    def gradients(arrays: list[jax.Array], live: list[jax.Array], **key: jax.Array) -> list[list[Any]]:
        def function(*some: jax.Array) -> list[jax.Array]:
            given = list(arrays)
            for place, array in zip(wanted, some, strict=True):
                given[place] = array
            leaves = jax.tree.leaves(model(*given, **key))
            return [leaf for leaf, seed in zip(leaves, seeds, strict=True) if seed is not None]

        # torch's gradient of a complex tensor is the conjugate of JAX's.
        _, pullback = jax.vjp(function, *(arrays[place] for place in wanted))
        pulled = dict(zip(wanted, map(jnp.conj, pullback([jnp.conj(seed) for seed in live])), strict=True))
        results, start = [], 0
        for call, (_, expected) in runs:
            found = [pulled.get(start + place) for place in range(len(call.tensors))]
            results.append([None if theirs is None else ours for ours, theirs in zip(found, expected, strict=True)])
            start += len(call.tensors)
        return results

    if statistics.is_random(translation):
        return statistics.draws(lambda key: gradients(arrays, live, key=key))
    if translation.captured.value_lengths:
        return gradients(arrays, live)
    return jax.jit(gradients, compiler_options=dict(options))(arrays, live)
