"""Norms of vectors and matrices, with the gradients that torch gives where a norm has none: 0 at a norm of 0."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Inexact


def magnitude(x: Inexact[Array, "..."]) -> Float[Array, "..."]:
    """The absolute value, whose gradient at 0 is 0."""
    return jnp.abs(x) if jnp.iscomplexobj(x) else x * lax.stop_gradient(jnp.sign(x))


def vector_norm(
    x: Inexact[Array, "..."],
    ord: float = 2,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
) -> Float[Array, "..."]:
    """torch.linalg.vector_norm: of the elements along the axes as one vector, in float32 at least."""
    dtype = x.real.dtype
    size = magnitude(x.astype(jnp.promote_types(x.dtype, jnp.float32)))
    if ord == jnp.inf:
        return jnp.max(size, axis=axis, keepdims=keepdims).astype(dtype)
    if ord == -jnp.inf:
        return jnp.min(size, axis=axis, keepdims=keepdims).astype(dtype)
    if ord == 0:
        return jnp.sum(size != 0, axis=axis, keepdims=keepdims).astype(dtype)
    if ord == 1:
        return jnp.sum(size, axis=axis, keepdims=keepdims).astype(dtype)
    zero = size == 0
    powers = jnp.where(zero, 0.0 if ord > 0 else jnp.inf, jnp.where(zero, 1, size) ** ord)
    total = jnp.sum(powers, axis=axis, keepdims=keepdims)
    usual = (total > 0) & (total < jnp.inf)
    root = jnp.sqrt if ord == 2 else lambda total: total ** (1 / ord)
    norm = jnp.where(usual, root(jnp.where(usual, total, 1)), root(lax.stop_gradient(total)))
    return norm.astype(dtype)


def matrix_norm(
    x: Inexact[Array, "..."],
    ord: float | str = "fro",
    axis: tuple[int, int] = (-2, -1),
    keepdims: bool = False,
) -> Float[Array, "..."]:
    """torch.linalg.matrix_norm."""
    if ord == "fro":
        return vector_norm(x, axis=axis, keepdims=keepdims)
    x = jnp.moveaxis(x, axis, (-2, -1))
    if ord in ("nuc", 2, -2):
        values = jnp.linalg.svdvals(x)
    else:
        values = jnp.sum(magnitude(x), axis=-2 if abs(ord) == 1 else -1)
    without_values = values.shape[-1] == 0
    reduce = jnp.sum if ord == "nuc" or without_values else jnp.max if ord > 0 else jnp.min
    norm = reduce(values, axis=-1)
    return jnp.expand_dims(norm, axis) if keepdims else norm
