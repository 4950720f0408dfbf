"""Cases of equal forms of one op, and their times in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import Array

from benchmarks.timing import timed

AT_LEAST = 5e-3  # seconds that one measurement takes, by repeating the call
TOLERANCE = 1e-4  # of the largest element

Form = Callable[..., Array]


@dataclass(frozen=True)
class Case:
    """An op at one size. The first of the forms is the one that translations use."""

    name: str
    size: str
    inputs: tuple[np.ndarray, ...]
    forms: Mapping[str, Form]
    torch: Callable[..., torch.Tensor] | None = None
    tolerance: float = TOLERANCE


class Times(NamedTuple):
    """Seconds of one contender: its first call, and all later ones."""

    first: float
    later: np.ndarray


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Normally distributed values, the same for the same shape."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)


def weights(*shape: int) -> np.ndarray:
    """Weights [outputs, inputs...] that keep variances."""
    return normal(*shape, seed=1) / np.float32(np.sqrt(np.prod(shape[1:])))


def integers(high: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(2).integers(high, size=shape)


def measured(case: Case, rounds: int, gradient: bool) -> dict[str, Times]:
    """The times of torch and of all forms, in turns. gradient: of a forward and a backward pass."""
    calls: dict[str, Callable[[], Any]] = {}
    results: dict[str, Any] = {}
    for name, form in case.forms.items():
        calls[name] = _jax_call(case, form, gradient)
    if case.torch is not None:
        calls["torch"] = _torch_call(case, case.torch, gradient)

    firsts, repeats = {}, {}
    for name, call in calls.items():
        firsts[name], results[name] = timed(call, 1)
        again = timed(call, 1)[0]
        repeats[name] = min(max(int(AT_LEAST / again), 1), 100)
    agree(case, results)

    later: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            later[name].append(timed(calls[name], repeats[name])[0] / repeats[name])
    return {name: Times(firsts[name], np.array(later[name])) for name in calls}


def agree(case: Case, results: Mapping[str, Any]) -> None:
    """Raise AssertionError where a form, or torch, differs from the first form by more than rounding."""
    (first, expected), *others = results.items()
    for name, result in others:
        for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(result), strict=True):
            a, b = np.asarray(a), np.asarray(b)
            error, scale = np.max(np.abs(a - b), initial=0), np.max(np.abs(a), initial=0)
            if a.shape != b.shape or not error <= case.tolerance * scale:
                raise AssertionError(f"{case.name} {case.size}: {name} and {first} differ by {error} of {scale}")


def _differentiable(case: Case) -> tuple[int, ...]:
    return tuple(i for i, x in enumerate(case.inputs) if x.dtype.kind == "f")


def _jax_call(case: Case, form: Form, gradient: bool) -> Callable[[], Any]:
    inputs = [jnp.asarray(x) for x in case.inputs]
    if not gradient:
        compiled = jax.jit(form)
        return lambda: jax.block_until_ready(compiled(*inputs))
    over = _differentiable(case)
    output = jax.eval_shape(form, *inputs)

    @jax.jit
    def gradients(cotangent: Array, *inputs: Array) -> tuple[Array, ...]:
        def of_some(*some: Array) -> Array:
            every = dict(enumerate(inputs)) | dict(zip(over, some, strict=True))
            return form(*every.values())

        y, backward = jax.vjp(of_some, *(inputs[i] for i in over))
        return y, *backward(cotangent)

    cotangent = jnp.asarray(normal(*output.shape, seed=3))
    return lambda: jax.block_until_ready(gradients(cotangent, *inputs))


def _torch_call(case: Case, function: Callable[..., torch.Tensor], gradient: bool) -> Callable[[], Any]:
    inputs = [torch.from_numpy(x.copy()) for x in case.inputs]
    if not gradient:

        def forward() -> torch.Tensor:
            with torch.inference_mode():
                return function(*inputs)

        return forward
    over = [inputs[i].requires_grad_() for i in _differentiable(case)]
    cotangent = torch.from_numpy(normal(*function(*inputs).shape, seed=3))

    def both() -> list[torch.Tensor]:
        y = function(*inputs)
        return [y.detach(), *torch.autograd.grad(y, over, cotangent)]

    return both
