"""Checks shared by the tests of the neural network families: an op in float32 as in float64."""

from __future__ import annotations

from collections.abc import Callable

import jax
import torch

from tests.ops.harness import check

# Only the order of summation may differ in float64.
DOUBLE = 1e-12


def as_double(x: torch.Tensor) -> torch.Tensor:
    return x.double() if x.is_floating_point() else x


def check_both(function: Callable, *tensors: torch.Tensor, op: str | None, tolerance: float | None = None) -> None:
    """harness.check in float32, and in float64 with JAX in its 64-bit mode at 1e-12."""
    check(function, *tensors, op=op, tolerance=tolerance)
    with jax.enable_x64(True):
        check(function, *map(as_double, tensors), op=op, tolerance=DOUBLE)
