"""Transposed convolution with torch's weights."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray


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
