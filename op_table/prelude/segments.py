"""Reductions of consecutive segments of an axis."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from op_table.prelude.scatter import multiply_at


def segment_reduce(
    x: Float[Array, "..."],
    offsets: Int[Array, "*batch segments_and_one"],
    reduce: Literal["sum", "mean", "prod", "max", "min"],
    *,
    initial: float | None = None,
) -> Float[Array, "..."]:
    """torch.segment_reduce: each segment reaches from one offset to the next, and counts initial as well."""
    if offsets.ndim > 1:

        def each(x: Array, offsets: Array) -> Array:
            return segment_reduce(x, offsets, reduce, initial=initial)

        return jax.vmap(each)(x, offsets)
    count = len(offsets) - 1
    segment = jnp.searchsorted(offsets, jnp.arange(len(x)), side="right") - 1
    segment = jnp.where(segment < 0, count, segment)  # what is in no segment is written nowhere
    neutral = {"sum": 0, "mean": 0, "prod": 1, "max": -jnp.inf, "min": jnp.inf}[reduce]
    start = jnp.full((count, *x.shape[1:]), neutral if initial is None else initial, dtype=x.dtype)
    if reduce == "prod":
        return multiply_at(start, (segment,), x)
    if reduce == "max":
        return start.at[segment].max(x)
    if reduce == "min":
        return start.at[segment].min(x)
    total = start.at[segment].add(x)
    if reduce == "sum":
        return total
    length = jnp.diff(offsets).reshape(-1, *(1 for _ in x.shape[1:])).astype(x.dtype)
    empty = jnp.nan if initial is None else initial
    return jnp.where(length > 0, total / jnp.maximum(length, 1), empty)
