"""Attention as torch computes it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def scaled_dot_product_attention(
    query: Float[Array, "*batch q d"],
    key: Float[Array, "*batch k d"],
    value: Float[Array, "*batch k v"],
    mask: Array | None = None,
    *,
    scale: float | None = None,
) -> Float[Array, "*batch q v"]:
    """torch's: mask is True where a query may attend, or is added. Attending nowhere gives 0."""
    precision = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("...qd,...kd->...qk", query, key, preferred_element_type=precision)
    scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask
    most = jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True, initial=-jnp.inf))
    weights = jnp.exp(scores - jnp.where(most == -jnp.inf, 0, most))
    weights, total = weights.astype(value.dtype), jnp.sum(weights, axis=-1, keepdims=True)
    y = jnp.einsum("...qk,...kv->...qv", weights, value, preferred_element_type=precision)
    return (y / jnp.where(total == 0, 1, total)).astype(value.dtype)


def attention_scores(
    query: Float[Array, "*batch q d"],
    key: Float[Array, "*batch k d"],
    mask: Array | None = None,
    scale: float | None = None,
) -> Float[Array, "*batch q k"]:
    """What scaled_dot_product_attention takes the softmax of."""
    precision = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("...qd,...kd->...qk", query, key, preferred_element_type=precision)
    scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    if mask is None:
        return scores
    return jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask


def attention_logsumexp(
    query: Float[Array, "*batch q d"],
    key: Float[Array, "*batch k d"],
    mask: Array | None = None,
    *,
    scale: float | None = None,
) -> Float[Array, "*batch q"]:
    """The logsumexp of the scores, which torch's fused kernels return beside their output."""
    return jax.nn.logsumexp(attention_scores(query, key, mask, scale), axis=-1)
