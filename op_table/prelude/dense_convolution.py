"""Convolutions of all channels that XLA computes, or their gradients, many times faster in another form on a CPU."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from op_table.prelude.channels_last import general_conv_last


def padded_conv(
    x: Float[Array, "batch in_channels *size"],
    weight: Float[Array, "out_channels in_channels *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> Float[Array, "batch out_channels *new_size"]:
    """A convolution with more results than x. On a CPU, XLA's gradient is many times faster of what is padded before."""

    @jax.custom_jvp
    def conv(x: Array, weight: Array) -> Array:
        return lax.conv_general_dilated(x, weight, stride, padding, rhs_dilation=dilation)

    def along_x(tangent: Array, y: Array, x: Array, weight: Array) -> Array:
        return lax.conv_general_dilated(tangent, weight, stride, padding, rhs_dilation=dilation)

    def along_weight(tangent: Array, y: Array, x: Array, weight: Array) -> Array:
        x = jnp.pad(x, [(0, 0), (0, 0), *padding])
        return lax.conv_general_dilated(x, tangent, stride, "VALID", rhs_dilation=dilation)

    conv.defjvps(along_x, along_weight)
    return conv(x, weight)


def volume_conv(
    x: Float[Array, "batch in_channels depth height width"],
    weight: Float[Array, "out_channels in_channels *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> Float[Array, "batch out_channels new_depth new_height new_width"]:
    """A convolution over three axes.

    On a CPU, XLA is many times faster at one over two, of what the kernel meets along the first as channels.
    """

    def whole(x: Array, weight: Array) -> Array:
        return lax.conv_general_dilated(x, weight, stride, padding, rhs_dilation=dilation)

    def folded(x: Array, weight: Array) -> Array:
        x = jnp.pad(x, [(0, 0), (0, 0), padding[0], (0, 0), (0, 0)])
        reach = dilation[0] * (weight.shape[2] - 1)
        starts = range(0, reach + 1, dilation[0])
        met = [lax.slice_in_dim(x, n, n + x.shape[2] - reach, stride[0], 2) for n in starts]
        x = jnp.moveaxis(jnp.stack(met, 2), 3, 1)
        y = lax.conv_general_dilated(
            x.reshape(-1, math.prod(weight.shape[1:3]), *x.shape[4:]),
            lax.collapse(weight, 1, 3),
            stride[1:],
            padding[1:],
            rhs_dilation=dilation[1:],
        )
        return jnp.moveaxis(y.reshape(*x.shape[:2], *y.shape[1:]), 1, 2)

    return lax.platform_dependent(x, weight, cpu=folded, default=whole)


def convolve_padded(
    layer: eqx.nn.Conv, x: Float[Array, "batch in_channels *size"]
) -> Float[Array, "batch out_channels *new_size"]:
    """jax.vmap(layer)(x) of a layer that has more results than x."""
    assert not isinstance(layer.padding, str)
    y = padded_conv(x, layer.weight, layer.stride, layer.padding, layer.dilation)
    return y if layer.bias is None else y + layer.bias


def convolve_volume(
    layer: eqx.nn.Conv3d, x: Float[Array, "batch in_channels depth height width"]
) -> Float[Array, "batch out_channels new_depth new_height new_width"]:
    """jax.vmap(layer)(x) of a layer over three axes."""
    assert not isinstance(layer.padding, str)
    y = volume_conv(x, layer.weight, layer.stride, layer.padding, layer.dilation)
    return y if layer.bias is None else y + layer.bias


def padded_conv_last(
    x: Float[Array, "batch *size in_channels"],
    weight: Float[Array, "out_channels in_channels *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> Float[Array, "batch *new_size out_channels"]:
    """A convolution with more results than x. On a CPU, XLA's gradient is many times faster of what is padded before."""

    @jax.custom_jvp
    def conv(x: Array, weight: Array) -> Array:
        return general_conv_last(x, weight, stride, padding, dilation)

    def along_x(tangent: Array, y: Array, x: Array, weight: Array) -> Array:
        return general_conv_last(tangent, weight, stride, padding, dilation)

    def along_weight(tangent: Array, y: Array, x: Array, weight: Array) -> Array:
        x = jnp.pad(x, [(0, 0), *padding, (0, 0)])
        return general_conv_last(x, tangent, stride, "VALID", dilation)

    conv.defjvps(along_x, along_weight)
    return conv(x, weight)


def volume_conv_last(
    x: Float[Array, "batch depth height width in_channels"],
    weight: Float[Array, "out_channels in_channels *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> Float[Array, "batch new_depth new_height new_width out_channels"]:
    """A convolution over three axes.

    On a CPU, XLA is many times faster at one over two, of what the kernel meets along the first as channels.
    """

    def whole(x: Array, weight: Array) -> Array:
        return general_conv_last(x, weight, stride, padding, dilation)

    def folded(x: Array, weight: Array) -> Array:
        x = jnp.pad(x, [(0, 0), padding[0], (0, 0), (0, 0), (0, 0)])
        reach = dilation[0] * (weight.shape[2] - 1)
        starts = range(0, reach + 1, dilation[0])
        met = [lax.slice_in_dim(x, n, n + x.shape[1] - reach, stride[0], 1) for n in starts]
        x = jnp.concatenate(met, -1)
        filters = lax.collapse(weight.swapaxes(1, 2), 1, 3)
        y = general_conv_last(lax.collapse(x, 0, 2), filters, stride[1:], padding[1:], dilation[1:])
        return y.reshape(*x.shape[:2], *y.shape[1:])

    return lax.platform_dependent(x, weight, cpu=folded, default=whole)


def convolve_padded_last(
    layer: eqx.nn.Conv, x: Float[Array, "batch *size in_channels"]
) -> Float[Array, "batch *new_size out_channels"]:
    """A convolution layer that has more results than x, on a batch, channels last."""
    assert not isinstance(layer.padding, str)
    y = padded_conv_last(x, layer.weight, layer.stride, layer.padding, layer.dilation)
    return y if layer.bias is None else y + layer.bias.reshape(-1)


def convolve_volume_last(
    layer: eqx.nn.Conv3d, x: Float[Array, "batch depth height width in_channels"]
) -> Float[Array, "batch new_depth new_height new_width out_channels"]:
    """A convolution layer over three axes, on a batch, channels last."""
    assert not isinstance(layer.padding, str)
    y = volume_conv_last(x, layer.weight, layer.stride, layer.padding, layer.dilation)
    return y if layer.bias is None else y + layer.bias.reshape(-1)
