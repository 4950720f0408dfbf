"""Functions that pick values by a mask."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Shaped


def masked_scatter(
    x: Shaped[Array, "..."], mask: Bool[Array, "..."], source: Shaped[Array, "..."]
) -> Array:
    """torch.masked_scatter: the places where mask holds take the elements of source, in order."""
    x, mask = jnp.broadcast_arrays(x, mask)
    place = jnp.cumsum(mask.ravel()).reshape(mask.shape) - 1
    return jnp.where(mask, source.ravel()[place], x)


def safe_softmax(x: Shaped[Array, "..."], axis: int) -> Array:
    """torch's softmax for attention: rows that are -inf throughout give zeros, not NaN."""
    masked = jnp.all(x == -jnp.inf, axis=axis, keepdims=True)
    return jnp.where(masked, 0, jax.nn.softmax(jnp.where(masked, 0, x), axis=axis))


def masked_put(
    x: Shaped[Array, "..."], mask: Bool[Array, "..."], rows: Shaped[Array, "n ..."]
) -> Array:
    """torch's x[mask] = rows: the places where mask holds take the rows, in order."""
    place = jnp.cumsum(mask.ravel()).reshape(mask.shape) - 1
    wide = mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
    return jnp.where(wide, rows[place], x)
