"""Sums, means and maxima of bags of embeddings."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from op_table.prelude.distance import renorm


def embedding_renorm(
    weight: Float[Array, "vocabulary features"],
    indices: Int[Array, "..."],
    max_norm: float,
    p: float,
) -> Float[Array, "vocabulary features"]:
    """The table in which the rows that indices name have p-norms of at most max_norm. Gradients pass by the scaling."""
    used = indices.ravel()
    scaled = weight.at[used].set(renorm(weight[used], p, 0, max_norm))
    return weight + lax.stop_gradient(scaled - weight)


def bag_of_index(offsets: Int[Array, " bags"], count: int, bags: int) -> Int[Array, " count"]:
    """Which bag each of count indices belongs to; bags begin at offsets."""
    bag = jnp.searchsorted(offsets, jnp.arange(count), side="right") - 1
    return jnp.minimum(bag, bags - 1).astype(offsets.dtype)


def embedding_bag(
    weight: Float[Array, "vocabulary features"],
    indices: Int[Array, " count"],
    offsets: Int[Array, " offsets"],
    *,
    mode: str,
    per_sample_weights: Float[Array, " count"] | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Float[Array, "bags features"]:
    """torch.nn.functional.embedding_bag. An empty bag gives 0, and so does one of padding alone."""
    bags = len(offsets) - include_last_offset
    bag = bag_of_index(offsets, len(indices), bags)
    counted = jnp.ones(indices.shape, bool) if padding_idx is None else indices != padding_idx
    rows = weight[indices]
    if per_sample_weights is not None:
        rows = rows * per_sample_weights[:, None]
    size = jax.ops.segment_sum(counted.astype(int), bag, bags)[:, None]
    if mode == "max":
        rows = jnp.where(counted[:, None], rows, -jnp.inf)
        return jnp.where(size > 0, jax.ops.segment_max(rows, bag, bags), 0)
    total = jax.ops.segment_sum(jnp.where(counted[:, None], rows, 0), bag, bags)
    return total / jnp.maximum(size, 1).astype(weight.dtype) if mode == "mean" else total


def embedding_bag_sizes(
    indices: Int[Array, " count"],
    offsets: Int[Array, " offsets"],
    *,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Int[Array, " bags"]:
    """How many indices that are not padding each bag holds."""
    bags = len(offsets) - include_last_offset
    bag = bag_of_index(offsets, len(indices), bags)
    counted = jnp.ones(indices.shape, bool) if padding_idx is None else indices != padding_idx
    return jax.ops.segment_sum(counted.astype(int), bag, bags)


def embedding_bag_argmax(
    weight: Float[Array, "vocabulary features"],
    indices: Int[Array, " count"],
    offsets: Int[Array, " offsets"],
    *,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Int[Array, "bags features"]:
    """The row of weight that each maximum of an embedding_bag comes from; 0 for an empty bag."""
    bags = len(offsets) - include_last_offset
    bag = bag_of_index(offsets, len(indices), bags)
    counted = jnp.ones(indices.shape, bool) if padding_idx is None else indices != padding_idx
    rows = jnp.where(counted[:, None], weight[indices], -jnp.inf)
    is_best = counted[:, None] & (rows == jax.ops.segment_max(rows, bag, bags)[bag])
    places = jnp.where(is_best, jnp.arange(len(indices))[:, None], len(indices))
    return jnp.append(indices, 0)[jnp.minimum(jax.ops.segment_min(places, bag, bags), len(indices))]
