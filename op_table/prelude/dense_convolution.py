"""Convolutions with more results than inputs."""

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


def convolve_padded(
    layer: eqx.nn.Conv, x: Float[Array, "batch in_channels *size"]
) -> Float[Array, "batch out_channels *new_size"]:
    """jax.vmap(layer)(x) of a layer that has more results than x."""
    assert not isinstance(layer.padding, str)
    y = padded_conv(x, layer.weight, layer.stride, layer.padding, layer.dilation)
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


def convolve_padded_last(
    layer: eqx.nn.Conv, x: Float[Array, "batch *size in_channels"]
) -> Float[Array, "batch *new_size out_channels"]:
    """A convolution layer that has more results than x, on a batch, channels last."""
    assert not isinstance(layer.padding, str)
    y = padded_conv_last(x, layer.weight, layer.stride, layer.padding, layer.dilation)
    return y if layer.bias is None else y + layer.bias.reshape(-1)
