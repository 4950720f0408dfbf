"""Compares the gradients of a prelude function with those of the torch function that it stands for."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import torch
from torch.utils import _pytree as pytree

from tests.ops.harness import compare, to_array


@functools.partial(jax.jit, static_argnums=0)
def values_and_gradients(function: Callable, arrays: list[jax.Array], seeds: list[jax.Array]) -> tuple[list, tuple]:
    """What a function gives, and its gradients for the cotangents that torch is given as seeds."""
    found, pullback = jax.vjp(lambda *arrays: jax.tree.leaves(function(*arrays)), *arrays)
    return found, pullback([jnp.conj(seed) for seed in seeds])  # torch's gradient is the conjugate of JAX's


def check_gradient(ours: Callable, theirs: Callable, *tensors: torch.Tensor) -> None:
    """Assert in float64 that both functions have the same values and, for random cotangents, the same gradients."""
    wide = [t.to(torch.complex128 if t.is_complex() else torch.float64).requires_grad_() for t in tensors]
    outputs = pytree.tree_leaves(theirs(*wide))
    seeds = [torch.randn(out.shape, dtype=out.dtype) for out in outputs]
    live = [(out, seed) for out, seed in zip(outputs, seeds, strict=True) if out.requires_grad]
    expected = torch.autograd.grad([out for out, _ in live], wide, [seed for _, seed in live], allow_unused=True)
    with jax.enable_x64(True):
        found, gradients = values_and_gradients(ours, list(map(to_array, wide)), list(map(to_array, seeds)))
        for array, tensor in zip(found, outputs, strict=True):
            compare(array, tensor)
        for array, tensor, of in zip(gradients, expected, wide, strict=True):
            compare(jnp.conj(array), torch.zeros_like(of) if tensor is None else tensor)
