"""Attention whose scores and mask are functions of where a query and a key stand, as torch's flex_attention."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def flex_scores(
    query: Float[Array, "batch heads q d"],
    key: Float[Array, "#batch groups k d"],
    score_mod: Callable | None = None,
    mask_mod: Callable | None = None,
    *,
    scale: float | None = None,
) -> Float[Array, "batch heads q k"]:
    """Scores after score_mod(score, b, h, q, k), and -inf where mask_mod(b, h, q, k) is False. Groups of heads share a key."""
    precision = jnp.promote_types(query.dtype, jnp.float32)
    key = jnp.repeat(key, query.shape[1] // key.shape[1], axis=1)
    scores = query.astype(precision) @ jnp.swapaxes(key, -1, -2).astype(precision)
    scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    places = [jnp.arange(length, dtype=jnp.int32) for length in scores.shape]
    if score_mod is not None:
        for axis in (4, 3, 2, 1):
            score_mod = jax.vmap(
                score_mod, in_axes=(0, *(0 if i == axis else None for i in (1, 2, 3, 4)))
            )
        scores = score_mod(scores, *places)
    if mask_mod is not None:
        for axis in (3, 2, 1, 0):
            mask_mod = jax.vmap(mask_mod, in_axes=tuple(0 if i == axis else None for i in range(4)))
        scores = jnp.where(mask_mod(*places), scores, -jnp.inf)
    return scores


def flex_attention(
    query: Float[Array, "batch heads q d"],
    key: Float[Array, "#batch groups k d"],
    value: Float[Array, "#batch groups k v"],
    score_mod: Callable | None = None,
    mask_mod: Callable | None = None,
    *,
    scale: float | None = None,
) -> Float[Array, "batch heads q v"]:
    """torch's: see flex_scores. Attending nowhere gives 0."""
    scores = flex_scores(query, key, score_mod, mask_mod, scale=scale)
    nowhere = jnp.max(scores, axis=-1, keepdims=True) == -jnp.inf
    weights = jnp.where(nowhere, 0, jax.nn.softmax(jnp.where(nowhere, 0, scores), axis=-1))
    value = jnp.repeat(value, query.shape[1] // value.shape[1], axis=1)
    return weights.astype(query.dtype) @ value.astype(query.dtype)
