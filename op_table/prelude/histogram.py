"""Histograms, with the edges that torch chooses and the bins that it finds."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num


def upper_bound(edges: Float[Array, " n"], x: Float[Array, "..."]) -> Int[Array, "..."]:
    """How many edges are not above x: a binary search, which tells what torch finds where edges are not sorted."""
    first, count = jnp.zeros(x.shape, int), jnp.full(x.shape, len(edges))
    for _ in range(len(edges).bit_length()):
        half = count // 2
        right = (count > 0) & ~(x < edges[jnp.minimum(first + half, len(edges) - 1)])
        first = jnp.where(right, first + half + 1, first)
        count = jnp.where(right, count - half - 1, half)
    return first


def even_edges(
    x: Float[Array, "*batch axes"], bins: Sequence[int], bounds: Sequence[float] | None = None
) -> list[Array]:
    """The edges of bins of equal width along each axis: between bounds, or from the least value to the greatest."""
    x = x.reshape(-1, len(bins))
    if bounds is not None:
        low, high = jnp.array(bounds[::2], x.dtype), jnp.array(bounds[1::2], x.dtype)
    elif x.shape[0] == 0:
        low, high = jnp.zeros(len(bins), x.dtype), jnp.ones(len(bins), x.dtype)
    else:
        low, high = jnp.min(x, axis=0), jnp.max(x, axis=0)
    margin = jnp.where(low == high, 0.5, 0).astype(x.dtype)
    low, high = low - margin, high + margin
    return [jnp.linspace(low[axis], high[axis], count + 1) for axis, count in enumerate(bins)]


def histogramdd(
    x: Float[Array, "*batch axes"],
    edges: Sequence[Float[Array, "..."]],
    weights: Float[Array, "*batch"] | None = None,
    density: bool = False,
) -> Float[Array, "..."]:
    """torch.histogramdd of points: what lies outside of all bins is not counted."""
    x = x.reshape(-1, len(edges))
    inside = jnp.ones(len(x), bool)
    places = []
    for axis, along in enumerate(edges):
        value = x[:, axis]
        inside &= (value >= along[0]) & (value <= along[-1])
        places.append(jnp.minimum(upper_bound(along, value) - 1, len(along) - 2))
    weights = jnp.ones(len(x), x.dtype) if weights is None else weights.ravel()
    counts = jnp.zeros([len(along) - 1 for along in edges], x.dtype)
    counts = counts.at[tuple(places)].add(jnp.where(inside, weights, 0))
    if density:
        counts = counts / jnp.sum(counts)
        for width in jnp.ix_(*(jnp.diff(along) for along in edges)):
            counts = counts / width
    return counts


def histogram(
    x: Float[Array, "..."],
    edges: Float[Array, " n"],
    weights: Float[Array, "..."] | None = None,
    density: bool = False,
) -> tuple[Float[Array, " bins"], Float[Array, " n"]]:
    """torch.histogram: the counts, and the edges of the bins."""
    return histogramdd(x.reshape(-1, 1), [edges], weights, density), edges


def histc(
    x: Num[Array, "..."], bins: int, low: float | None = None, high: float | None = None
) -> Num[Array, " bins"]:
    """torch.histc: without bounds, from the least value to the greatest. It computes the bin in x's own dtype."""
    if x.size == 0:
        return jnp.zeros(bins, x.dtype)
    x = x.ravel()
    low = jnp.min(x) if low is None else jnp.asarray(low, x.dtype)
    high = jnp.max(x) if high is None else jnp.asarray(high, x.dtype)
    margin = (low == high).astype(x.dtype)
    low, high = low - margin, high + margin
    scaled, width = (x - low) * jnp.asarray(bins, x.dtype), high - low
    place = scaled // width if jnp.issubdtype(x.dtype, jnp.integer) else scaled / width
    inside = (x >= low) & (x <= high)
    place = jnp.minimum(jnp.where(inside, place, 0).astype(int), bins - 1)
    return jnp.zeros(bins, x.dtype).at[place].add(inside.astype(x.dtype))
