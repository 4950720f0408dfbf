"""Sampling at the places of a grid."""

import functools
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def affine_grid(
    theta: Float[Array, "batch n n+1"], size: tuple[int, ...], *, align_corners: bool = False
) -> Float[Array, "..."]:
    """torch.nn.functional.affine_grid over an image of size (batch, channels, *size)."""
    axes = []
    for n in size[2:]:
        line = jnp.linspace(-1, 1, n, dtype=theta.dtype) if n > 1 else jnp.zeros(n, theta.dtype)
        axes.append(line if align_corners else line * ((n - 1) / n))
    places = jnp.meshgrid(*axes, indexing="ij")
    base = jnp.stack([*reversed(places), jnp.ones_like(places[0])], axis=-1)
    return jnp.einsum("...j,bij->b...i", base, theta)


def grid_place(place: Float[Array, "..."], size: int, align_corners: bool) -> Float[Array, "..."]:
    """A coordinate in [-1, 1] as one in pixels."""
    return (place + 1) / 2 * (size - 1) if align_corners else ((place + 1) * size - 1) / 2


def pad_place(
    place: Float[Array, "..."], size: int, padding: str, align_corners: bool
) -> Float[Array, "..."]:
    """A coordinate in pixels, moved into the image as padding says."""
    if padding == "reflection":
        low, span = (0, size - 1) if align_corners else (-0.5, size)
        if span == 0:
            return jnp.zeros_like(place)
        distance = jnp.abs(place - low)
        flips, rest = jnp.floor(distance / span), jnp.fmod(distance, span)
        place = jnp.where(flips % 2 == 0, rest, span - rest) + low
    return place if padding == "zeros" else jnp.clip(place, 0, size - 1)


def pixels_at(
    x: Float[Array, "batch channels *size"], index: list[Int[Array, "batch *out"]]
) -> Float[Array, "batch channels *out"]:
    """The pixels at integer places, zero outside of the image."""
    batch, channels, *size = x.shape
    inside = functools.reduce(
        jnp.logical_and, [(i >= 0) & (i < n) for i, n in zip(index, size, strict=True)]
    )
    flat = jnp.zeros_like(index[0])
    for i, n in zip(index, size, strict=True):
        flat = flat * n + jnp.clip(i, 0, n - 1)
    pixels = jnp.take_along_axis(
        x.reshape(batch, channels, math.prod(size)), flat.reshape(batch, 1, -1), axis=2
    )
    return jnp.where(inside[:, None], pixels.reshape(batch, channels, *flat.shape[1:]), 0)


def cubic_weights(t: Float[Array, "..."]) -> list[Float[Array, "..."]]:
    """The weights of the four neighbours by the cubic convolution with a = -0.75."""
    a = -0.75
    near = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, 1 - t)]
    far = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (t + 1, 2 - t)]
    return [far[0], near[0], near[1], far[1]]


def grid_sample(
    x: Float[Array, "batch channels *size"],
    grid: Float[Array, "batch *out n"],
    *,
    mode: str = "bilinear",
    padding: str = "zeros",
    align_corners: bool = False,
) -> Float[Array, "batch channels *out"]:
    """torch.nn.functional.grid_sample. A place is written from the last axis of x to the first."""
    size = x.shape[2:]
    exact = grid.astype(jnp.promote_types(grid.dtype, jnp.float32))
    places = [grid_place(exact[..., -1 - i], n, align_corners) for i, n in enumerate(size)]
    if mode == "bicubic":
        return grid_sample_cubic(x, places, padding, align_corners)
    places = [pad_place(p, n, padding, align_corners) for p, n in zip(places, size, strict=True)]
    if mode == "nearest":
        return pixels_at(x, [jnp.round(p).astype(int) for p in places])
    low = [jnp.floor(p) for p in places]
    y = jnp.zeros((), x.dtype)
    for corner in np.ndindex(*(2 for _ in size)):
        weights = [p - b if c else b + 1 - p for p, b, c in zip(places, low, corner, strict=True)]
        index = [b.astype(int) + c for b, c in zip(low, corner, strict=True)]
        y = y + pixels_at(x, index) * functools.reduce(jnp.multiply, weights)[:, None]
    return y.astype(x.dtype)


def grid_sample_cubic(
    x: Float[Array, "batch channels height width"],
    places: list[Float[Array, "batch *out"]],
    padding: str,
    align_corners: bool,
) -> Float[Array, "batch channels *out"]:
    """torch.nn.functional.grid_sample(mode="bicubic"): all sixteen neighbours are padded."""
    low = [jnp.floor(p) for p in places]
    weights = [cubic_weights(p - b) for p, b in zip(places, low, strict=True)]
    y = jnp.zeros((), x.dtype)
    for taps in np.ndindex(4, 4):
        index = [
            pad_place(b + (tap - 1), n, padding, align_corners).astype(int)
            for b, tap, n in zip(low, taps, x.shape[2:], strict=True)
        ]
        weight = weights[0][taps[0]] * weights[1][taps[1]]
        y = y + pixels_at(x, index) * weight[:, None]
    return y.astype(x.dtype)
