"""A check shared by the tests of the neural network families: an op's values in float64, its dtypes in float32 too."""

from __future__ import annotations

from collections.abc import Callable

import jax
import torch
from torch.utils import _pytree as pytree

from tests.ops.harness import check, lowered

# Only the order of summation may differ in float64.
DOUBLE = 1e-12


def as_double(x: torch.Tensor) -> torch.Tensor:
    return x.double() if x.is_floating_point() else x


def check_both(function: Callable, *tensors: torch.Tensor, op: str | None) -> None:
    """harness.check in float64, with JAX in its 64-bit mode, at 1e-12; in float32 no more than shapes and dtypes."""
    shapes = jax.eval_shape(lambda: lowered(function, *tensors, compiled=False)[0])
    for ours, theirs in zip(jax.tree.leaves(shapes), pytree.tree_leaves(function(*tensors)), strict=True):
        assert ours.shape == tuple(theirs.shape) and str(ours.dtype) in str(theirs.dtype).replace("int64", "int32")
    with jax.enable_x64(True):
        check(function, *map(as_double, tensors), op=op, tolerance=DOUBLE)
