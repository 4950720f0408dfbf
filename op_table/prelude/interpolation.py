"""Resizing the last axes as torch does: positions in float32 (float64 for float64), no antialiasing
unless asked for.

Along each axis a new value is a weighted sum of a few old ones, its taps: two constants of shape
[new size, taps].
"""

import math
from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def resized_axes(
    shape: tuple[int, ...], size: tuple[int, ...] | None, scale_factor: tuple[float, ...] | None
) -> list[tuple[int, int, int, float | None]]:
    """Each resized axis, its old and its new size, and the factor that its positions come from.

    A scale_factor decides the positions even where size is given, as torch has it.
    """
    factors = scale_factor or (None,) * len(size or ())
    axes = list(range(len(shape) - len(factors), len(shape)))
    old = [shape[axis] for axis in axes]
    new = size or [math.floor(n * f) for n, f in zip(old, scale_factor or (), strict=True)]
    return list(zip(axes, old, new, factors, strict=True))


def source_scale(
    size: int, new_size: int, factor: float | None, align_corners: bool, dtype: type
) -> np.floating:
    """How many old values one new value steps over."""
    if align_corners:
        return dtype(size - 1) / dtype(new_size - 1) if new_size > 1 else dtype(0)
    return dtype(1 / factor) if factor is not None else dtype(size) / dtype(new_size)


def linear_taps(
    size: int, new_size: int, factor: float | None, dtype: type, align_corners: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The two neighbours of each new value, at the border twice the last."""
    scale = source_scale(size, new_size, factor, align_corners, dtype)
    place = np.arange(new_size).astype(dtype)
    if align_corners:
        place = place * scale
    else:
        place = np.maximum((place + dtype(0.5)) * scale - dtype(0.5), 0)
    low = np.minimum(np.floor(place).astype(int), size - 1)
    weight = np.clip(place - low.astype(dtype), 0, 1)
    index = np.stack([low, np.minimum(low + 1, size - 1)], axis=1)
    return index, np.stack([1 - weight, weight], axis=1)


def cubic_taps(
    size: int, new_size: int, factor: float | None, dtype: type, align_corners: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Four neighbours, weighted by the cubic convolution with a = -0.75."""
    scale = source_scale(size, new_size, factor, align_corners, dtype)
    place = np.arange(new_size).astype(dtype)
    place = place * scale if align_corners else (place + dtype(0.5)) * scale - dtype(0.5)
    low = np.floor(place)
    distance = np.abs((place - low)[:, None] - np.arange(-1, 3, dtype=dtype))
    index = np.clip(low.astype(int)[:, None] + np.arange(-1, 3), 0, size - 1)
    return index, cubic_kernel(distance, -0.75).astype(dtype)


def cubic_kernel(distance: np.ndarray, a: float) -> np.ndarray:
    """The piecewise cubic of Keys, zero from distance 2 on."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


def antialiased_taps(
    size: int, new_size: int, factor: float | None, dtype: type, align_corners: bool, cubic: bool
) -> tuple[np.ndarray, np.ndarray]:
    """As many neighbours as the kernel, stretched by the scale where that shrinks, reaches."""
    scale = source_scale(size, new_size, factor, align_corners, dtype)
    stretch = max(scale, dtype(1))
    reach = dtype(2 if cubic else 1) * stretch
    centre = (np.arange(new_size).astype(dtype) + dtype(0.5)) * scale
    first = np.maximum((centre - reach + dtype(0.5)).astype(int), 0)
    last = np.minimum((centre + reach + dtype(0.5)).astype(int), size)
    index = first[:, None] + np.arange(np.max(last - first))
    distance = np.abs((index - centre[:, None] + dtype(0.5)) / stretch)
    weight = cubic_kernel(distance, -0.5) if cubic else np.maximum(1 - distance, 0)
    weight = np.where(index < last[:, None], weight, 0)
    return np.minimum(index, size - 1), (weight / weight.sum(axis=1, keepdims=True)).astype(dtype)


def resize(
    x: Float[Array, "..."], taps: Callable, axes: list[tuple[int, int, int, float | None]]
) -> Float[Array, "..."]:
    """x resized along axes, as `resized_axes` gives them, one after the other."""
    dtype = np.float64 if x.dtype == np.float64 else np.float32
    y = x
    for axis, old, new, factor in axes:
        index, weight = taps(old, new, factor, dtype)
        along = (-1,) + (1,) * (x.ndim - axis - 1)
        total = jnp.take(y, index[:, 0], axis=axis) * weight[:, 0].reshape(along)
        for tap in range(1, index.shape[1]):
            total = total + jnp.take(y, index[:, tap], axis=axis) * weight[:, tap].reshape(along)
        y = total
    return y.astype(x.dtype)


def resize_nearest(
    x: Float[Array, "..."], axes: list[tuple[int, int, int, float | None]], exact: bool
) -> Float[Array, "..."]:
    """x with the nearest of its elements along axes, as `resized_axes` gives them."""
    dtype = np.float64 if x.dtype == np.float64 else np.float32
    for axis, old, new, factor in axes:
        place = np.arange(new).astype(dtype) + dtype(0.5 if exact else 0)
        place = (place * source_scale(old, new, factor, False, dtype)).astype("float32")
        x = jnp.take(x, np.minimum(np.floor(place).astype(int), old - 1), axis=axis)
    return x


def upsample_nearest(
    x: Float[Array, "..."],
    *,
    size: tuple[int, ...] | None = None,
    scale_factor: tuple[float, ...] | None = None,
    exact: bool = False,
) -> Float[Array, "..."]:
    """torch.nn.functional.interpolate(mode="nearest"), or "nearest-exact"."""
    return resize_nearest(x, resized_axes(x.shape, size, scale_factor), exact)


def upsample_linear(
    x: Float[Array, "..."],
    *,
    size: tuple[int, ...] | None = None,
    scale_factor: tuple[float, ...] | None = None,
    align_corners: bool = False,
) -> Float[Array, "..."]:
    """torch.nn.functional.interpolate(mode="linear"), "bilinear" or "trilinear"."""
    return resize(
        x,
        partial(linear_taps, align_corners=align_corners),
        resized_axes(x.shape, size, scale_factor),
    )


def upsample_cubic(
    x: Float[Array, "..."],
    *,
    size: tuple[int, ...] | None = None,
    scale_factor: tuple[float, ...] | None = None,
    align_corners: bool = False,
) -> Float[Array, "..."]:
    """torch.nn.functional.interpolate(mode="bicubic")."""
    return resize(
        x,
        partial(cubic_taps, align_corners=align_corners),
        resized_axes(x.shape, size, scale_factor),
    )


def upsample_antialiased(
    x: Float[Array, "..."],
    *,
    size: tuple[int, ...] | None = None,
    scale_factor: tuple[float, ...] | None = None,
    align_corners: bool = False,
    cubic: bool = False,
) -> Float[Array, "..."]:
    """torch.nn.functional.interpolate(antialias=True) with mode "bilinear", or "bicubic"."""
    taps = partial(antialiased_taps, align_corners=align_corners, cubic=cubic)
    return resize(x, taps, resized_axes(x.shape, size, scale_factor))
