"""Values by their order: running extremes, medians, modes, and places in sorted rows."""

from typing import Literal

import jax
import jax.numpy as jnp
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

    found = jax.vmap(search)(rows.reshape(-1, rows.shape[-1]), x.reshape(-1, x.shape[-1]))
    return found.reshape(x.shape)
