"""Quotients that come out as torch's do."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Shaped


def exact_divide(x: Shaped[Array, "..."], y: Shaped[Array, "..."] | float) -> Shaped[Array, "..."]:
    """x / y, where the quotient is then rounded to a whole number, or compared.

    XLA multiplies by the reciprocal of a constant, a root or what broadcasts, and 41 * (1 / 41) is less than 1.
    """
    shape = jnp.broadcast_shapes(jnp.shape(x), jnp.shape(y))
    dtype = jnp.result_type(x, y, 1.0)
    x, y = (jnp.broadcast_to(jnp.asarray(part, dtype), shape or (1,)) for part in (x, y))
    x, y = lax.optimization_barrier((x, y))
    return (x / y).reshape(shape)
