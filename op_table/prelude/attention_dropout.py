"""Attention while training: some of the weights are dropped."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from op_table.prelude.random import dropout
from op_table.prelude.select import safe_softmax


def attention_with_dropout(
    query: Float[Array, "*batch q d"],
    key: Float[Array, "*batch k d"],
    value: Float[Array, "*batch k v"],
    p: float,
    random_key: PRNGKeyArray,
    *,
    mask: Array | None = None,
    scale: float | None = None,
) -> Float[Array, "*batch q v"]:
    """torch.nn.functional.scaled_dot_product_attention whose weights are zero with probability p."""
    precision = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("...qd,...kd->...qk", query, key, preferred_element_type=precision)
    scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask
    weights = dropout(safe_softmax(scores, -1), p, random_key)
    return jnp.einsum("...qk,...kv->...qv", weights.astype(value.dtype), value)
