"""Values by their order: running extremes, medians, modes, and places in sorted rows."""

import itertools
import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int, Shaped


def cumulative_max(x: Shaped[Array, "..."], axis: int) -> tuple[Array, Int[Array, "..."]]:
    """torch.cummax: the largest value so far, NaN above all, and the last place that holds it."""
    places = lax.broadcasted_iota(int, x.shape, axis) if x.ndim else jnp.zeros((), int)
    if x.ndim == 0:
        return x, places

    def later(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
        wins = (b[0] >= a[0]) | jnp.isnan(b[0])
        return jnp.where(wins, b[0], a[0]), jnp.where(wins, b[1], a[1])

    return lax.associative_scan(later, (x, places), axis=axis)


def cumulative_min(x: Shaped[Array, "..."], axis: int) -> tuple[Array, Int[Array, "..."]]:
    """torch.cummin: the smallest value so far, NaN below all, and the last place that holds it."""
    places = lax.broadcasted_iota(int, x.shape, axis) if x.ndim else jnp.zeros((), int)
    if x.ndim == 0:
        return x, places

    def later(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
        wins = (b[0] <= a[0]) | jnp.isnan(b[0])
        return jnp.where(wins, b[0], a[0]), jnp.where(wins, b[1], a[1])

    return lax.associative_scan(later, (x, places), axis=axis)


def top_k(x: Shaped[Array, "..."], k: int, axis: int = -1) -> tuple[Array, Int[Array, "..."]]:
    """The k largest values and their places. A NaN of either sign is the largest, where lax.top_k looks at its sign."""
    if jnp.issubdtype(x.dtype, jnp.floating):
        x = jnp.where(jnp.isnan(x), jnp.nan, x)
    values, places = lax.top_k(x, k, axis=axis)
    return values, places.astype(int)


def median(
    x: Shaped[Array, "..."], axis: int, *, keepdims: bool = False, ignore_nan: bool = False
) -> tuple[Array, Int[Array, "..."]]:
    """torch.median and nanmedian: of an even number of values the lower middle one, and its place."""
    if x.ndim == 0:
        return x, jnp.zeros((), int)
    ranks = jnp.argsort(x, axis=axis)
    count = x.shape[axis] - jnp.sum(jnp.isnan(x), axis=axis, keepdims=True)
    middle = (count - 1) // 2
    if ignore_nan:
        middle = jnp.maximum(middle, 0)
    else:
        # NaN is sorted last: where there is one, the first of them is the median.
        middle = jnp.where(count < x.shape[axis], count, middle)
    place = jnp.take_along_axis(ranks, middle, axis=axis)
    value = jnp.take_along_axis(x, place, axis=axis)
    return (value, place) if keepdims else (value.squeeze(axis), place.squeeze(axis))


def mode(
    x: Shaped[Array, "..."], axis: int, *, keepdims: bool = False
) -> tuple[Array, Int[Array, "..."]]:
    """torch.mode: the most frequent value, the smallest of several, and the last place that holds it."""
    if x.ndim == 0:
        return x, jnp.zeros((), int)
    rows = jnp.moveaxis(x, axis, -1)
    counts = jnp.sum(rows[..., :, None] == rows[..., None, :], axis=-1)
    often = counts == jnp.max(counts, axis=-1, keepdims=True)
    ranks = jnp.argsort(jnp.argsort(rows, axis=-1), axis=-1)
    first = jnp.argmin(jnp.where(often, ranks, rows.shape[-1]), axis=-1, keepdims=True)
    value = jnp.take_along_axis(rows, first, axis=-1)
    place = rows.shape[-1] - 1 - jnp.argmax((rows == value)[..., ::-1], axis=-1)
    value, place = jnp.moveaxis(value, -1, axis), jnp.expand_dims(place, axis)
    return (value, place) if keepdims else (value.squeeze(axis), place.squeeze(axis))


def searchsorted_rows(
    rows: Shaped[Array, "*batch n"],
    x: Shaped[Array, "*batch m"],
    side: Literal["left", "right"] = "left",
) -> Int[Array, "*batch m"]:
    """torch.searchsorted with a sorted row for each row of values."""

    def search(row: Shaped[Array, " n"], values: Shaped[Array, " m"]) -> Int[Array, " m"]:
        return jnp.searchsorted(row, values, side=side)

    flat = (a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) for a in (rows, x))
    found = jax.vmap(search)(*flat)
    return found.reshape(x.shape)


def unique_consecutive(
    x: Shaped[Array, "..."], axis: int | None = None
) -> tuple[Array, Int[Array, "..."], Int[Array, " n"]]:
    """torch.unique_consecutive: values without those that repeat the one before, where each went, and their counts."""
    rows = x.reshape(-1, 1) if axis is None else jnp.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
    new = jnp.any(rows[1:] != rows[:-1], axis=1)
    first = jnp.concatenate([jnp.ones(min(len(rows), 1), bool), new])
    places = jnp.cumsum(first) - 1
    counts = jnp.bincount(places, length=int(first.sum()))
    values = jnp.compress(first, x if axis is not None else x.ravel(), axis=axis or 0)
    return values, places.reshape(x.shape) if axis is None else places, counts


def combinations(
    x: Shaped[Array, " n"], r: int, with_replacement: bool = False
) -> Shaped[Array, "m r"]:
    """torch.combinations: every choice of r elements, in the order of itertools."""
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(len(x)), r)), int).reshape(-1, r)
    return x[places]
