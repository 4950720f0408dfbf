"""Convolutions as XLA runs them fastest, and transposed ones with torch's weights."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray


def pointwise_conv(
    x: Float[Array, "batch in_channels *size"],
    weight: Float[Array, "out_channels in_channels *ones"],
    stride: Sequence[int],
) -> Float[Array, "batch out_channels *new_size"]:
    """A convolution with a kernel of one element as a matrix product, which XLA computes faster."""
    x = x[:, :, *(slice(None, None, step) for step in stride)]
    y = weight.reshape(weight.shape[:2]) @ lax.collapse(x, 2)
    return y.reshape(*y.shape[:2], *x.shape[2:])


def patch_conv(
    x: Float[Array, "batch in_channels *size"],
    weight: Float[Array, "out_channels in_channels *kernel"],
) -> Float[Array, "batch out_channels *new_size"]:
    """A convolution in steps of its kernel's size, as one matrix product, which XLA computes faster."""
    kernel = weight.shape[2:]
    counts = [n // k for n, k in zip(x.shape[2:], kernel, strict=True)]
    x = x[:, :, *(slice(n * k) for n, k in zip(counts, kernel, strict=True))]
    axes = [part for pair in zip(counts, kernel, strict=True) for part in pair]
    x = jnp.moveaxis(
        x.reshape(*x.shape[:2], *axes), range(2, x.ndim + len(kernel), 2), range(-len(kernel), 0)
    )
    y = lax.collapse(weight, 1) @ x.reshape(len(x), math.prod(weight.shape[1:]), math.prod(counts))
    return y.reshape(*y.shape[:2], *counts)


def depthwise_conv(
    x: Float[Array, "batch channels *size"],
    weight: Float[Array, "channels 1 *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> Float[Array, "batch channels *new_size"]:
    """A convolution with a filter a channel. On a CPU, XLA computes shifted products many times faster."""

    def shifted(x: Array, weight: Array) -> Array:
        dtype, kernel = jnp.promote_types(x.dtype, jnp.float32), weight.shape[2:]
        padded = jnp.pad(x, [(0, 0), (0, 0), *padding]).astype(dtype)
        weight = weight.astype(dtype).reshape(len(weight), *kernel, *(1 for _ in kernel))
        lengths = np.subtract(padded.shape[2:], np.multiply(dilation, np.subtract(kernel, 1)))
        y = jnp.zeros((), dtype)
        for place in np.ndindex(*kernel):
            starts = np.multiply(dilation, place)
            window = map(slice, starts, starts + lengths, stride)
            y += padded[:, :, *window] * weight[:, *place]
        return y.astype(x.dtype)

    def whole(x: Array, weight: Array) -> Array:
        return lax.conv_general_dilated(
            x, weight, stride, padding, rhs_dilation=dilation, feature_group_count=len(weight)
        )

    return lax.platform_dependent(x, weight, cpu=shifted, default=whole)


def grouped_conv(
    x: Float[Array, "batch in_channels *size"],
    weight: Float[Array, "out_channels in_channels_of_group *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int,
) -> Float[Array, "batch out_channels *new_size"]:
    """A convolution of groups of channels. On a CPU, XLA computes a convolution a group many times faster."""

    def whole(x: Array, weight: Array, groups: int = groups) -> Array:
        return lax.conv_general_dilated(
            x, weight, stride, padding, rhs_dilation=dilation, feature_group_count=groups
        )

    def apart(x: Array, weight: Array) -> Array:
        parts = zip(jnp.split(x, groups, axis=1), jnp.split(weight, groups), strict=True)
        return jnp.concatenate([whole(*part, groups=1) for part in parts], axis=1)

    return lax.platform_dependent(x, weight, cpu=apart, default=whole)


def convolve(
    layer: eqx.nn.Conv, x: Float[Array, "batch in_channels *size"]
) -> Float[Array, "batch out_channels *new_size"]:
    """jax.vmap(layer)(x), as a matrix product where the kernel has one element."""
    if math.prod(layer.kernel_size) > 1:
        return jax.vmap(layer)(x)
    y = pointwise_conv(x, layer.weight, layer.stride)
    return y if layer.bias is None else y + layer.bias


def convolve_patches(
    layer: eqx.nn.Conv, x: Float[Array, "batch in_channels *size"]
) -> Float[Array, "batch out_channels *new_size"]:
    """jax.vmap(layer)(x) of a layer in steps of its kernel's size."""
    y = patch_conv(x, layer.weight)
    return y if layer.bias is None else y + layer.bias


def convolve_depthwise(
    layer: eqx.nn.Conv, x: Float[Array, "batch channels *size"]
) -> Float[Array, "batch channels *new_size"]:
    """jax.vmap(layer)(x) of a layer with a filter a channel."""
    assert not isinstance(layer.padding, str)
    y = depthwise_conv(x, layer.weight, layer.stride, layer.padding, layer.dilation)
    return y if layer.bias is None else y + layer.bias


def convolve_groups(
    layer: eqx.nn.Conv, x: Float[Array, "batch in_channels *size"]
) -> Float[Array, "batch out_channels *new_size"]:
    """jax.vmap(layer)(x) of a layer of groups of channels."""
    assert not isinstance(layer.padding, str)
    options = layer.stride, layer.padding, layer.dilation, layer.groups
    y = grouped_conv(x, layer.weight, *options)
    return y if layer.bias is None else y + layer.bias


def conv_transpose(
    x: Float[Array, "batch in_channels *size"],
    weight: Float[Array, "in_channels out_channels_of_group *kernel"],
    bias: Float[Array, " out_channels"] | None = None,
    *,
    stride: int | tuple[int, ...] = 1,
    padding: int | tuple[int, ...] = 0,
    output_padding: int | tuple[int, ...] = 0,
    groups: int = 1,
    dilation: int | tuple[int, ...] = 1,
) -> Float[Array, "batch out_channels *new_size"]:
    """torch.nn.functional.conv_transpose1d, 2d and 3d: a convolution of x spread out by stride."""
    in_channels, out_channels, *kernel = weight.shape
    stride, dilation = (tuple(np.broadcast_to(v, len(kernel)).tolist()) for v in (stride, dilation))
    low = np.array(dilation) * (np.array(kernel) - 1) - padding
    around = np.stack([low, low + output_padding], axis=1).tolist()
    weight = jnp.flip(weight, range(2, weight.ndim))
    weight = weight.reshape(groups, in_channels // groups, out_channels, *kernel).swapaxes(1, 2)
    y = lax.conv_general_dilated(
        x,
        weight.reshape(groups * out_channels, in_channels // groups, *kernel),
        window_strides=(1,) * len(kernel),
        padding=around,
        lhs_dilation=stride,
        rhs_dilation=dilation,
        feature_group_count=groups,
    )
    return y if bias is None else y + bias.reshape(-1, *(1 for _ in kernel))


class ConvTranspose(eqx.Module):
    """torch.nn.ConvTranspose1d, 2d and 3d, on float[batch, in_channels, *size]."""

    weight: Float[Array, "in_channels out_channels_of_group *kernel"]
    bias: Float[Array, " out_channels"] | None
    stride: int | tuple[int, ...] = eqx.field(static=True)
    padding: int | tuple[int, ...] = eqx.field(static=True)
    output_padding: int | tuple[int, ...] = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    dilation: int | tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        dilation: int | tuple[int, ...] = 1,
        use_bias: bool = True,
        *,
        key: PRNGKeyArray,
    ):
        shape = (in_channels, out_channels // groups, *kernel_size)
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        weight_key, bias_key = jax.random.split(key)
        self.weight = jax.random.uniform(weight_key, shape, minval=-bound, maxval=bound)
        self.bias = None
        if use_bias:
            self.bias = jax.random.uniform(bias_key, (out_channels,), minval=-bound, maxval=bound)
        self.stride = stride
        self.padding = padding
        self.output_padding = output_padding
        self.groups = groups
        self.dilation = dilation

    def __call__(
        self, x: Float[Array, "batch in_channels *size"]
    ) -> Float[Array, "batch out_channels *new_size"]:
        return conv_transpose(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
        )
