"""Convolutions of channels-last arrays, with torch's weights.

Emitted files call these functions by their names without `_last`, unless there is one for torch's
layout in the file as well.
"""

import math
from collections.abc import Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata
from jaxtyping import Array, Float

from op_table.prelude.convolution import (
    ConvTranspose,
    conv_transpose,
    convolve_scan,
    in_fewer_groups,
    scan_conv,
)


def general_conv_last(
    x: Float[Array, "batch *size in_channels"],
    weight: Float[Array, "out_channels in_channels_of_group *kernel"],
    stride: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    dilation: Sequence[int] | None = None,
    groups: int = 1,
) -> Float[Array, "batch *new_size out_channels"]:
    """lax.conv_general_dilated of channels-last arrays, with a weight as torch has it."""
    size = "DHW"[5 - x.ndim :]
    return lax.conv_general_dilated(
        x,
        weight,
        stride,
        padding,
        rhs_dilation=dilation,
        dimension_numbers=(f"N{size}C", f"OI{size}", f"N{size}C"),
        feature_group_count=groups,
    )


def pointwise_conv_last(
    x: Float[Array, "batch *size in_channels"],
    weight: Float[Array, "out_channels in_channels *ones"],
    stride: Sequence[int],
) -> Float[Array, "batch *new_size out_channels"]:
    """A convolution with a kernel of one element, as a matrix product, with faster gradients."""
    x = x[:, *(slice(None, None, step) for step in stride)]
    return x @ weight.reshape(weight.shape[:2]).T


def patch_conv_last(
    x: Float[Array, "batch *size in_channels"],
    weight: Float[Array, "out_channels in_channels *kernel"],
) -> Float[Array, "batch *new_size out_channels"]:
    """A convolution in steps of its kernel's size, as one matrix product, with faster gradients."""
    kernel = weight.shape[2:]
    counts = [n // k for n, k in zip(x.shape[1:-1], kernel, strict=True)]
    x = x[:, *(slice(n * k) for n, k in zip(counts, kernel, strict=True))]
    axes = [part for pair in zip(counts, kernel, strict=True) for part in pair]
    x = x.reshape(len(x), *axes, x.shape[-1])
    x = jnp.moveaxis(x, (-1, *range(2, x.ndim - 1, 2)), range(-1 - len(kernel), 0))
    return x.reshape(len(x), *counts, -1) @ lax.collapse(weight, 1).T


def small_conv_last(
    x: Float[Array, "batch *size in_channels"],
    weight: Float[Array, "out_channels in_channels *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> Float[Array, "batch *new_size out_channels"]:
    """A convolution. On a CPU, XLA computes few results faster as a product with what they come from."""

    def whole(x: Array, weight: Array) -> Array:
        return general_conv_last(x, weight, stride, padding, dilation)

    def product(x: Array, weight: Array) -> Array:
        x = jnp.pad(x, [(0, 0), *padding, (0, 0)])
        options = zip(weight.shape[2:], stride, dilation, strict=True)
        for axis, (k, step, gap) in enumerate(options, start=1):
            length = x.shape[axis] - gap * (k - 1)
            starts = range(0, gap * k, gap)
            met = [lax.slice_in_dim(x, n, n + length, step, axis) for n in starts]
            x = jnp.stack(met, axis=-1)
        new_size = x.shape[1 : weight.ndim - 1]
        return x.reshape(len(x), *new_size, weight[0].size) @ lax.collapse(weight, 1).T

    if math.prod(jax.eval_shape(whole, x, weight).shape[1:-1]) > 16:
        return whole(x, weight)
    return lax.platform_dependent(x, weight, cpu=product, default=whole)


def taps_last(
    filters: Float[Array, "1 *kernel channels"], dilation: Sequence[int]
) -> tuple[np.ndarray, Float[Array, "places channels"]]:
    """For each place of a kernel, where it lies, and what it multiplies the channels by."""
    places = np.multiply(list(np.ndindex(*filters.shape[1:-1])), dilation)
    return places, filters.reshape(len(places), -1)


@set_xla_metadata(inlineable="false")
@partial(jax.jit, static_argnums=(2, 3, 4))
def shifted_products_last(
    x: Float[Array, "batch *size channels"],
    filters: Float[Array, "1 *kernel channels"],
    stride: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
) -> Float[Array, "batch *new_size channels"]:
    """A convolution with a filter a channel, as a sum over its kernel.

    Not inlined: XLA would compute the sum anew wherever it is read, and slowly what x and filters come from.
    """
    places, factors = taps_last(filters, dilation)
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*n, 0) for n in padding), (0, 0, 0)])
    size, total = x.shape[1:-1] - places[-1], jnp.zeros((), x.dtype)
    for place, factor in zip(places, factors, strict=True):
        total += x[:, *map(slice, place, place + size, stride)] * factor
    return total


@set_xla_metadata(inlineable="false")
@partial(jax.jit, static_argnums=(2, 3, 4))
def padded_products_last(
    x: Float[Array, "batch *size channels"],
    filters: Float[Array, "1 *kernel channels"],
    stride: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
) -> Float[Array, "batch *new_size channels"]:
    """shifted_products_last as a sum of padded products, the transpose of which are slices."""
    places, factors = taps_last(filters, dilation)
    reach, zero, total = places[-1], jnp.zeros((), x.dtype), jnp.zeros((), x.dtype)
    for place, factor in zip(places, factors, strict=True):
        around = [(low, high, 0) for low, high in zip(reach - place, place, strict=True)]
        total += lax.pad(x * factor, zero, [(0, 0, 0), *around, (0, 0, 0)])
    cut = [(low - n, high - n, 0) for (low, high), n in zip(padding, reach, strict=True)]
    total = lax.pad(total, zero, [(0, 0, 0), *cut, (0, 0, 0)])
    return total[:, *(slice(None, None, step) for step in stride)]


@partial(jax.jit, static_argnums=(2, 3, 4))
def depthwise_conv_last(
    x: Float[Array, "batch *size channels"],
    weight: Float[Array, "channels 1 *kernel"],
    stride: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
) -> Float[Array, "batch *new_size channels"]:
    """A convolution with a filter a channel. On a CPU, shifted products are many times faster."""
    options = stride, padding, dilation

    @jax.custom_jvp
    def products(x: Array, filters: Array) -> Array:
        return shifted_products_last(x, filters, *options)

    def along_x(tangent: Array, y: Array, x: Array, filters: Array) -> Array:
        return padded_products_last(tangent, filters, *options)

    def along_filters(tangent: Array, y: Array, x: Array, filters: Array) -> Array:
        places, factors = taps_last(tangent, dilation)
        padded = jnp.pad(x, [(0, 0), *padding, (0, 0)])
        size = (len(x), *(padded.shape[1:-1] - places[-1]), x.shape[-1])

        @jax.checkpoint
        def add(total: Array, tap: tuple[Array, Array]) -> tuple[Array, None]:
            place, factor = tap
            window = lax.dynamic_slice(padded, (0, *place, 0), size)
            return total + window[:, *(slice(None, None, step) for step in stride)] * factor, None

        return lax.scan(add, jnp.zeros_like(y), (places, factors))[0]

    products.defjvps(along_x, along_filters)

    def in_float32(x: Array, weight: Array) -> Array:
        dtype = jnp.promote_types(x.dtype, jnp.float32)
        filters = jnp.moveaxis(weight, 0, -1)
        return products(x.astype(dtype), filters.astype(dtype)).astype(x.dtype)

    def whole(x: Array, weight: Array) -> Array:
        return general_conv_last(x, weight, stride, padding, dilation, len(weight))

    return lax.platform_dependent(x, weight, cpu=in_float32, default=whole)


def grouped_conv_last(
    x: Float[Array, "batch *size in_channels"],
    weight: Float[Array, "out_channels in_channels_of_group *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int,
) -> Float[Array, "batch *new_size out_channels"]:
    """A convolution of groups of channels. On a CPU, a convolution a group is many times faster.

    Padded before: of long kernels, XLA's gradients are faster.
    """

    def whole(x: Array, weight: Array) -> Array:
        return general_conv_last(x, weight, stride, padding, dilation, groups)

    def apart(x: Array, weight: Array) -> Array:
        weight, fewer = in_fewer_groups(weight, groups)
        x = jnp.pad(x, [(0, 0), *padding, (0, 0)])
        parts = zip(jnp.split(x, fewer, axis=-1), jnp.split(weight, fewer), strict=True)
        results = [general_conv_last(*part, stride, "VALID", dilation) for part in parts]
        return jnp.concatenate(results, axis=-1)

    return lax.platform_dependent(x, weight, cpu=apart, default=whole)


def scan_conv_last(
    x: Float[Array, "batch *size in_channels"],
    weight: Float[Array, "out_channels in_channels_of_group *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int,
) -> Float[Array, "batch *new_size out_channels"]:
    """scan_conv of channels-last arrays: XLA makes one transpose of this one and scan_conv's own."""
    y = scan_conv(jnp.moveaxis(x, -1, 1), weight, stride, padding, dilation, groups)
    return jnp.moveaxis(y, 1, -1)


def convolve_last(
    layer: eqx.nn.Conv, x: Float[Array, "batch *size in_channels"]
) -> Float[Array, "batch *new_size out_channels"]:
    """A convolution layer on a batch, channels last."""
    if math.prod(layer.kernel_size) == 1 and layer.groups == 1 and not np.any(layer.padding):
        y = pointwise_conv_last(x, layer.weight, layer.stride)
    else:
        options = layer.stride, layer.padding, layer.dilation, layer.groups
        y = general_conv_last(x, layer.weight, *options)
    return y if layer.bias is None else y + layer.bias.reshape(-1)


def convolve_any_last(
    layer: eqx.nn.Conv, x: Float[Array, "batch *size in_channels"]
) -> Float[Array, "batch *new_size out_channels"]:
    """A convolution layer on a batch, channels last, as a product where the kernel or the result is small."""
    assert not isinstance(layer.padding, str)
    if math.prod(layer.kernel_size) > 1:
        y = small_conv_last(x, layer.weight, layer.stride, layer.padding, layer.dilation)
    else:
        y = pointwise_conv_last(x, layer.weight, layer.stride)
    return y if layer.bias is None else y + layer.bias.reshape(-1)


def convolve_patches_last(
    layer: eqx.nn.Conv, x: Float[Array, "batch *size in_channels"]
) -> Float[Array, "batch *new_size out_channels"]:
    """A convolution layer in steps of its kernel's size on a batch, channels last."""
    y = patch_conv_last(x, layer.weight)
    return y if layer.bias is None else y + layer.bias.reshape(-1)


def convolve_depthwise_last(
    layer: eqx.nn.Conv, x: Float[Array, "batch *size channels"]
) -> Float[Array, "batch *new_size channels"]:
    """A convolution layer with a filter a channel on a batch, channels last."""
    assert not isinstance(layer.padding, str)
    y = depthwise_conv_last(x, layer.weight, layer.stride, layer.padding, layer.dilation)
    return y if layer.bias is None else y + layer.bias.reshape(-1)


def convolve_groups_last(
    layer: eqx.nn.Conv, x: Float[Array, "batch *size in_channels"]
) -> Float[Array, "batch *new_size out_channels"]:
    """A convolution layer of groups of channels on a batch, channels last."""
    assert not isinstance(layer.padding, str)
    options = layer.stride, layer.padding, layer.dilation, layer.groups
    y = grouped_conv_last(x, layer.weight, *options)
    return y if layer.bias is None else y + layer.bias.reshape(-1)


def convolve_scan_last(
    layer: eqx.nn.Conv, x: Float[Array, "batch *size in_channels"]
) -> Float[Array, "batch *new_size out_channels"]:
    """A convolution layer of groups of channels on a batch, channels last, as a sum over its kernel."""
    return jnp.moveaxis(convolve_scan(layer, jnp.moveaxis(x, -1, 1)), 1, -1)


def conv_transpose_last(
    x: Float[Array, "batch *size in_channels"],
    weight: Float[Array, "in_channels out_channels_of_group *kernel"],
    bias: Float[Array, " out_channels"] | None = None,
    **options: int | tuple[int, ...],
) -> Float[Array, "batch *new_size out_channels"]:
    """conv_transpose of channels-last arrays; its faster form makes up for the transposes."""
    y = conv_transpose(jnp.moveaxis(x, -1, 1), weight, **options)
    y = jnp.moveaxis(y, 1, -1)
    return y if bias is None else y + bias


def transpose_convolve_last(
    layer: ConvTranspose, x: Float[Array, "batch *size in_channels"]
) -> Float[Array, "batch *new_size out_channels"]:
    """A transposed convolution layer on a batch, channels last."""
    return jnp.moveaxis(layer(jnp.moveaxis(x, -1, 1)), 1, -1)
