"""Compares the gradients of a prelude function with those of the torch function that it stands for."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import torch
from torch.utils import _pytree as pytree

from tests.ops.harness import compare, to_array


def check_gradient(ours: Callable, theirs: Callable, *tensors: torch.Tensor) -> None:
    """Assert in float64 that both functions have the same values and, for random cotangents, the same gradients."""
    wide = [t.to(torch.complex128 if t.is_complex() else torch.float64).requires_grad_() for t in tensors]
    outputs = pytree.tree_leaves(theirs(*wide))
    seeds = [torch.randn(out.shape, dtype=out.dtype) for out in outputs]
    live = [(out, seed) for out, seed in zip(outputs, seeds, strict=True) if out.requires_grad]
    expected = torch.autograd.grad([out for out, _ in live], wide, [seed for _, seed in live], allow_unused=True)
    with jax.enable_x64(True):
        found, pullback = jax.vjp(lambda *arrays: jax.tree.leaves(ours(*arrays)), *map(to_array, wide))
        # torch's gradient of a complex tensor is the conjugate of JAX's.
        gradients = pullback([jnp.conj(to_array(seed)) for seed in seeds])
        for array, tensor in zip(found, outputs, strict=True):
            compare(array, tensor)
        for array, tensor, of in zip(gradients, expected, wide, strict=True):
            compare(jnp.conj(array), torch.zeros_like(of) if tensor is None else tensor)
