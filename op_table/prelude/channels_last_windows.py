"""Pooling and resizing of channels-last arrays. padding is as in pooling.py."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from op_table.prelude.interpolation import cubic_taps, linear_taps, resized_axes, source_scale
from op_table.prelude.windows import adaptive_windows


def spans_last(
    kernel: tuple[int, ...], stride: int | tuple[int, ...], padding: int | tuple
) -> tuple[tuple[int, ...], tuple[int, ...], list]:
    """The size, step and padding of windows over all axes but the first and last, for each axis."""
    axes = len(kernel)
    strides = np.broadcast_to(stride, axes).tolist()
    around = np.broadcast_to(padding, (2, axes)).T.tolist()
    return (1, *kernel, 1), (1, *strides, 1), [(0, 0), *around, (0, 0)]


def max_pool_last(
    x: Float[Array, "batch *size channels"],
    kernel: tuple[int, ...],
    *,
    stride: int | tuple[int, ...],
    padding: int | tuple = 0,
) -> Float[Array, "batch *new_size channels"]:
    """torch.nn.functional.max_pool1d, 2d and 3d, channels last. On a CPU, slices are faster."""
    least = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
    sizes, strides, around = spans_last(kernel, stride, padding)

    def sliced(x: Array) -> Array:
        x = jnp.pad(x, around, constant_values=least)
        for axis in range(x.ndim - 2, 0, -1):
            end = x.shape[axis] - sizes[axis] + 1
            starts = range(sizes[axis])
            x, *rest = (lax.slice_in_dim(x, i, i + end, strides[axis], axis) for i in starts)
            for part in rest:  # of equal ones the first gets the gradient, as in torch
                x = jnp.where((part > x) | jnp.isnan(part), part, x)
        return x

    def whole(x: Array) -> Array:
        return lax.reduce_window(x, least, lax.max, sizes, strides, around)

    return lax.platform_dependent(x, cpu=sliced, default=whole)


def avg_pool_last(
    x: Float[Array, "batch *size channels"],
    kernel: tuple[int, ...],
    *,
    stride: int | tuple[int, ...],
    padding: int | tuple = 0,
    divisor: int | Array | None = None,
) -> Float[Array, "batch *new_size channels"]:
    """torch.nn.functional.avg_pool1d, 2d and 3d, channels last."""
    total = lax.reduce_window(x, 0.0, lax.add, *spans_last(kernel, stride, padding))
    return total / (math.prod(kernel) if divisor is None else divisor)


def adaptive_avg_pool_last(
    x: Float[Array, "batch *size channels"], output_size: tuple[int, ...]
) -> Float[Array, "batch *output_size channels"]:
    """torch.nn.functional.adaptive_avg_pool1d, 2d and 3d, channels last."""
    for axis, windows in enumerate(output_size, start=1):
        index, inside = adaptive_windows(x.shape[axis], windows)
        elements = jnp.take(x, index, axis=axis)
        counted = inside.reshape(*inside.shape, *(1 for _ in x.shape[axis + 1 :]))
        x = jnp.mean(elements, axis=axis + 1, where=counted)
    return x


def resize_last(
    x: Float[Array, "batch *size channels"],
    taps: Callable,
    size: tuple[int, ...] | None,
    scale_factor: tuple[float, ...] | None,
) -> Float[Array, "batch *new_size channels"]:
    """x with the axes before its channels resized to size, or else by scale_factor, one by one."""
    dtype = np.float64 if x.dtype == np.float64 else np.float32
    y = x
    for axis, old, new, factor in resized_axes(x.shape[:-1], size, scale_factor):
        index, weight = taps(old, new, factor, dtype)
        along = (-1,) + (1,) * (x.ndim - axis - 1)
        total = jnp.take(y, index[:, 0], axis=axis) * weight[:, 0].reshape(along)
        for tap in range(1, index.shape[1]):
            total = total + jnp.take(y, index[:, tap], axis=axis) * weight[:, tap].reshape(along)
        y = total
    return y.astype(x.dtype)


def upsample_nearest_last(
    x: Float[Array, "batch *size channels"],
    *,
    size: tuple[int, ...] | None = None,
    scale_factor: tuple[float, ...] | None = None,
    exact: bool = False,
) -> Float[Array, "batch *new_size channels"]:
    """torch.nn.functional.interpolate(mode="nearest"), or "nearest-exact", channels last."""
    dtype = np.float64 if x.dtype == np.float64 else np.float32
    for axis, old, new, factor in resized_axes(x.shape[:-1], size, scale_factor):
        place = np.arange(new).astype(dtype) + dtype(0.5 if exact else 0)
        place = (place * source_scale(old, new, factor, False, dtype)).astype("float32")
        x = jnp.take(x, np.minimum(np.floor(place).astype(int), old - 1), axis=axis)
    return x


def upsample_linear_last(
    x: Float[Array, "batch *size channels"],
    *,
    size: tuple[int, ...] | None = None,
    scale_factor: tuple[float, ...] | None = None,
    align_corners: bool = False,
) -> Float[Array, "batch *new_size channels"]:
    """torch.nn.functional.interpolate(mode="linear"), "bilinear" or "trilinear", channels last."""
    return resize_last(x, partial(linear_taps, align_corners=align_corners), size, scale_factor)


def upsample_cubic_last(
    x: Float[Array, "batch *size channels"],
    *,
    size: tuple[int, ...] | None = None,
    scale_factor: tuple[float, ...] | None = None,
    align_corners: bool = False,
) -> Float[Array, "batch *new_size channels"]:
    """torch.nn.functional.interpolate(mode="bicubic"), channels last."""
    return resize_last(x, partial(cubic_taps, align_corners=align_corners), size, scale_factor)


def pixel_shuffle_last(
    x: Float[Array, "batch height width channels"], factor: int
) -> Float[Array, "batch new_height new_width new_channels"]:
    """torch.nn.functional.pixel_shuffle, channels last."""
    batch, height, width, channels = x.shape
    cells = x.reshape(batch, height, width, -1, factor, factor).transpose(0, 1, 4, 2, 5, 3)
    return cells.reshape(batch, height * factor, width * factor, channels // factor**2)


def pixel_unshuffle_last(
    x: Float[Array, "batch height width channels"], factor: int
) -> Float[Array, "batch new_height new_width new_channels"]:
    """torch.nn.functional.pixel_unshuffle, channels last."""
    batch, height, width, channels = x.shape
    cells = x.reshape(batch, height // factor, factor, width // factor, factor, channels)
    cells = cells.transpose(0, 1, 3, 5, 2, 4)
    return cells.reshape(batch, height // factor, width // factor, channels * factor**2)


def feature_dropout_last(
    x: Float[Array, "batch *size channels"], p: float, key: PRNGKeyArray
) -> Float[Array, "batch *size channels"]:
    """torch.nn.functional.dropout1d, 2d and 3d, channels last: whole channels are zero or kept."""
    shape = (len(x), *(1 for _ in x.shape[1:-1]), x.shape[-1])
    keep = jax.random.bernoulli(key, 1 - p, shape)
    return jnp.where(keep, x / (1 - p), 0) if p < 1 else jnp.zeros_like(x)
