"""Arithmetic of integers where JAX's has another rule than torch's."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int


def power(x: Int[Array, "..."] | int, exponent: Int[Array, "..."]) -> Int[Array, "..."]:
    """torch.pow of integers, by squaring. To a negative power all but 1 and -1 are 0.

    x ** exponent would read no more than the last six bits of an exponent.
    """
    base, exponent = jnp.broadcast_arrays(jnp.asarray(x, dtype=exponent.dtype), exponent)
    inverse = jnp.where(jnp.abs(base) == 1, base, 0)
    base = jnp.where(exponent < 0, inverse, base)
    left = jnp.where(
        exponent < 0, exponent % 2 + 2, exponent
    )  # of -1, 0 and 1 only even and odd powers differ

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        result, base, left = state
        return jnp.where(left % 2 == 1, result * base, result), base * base, left // 2

    start = jnp.ones_like(base), base, left
    return lax.while_loop(lambda state: jnp.any(state[2] > 0), step, start)[0]
