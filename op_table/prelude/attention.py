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
    if mask is None:
        weights = jax.nn.softmax(scores, axis=-1)
    else:
        scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask
        nowhere = jnp.max(scores, axis=-1, keepdims=True) == -jnp.inf
        weights = jnp.where(nowhere, 0, jax.nn.softmax(jnp.where(nowhere, 0, scores), axis=-1))
    return jnp.einsum("...qk,...kv->...qv", weights.astype(value.dtype), value)


def attention_logsumexp(
    query: Float[Array, "*batch queries features"],
    key: Float[Array, "*batch keys features"],
    mask: Array | None = None,
    *,
    scale: float | None = None,
) -> Float[Array, "*batch queries"]:
    """The logsumexp of the scores, which torch's fused kernels return beside their output."""
    scores = jnp.einsum(
        "...qf,...kf->...qk",
        query,
        key,
        preferred_element_type=jnp.promote_types(query.dtype, jnp.float32),
    )
    scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask
    return jax.nn.logsumexp(scores, axis=-1)
