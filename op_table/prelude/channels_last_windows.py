"""Pooling and resizing of channels-last arrays. padding is as in pooling.py."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from op_table.prelude.interpolation import (
    cubic_taps,
    linear_taps,
    resize,
    resize_nearest,
    resized_axes,
)
from op_table.prelude.pooling import greatest, reduce_windows
from op_table.prelude.windows import adaptive_means


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
    """torch.nn.functional.max_pool1d, 2d and 3d, channels last."""
    return greatest(x, *spans_last(kernel, stride, padding))


def avg_pool_last(
    x: Float[Array, "batch *size channels"],
    kernel: tuple[int, ...],
    *,
    stride: int | tuple[int, ...],
    padding: int | tuple = 0,
    divisor: int | Array | None = None,
) -> Float[Array, "batch *new_size channels"]:
    """torch.nn.functional.avg_pool1d, 2d and 3d, channels last."""
    total = reduce_windows(x, 0.0, lax.add, *spans_last(kernel, stride, padding))
    return total / (math.prod(kernel) if divisor is None else divisor)


def adaptive_avg_pool_last(
    x: Float[Array, "batch *size channels"], output_size: tuple[int, ...]
) -> Float[Array, "batch *output_size channels"]:
    """torch.nn.functional.adaptive_avg_pool1d, 2d and 3d, channels last."""
    return adaptive_means(x, output_size, 1)


def upsample_nearest_last(
    x: Float[Array, "batch *size channels"],
    *,
    size: tuple[int, ...] | None = None,
    scale_factor: tuple[float, ...] | None = None,
    exact: bool = False,
) -> Float[Array, "batch *new_size channels"]:
    """torch.nn.functional.interpolate(mode="nearest"), or "nearest-exact", channels last."""
    return resize_nearest(x, resized_axes(x.shape[:-1], size, scale_factor), exact)


def upsample_linear_last(
    x: Float[Array, "batch *size channels"],
    *,
    size: tuple[int, ...] | None = None,
    scale_factor: tuple[float, ...] | None = None,
    align_corners: bool = False,
) -> Float[Array, "batch *new_size channels"]:
    """torch.nn.functional.interpolate(mode="linear"), "bilinear" or "trilinear", channels last."""
    taps = partial(linear_taps, align_corners=align_corners)
    return resize(x, taps, resized_axes(x.shape[:-1], size, scale_factor))


def upsample_cubic_last(
    x: Float[Array, "batch *size channels"],
    *,
    size: tuple[int, ...] | None = None,
    scale_factor: tuple[float, ...] | None = None,
    align_corners: bool = False,
) -> Float[Array, "batch *new_size channels"]:
    """torch.nn.functional.interpolate(mode="bicubic"), channels last."""
    taps = partial(cubic_taps, align_corners=align_corners)
    return resize(x, taps, resized_axes(x.shape[:-1], size, scale_factor))


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
