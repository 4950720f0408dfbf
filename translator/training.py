"""Whether an emitted module trains as the torch module does: gradients, buffers, and ten steps of SGD and of AdamW, in float64.

Nothing is left to chance on either side (see `determined`). The loss is a fixed function of every floating output.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.export.graph_signature import InputKind

from translator import binding, compare
from translator.captured import Captured
from translator.emitted import Emitted
from translator.errors import TranslationError
from translator.reference import Reference, widened
from translator.runtime import Runner
from translator.trees import map_tensors
from translator.verification import OutputRow

# Gradients, and parameters and buffers after steps, agree with torch's to this share of their scale.
BOUND = 1e-8

# What is nothing but rounding has no scale of its own: that of each gradient is at least this share of the greatest of all, and
# that of each parameter this share of the greatest parameter.
LEAST_GRADIENT, LEAST_PARAMETER = 1e-6, 1e-4

# A gradient that is this share of the greatest is zero but for rounding (that of the bias of attention's keys): AdamW divides it
# by its own size, and so moves the parameter by rounding alone.
ROUNDING = 1e-10

# Steps are many and small: large ones of a fresh network lead to where rounding alone decides what follows.
STEPS, RATE = 10, 1e-4


def rows(captured: Captured, emitted: Emitted, runner: Runner, say: Callable[[str], None]) -> Iterator[OutputRow]:
    """One row for the loss, each parameter's gradient and each buffer after one step, and for each further step its worst.

    Where no parameter is trained, each buffer after each of as many calls. runner: the emitted module in float64. Raises
    TranslationError if optax is not installed.
    """
    torch_side, jax_side = _Torch(captured, emitted.tied), _Jax(captured, runner)
    if not torch_side.leaves:
        calls = zip(torch_side.calls(), jax_side.calls(), strict=True)
        for call, (buffers, found_buffers) in enumerate(calls, 1):
            yield from (_row(f"call {call}", f"buffer {n}", found_buffers.get(n), b, 0.0) for n, b in buffers.items())
        return
    say("verify: gradients")
    loss, gradients, buffers = torch_side.differentiate()
    found_loss, found, found_buffers = jax_side.differentiate()
    yield _row("gradients", "loss", np.asarray(found_loss), np.asarray(loss), 0.0)
    greatest = max((float(np.abs(g).max(initial=0.0)) for g in gradients.values()), default=0.0)
    for name, gradient in gradients.items():
        yield _row("gradients", name, found.get(name), gradient, LEAST_GRADIENT * greatest)
    for name in found:
        if name not in gradients:
            yield _row("gradients", name, found[name], None, 0.0)
    for name, value in buffers.items():
        yield _row("gradients", f"buffer {name}", found_buffers.get(name), value, 0.0)
    rounding = {n for n, g in gradients.items() if np.abs(g).max(initial=0.0) <= ROUNDING * greatest}
    for optimizer in ("SGD", "AdamW"):
        say(f"verify: {STEPS} steps of {optimizer}")
        left_out = rounding if optimizer == "AdamW" else set()
        yield from _stepped(optimizer, torch_side.steps(optimizer), jax_side.steps(optimizer), left_out)


def _stepped(optimizer: str, torch_side: Iterator, emitted: Iterator, left_out: set[str]) -> Iterator[OutputRow]:
    """For each step the parameter that is the furthest off; after the last, each buffer."""
    for step, ((parameters, buffers), (found, found_buffers)) in enumerate(zip(torch_side, emitted, strict=True), 1):
        greatest = max(float(np.abs(p).max(initial=0.0)) for p in parameters.values())
        case = f"step {step} of {optimizer}"
        compared = [(n, p) for n, p in parameters.items() if n not in left_out]
        made = [_row(case, n, found.get(n), p, LEAST_PARAMETER * greatest) for n, p in compared]
        yield from [max(made, key=lambda row: (not row.ok, row.float64_error or 0.0))] if made else []
        if step == STEPS:
            yield from (_row(case, f"buffer {n}", found_buffers.get(n), b, 0.0) for n, b in buffers.items())


def _row(case: str, name: str, found: np.ndarray | None, truth: np.ndarray | None, least: float) -> OutputRow:
    known = truth if truth is not None else found
    row = OutputRow(case, name, known.shape, str(known.dtype), None, None, None, False)
    if found is None or truth is None:
        return replace(row, reason="is trained by one of the two alone")
    if found.size != truth.size:
        return replace(row, reason=f"has shape {list(found.shape)} where torch has {list(truth.shape)}")
    found = found.reshape(truth.shape)  # eqx.nn.Conv keeps its bias as (channels, 1, 1)
    if not compare.is_inexact(truth.dtype):
        problem = compare.same(found, truth)
        return replace(row, ok=not problem, reason=problem)
    scale = max(float(np.abs(truth).max(initial=0.0)), least) or 1.0
    error = float(np.abs(found - truth).max(initial=0.0)) / scale
    reason = "" if error <= BOUND else f"float64 is above {BOUND}"
    return replace(row, float64_error=error, ok=not reason, reason=reason)


def _weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """What the elements of an output count for in the loss."""
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)


class _Torch:
    """The exported graph in float64, its parameters as leaves of autograd by torch name."""

    def __init__(self, captured: Captured, tied: Mapping[str, str]):
        """tied: the names of tensors that are leaves of the emitted module under another one."""
        self.captured, self.tied = captured, tied
        self.reference = Reference(captured, by_chance=False)
        specs = self.reference.program.graph_signature.input_specs
        self.names = {s.arg.name: s.target for s in specs if s.kind is InputKind.PARAMETER}
        self._begin()

    def _begin(self) -> None:
        held = self.reference.held
        self.held = {name: widened(tensor.detach()).clone() for name, tensor in held.items()}
        first: dict[int, str] = {}  # of placeholders that hold the same tensor, the first one's leaf is that of all
        for placeholder in self.names:
            if held[placeholder].requires_grad:
                self.held[placeholder] = self.held[
                    first.setdefault(id(held[placeholder]), placeholder)
                ].requires_grad_()
        names = {placeholder: self.names[placeholder] for placeholder in first.values()}
        self.leaves = {self.tied.get(name, name): self.held[placeholder] for placeholder, name in names.items()}

    def _loss(self) -> torch.Tensor:
        case = map_tensors(lambda tensor: tensor.detach().clone(), (self.captured.args, dict(self.captured.kwargs)))
        outputs, buffers, _ = self.reference.call(*case, self.held)
        for placeholder, name in self.reference.buffers.items():
            self.held[placeholder] = buffers[name].detach()
        loss = torch.zeros((), dtype=torch.float64)
        for name, value in outputs.items():
            if isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex()) and value.numel():
                weights = torch.from_numpy(_weights(name, tuple(value.shape)))
                for part in (value.real, value.imag) if value.is_complex() else (value,):
                    loss = loss + (weights * part + part**2 / 2).mean()
        return loss

    def differentiate(self) -> tuple[float, dict[str, np.ndarray], dict[str, np.ndarray]]:
        loss = self._loss()
        found = torch.autograd.grad(loss, list(self.leaves.values()), allow_unused=True)
        pairs = zip(self.leaves.items(), found, strict=True)
        gradients = {
            name: compare.as_array(torch.zeros_like(leaf).detach() if g is None else g) for (name, leaf), g in pairs
        }
        buffers = self._buffers()
        self._begin()
        return float(loss), gradients, buffers

    def _buffers(self) -> dict[str, np.ndarray]:
        return {name: compare.as_array(self.held[p]) for p, name in self.reference.buffers.items()}

    def calls(self) -> Iterator[dict[str, np.ndarray]]:
        for _ in range(STEPS):
            self._loss()
            yield self._buffers()

    def steps(self, optimizer: str) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
        self._begin()
        leaves = list(self.leaves.values())
        if optimizer == "SGD":
            stepper: torch.optim.Optimizer = torch.optim.SGD(leaves, lr=RATE, momentum=0.9)
        else:
            stepper = torch.optim.AdamW(leaves, lr=RATE, weight_decay=1e-2)
        for _ in range(STEPS):
            stepper.zero_grad()
            self._loss().backward()
            for leaf in leaves:  # torch's optimisers pass over what has none, JAX's gradient is zero there
                leaf.grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
            stepper.step()
            yield {n: compare.as_array(leaf.detach()).copy() for n, leaf in self.leaves.items()}, self._buffers()


class _Jax:
    """The emitted module in float64."""

    def __init__(self, captured: Captured, runner: Runner):
        self.captured, self.runner = captured, runner
        with runner.mode():
            mask = self._mask()
            self.trained, self.rest = eqx.partition(runner.model, mask)
            self.args = jax.tree.map(self._array, runner.arguments(captured.args))
            self.kwargs = jax.tree.map(self._array, runner.arguments(dict(captured.kwargs)))
            arrays, self.static = eqx.partition((self.rest, self.args, self.kwargs), eqx.is_array)
            self.arrays = arrays
            self.gradient = jax.jit(jax.value_and_grad(self._loss, has_aux=True))

    def _mask(self) -> Any:
        """What is trained, as the emitted file says; where it was translated in evaluation mode, as torch does."""
        model, module = self.runner.model, self.runner.module
        if hasattr(module, "trainable"):
            return module.trainable(model)
        frozen = {n for n, t in self.captured.state.items() if not t.requires_grad}

        def trained(where: Any, leaf: Any) -> bool:
            name = jax.tree_util.keystr(where, simple=True, separator=".")
            names = {name, name.removeprefix("layers.")}
            return eqx.is_inexact_array(leaf) and not names & frozen

        return jax.tree_util.tree_map_with_path(trained, model)

    @staticmethod
    def _array(leaf: Any) -> Any:
        return jax.device_put(leaf) if isinstance(leaf, np.ndarray) else leaf

    def _loss(self, trained: Any, arrays: Any, state: Any) -> tuple[jax.Array, Any]:
        rest, args, kwargs = eqx.combine(arrays, self.static)
        carried = self.runner.carried() | ({} if state is None else {"state": state})
        result = eqx.combine(trained, rest)(*args, **kwargs, **carried)
        result, state = result if state is not None else (result, None)
        loss = jnp.zeros((), float)
        for where, leaf in jax.tree_util.tree_leaves_with_path(result):
            if eqx.is_inexact_array(leaf) and leaf.size:
                weights = _weights(jax.tree_util.keystr(where, simple=True, separator=".") or "output", leaf.shape)
                for part in (leaf.real, leaf.imag) if jnp.iscomplexobj(leaf) else (leaf,):
                    loss = loss + jnp.mean(weights * part + part**2 / 2)
        return loss, state

    def _named(self, tree: Any) -> dict[str, np.ndarray]:
        return {name: np.asarray(leaf) for name, leaf in binding.named_leaves(tree, self.runner.tensors)}

    def _buffers(self, state: Any) -> dict[str, np.ndarray]:
        if state is None:
            return {}
        return {name.partition(" ")[2]: value for name, value in self.runner.buffers(state).items()}

    def differentiate(self) -> tuple[float, dict[str, np.ndarray], dict[str, np.ndarray]]:
        with self.runner.mode():
            state = self.runner.carried().get("state")
            (loss, state), gradient = self.gradient(self.trained, self.arrays, state)
            return float(loss), self._named(gradient), self._buffers(state)

    def calls(self) -> Iterator[dict[str, np.ndarray]]:
        state = self.runner.carried().get("state")
        for _ in range(STEPS):
            with self.runner.mode():
                (_, state), _ = self.gradient(self.trained, self.arrays, state)
                found = self._buffers(state)
            yield found

    def steps(self, optimizer: str) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
        try:
            import optax
        except ImportError as error:
            raise TranslationError("to compare training steps, install optax") from error
        make = optax.sgd(RATE, momentum=0.9) if optimizer == "SGD" else optax.adamw(RATE, weight_decay=1e-2)
        with self.runner.mode():
            trained, state = self.trained, self.runner.carried().get("state")
            memory = make.init(trained)
            step = jax.jit(lambda gradient, memory, trained: make.update(gradient, memory, trained))
        for _ in range(STEPS):
            with self.runner.mode():
                (_, state), gradient = self.gradient(trained, self.arrays, state)
                updates, memory = step(gradient, memory, trained)
                trained = eqx.apply_updates(trained, updates)
                found = self._named(trained), self._buffers(state)
            yield found


__all__ = ["BOUND", "STEPS", "rows"]
