"""How tests compile what they compare: many programs, each run once, so that compiling takes the most time and is no part of what is checked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax

_FLAG = "jax_disable_most_optimizations"

# What the databases and the fuzzer compare: between narrow ops XLA would keep more bits than they have.
COMPILING = {"xla_backend_optimization_level": 0, "xla_allow_excess_precision": False}

# As users compile, but for what narrow ops keep.
OPTIMISED = {"xla_allow_excess_precision": False}


def quickly() -> None:
    """From now on, XLA leaves out what LLVM would make faster; how it rewrites a program stays as it is."""
    jax.config.update(_FLAG, True)


@contextlib.contextmanager
def optimised() -> Iterator[None]:
    """Within it, programs are compiled as users compile them."""
    before = jax.config.read(_FLAG)
    jax.config.update(_FLAG, False)
    try:
        yield
    finally:
        jax.config.update(_FLAG, before)
