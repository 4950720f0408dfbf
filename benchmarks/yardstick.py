"""Two fixed pieces of work that tell how fast the machine is just now.

What happens once (a translation, a compilation) cannot take turns with another contender. So one of these is timed right before
it and right after, and its time is given as a multiple of their mean, beside the seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import torch
from torch import nn

from benchmarks.timing import timed

WIDTH = 16
LAYERS = 4


@dataclass
class Elapsed:
    """seconds: of the block. yardstick: the mean of the two beside it, in seconds."""

    seconds: float = 0.0
    yardstick: float = 0.0

    @property
    def ratio(self) -> float:
        """The block's time in yardsticks."""
        return self.seconds / self.yardstick


@contextmanager
def beside(yardstick: Callable[[], None]) -> Iterator[Elapsed]:
    """Times the block, and the yardstick before and after it."""
    elapsed = Elapsed()
    before, _ = timed(yardstick)
    started = time.perf_counter()
    yield elapsed
    elapsed.seconds = time.perf_counter() - started
    elapsed.yardstick = (before + timed(yardstick)[0]) / 2


def exporting() -> None:
    """The yardstick of translations, which are Python: torch.export of a small module."""
    layers = (nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.GELU()) for _ in range(LAYERS))
    torch.export.export(nn.Sequential(*layers).eval(), (torch.zeros(2, WIDTH),), strict=False)


def compiling() -> None:
    """The yardstick of compilations: XLA compiles the gradients of a small network."""

    def loss(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        for weight in weights:
            x = jax.nn.softmax(jnp.tanh(x @ weight))
        return jnp.mean(x**2)

    weights = [jnp.zeros((WIDTH, WIDTH))] * LAYERS
    jax.jit(jax.grad(loss)).lower(weights, jnp.zeros((2, WIDTH))).compile()
