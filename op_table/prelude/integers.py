"""Arithmetic of integers where JAX's has another rule than torch's."""

import jax.numpy as jnp
from jaxtyping import Array, Int


def power(x: Int[Array, "..."] | int, exponent: Int[Array, "..."]) -> Array:
    """torch.pow of integers. To a negative power all but 1 and -1 are 0."""
    positive = x ** jnp.maximum(exponent, 0)
    inverse = jnp.where(jnp.abs(x) == 1, x ** (exponent & 1), 0)
    return jnp.where(exponent < 0, inverse, positive)
