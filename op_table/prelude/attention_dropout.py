"""Attention while training: some of the weights are dropped."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from op_table.prelude.attention import attention_scores
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
    weights = safe_softmax(attention_scores(query, key, mask, scale), -1)
    weights = dropout(weights, p, random_key)
    return jnp.einsum("...qk,...kv->...qv", weights.astype(value.dtype), value)
