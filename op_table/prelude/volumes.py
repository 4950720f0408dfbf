"""Convolutions over three axes as ones over two, which XLA computes many times faster on a CPU.

What a kernel meets along the first of the three is put beside the channels, and its places beside the examples.
"""

from collections.abc import Sequence
from functools import partial

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from op_table.prelude.channels_last import general_conv_last
from op_table.prelude.convolution import ConvTranspose, conv_transpose, grouped_conv


def met_along_depth(
    x: Float[Array, "batch channels depth height width"],
    kernel: int,
    stride: int,
    padding: tuple[int, int],
    dilation: int,
) -> Float[Array, "batch new_depth channels_met height width"]:
    """What a kernel of that length meets along the first axis, as channels. Padding below 0 cuts."""
    x = lax.pad(
        x, jnp.zeros((), x.dtype), [(0, 0, 0), (0, 0, 0), (*padding, 0), (0, 0, 0), (0, 0, 0)]
    )
    reach = dilation * (kernel - 1)
    starts = range(0, reach + 1, dilation)
    met = [lax.slice_in_dim(x, n, n + x.shape[2] - reach, stride, 2) for n in starts]
    return lax.collapse(jnp.moveaxis(jnp.stack(met, 2), 3, 1), 2, 4)


def volume_conv(
    x: Float[Array, "batch in_channels depth height width"],
    weight: Float[Array, "out_channels in_channels *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> Float[Array, "batch out_channels new_depth new_height new_width"]:
    """A convolution over three axes. On a CPU, XLA is many times faster at one over two."""

    def whole(x: Array, weight: Array) -> Array:
        return lax.conv_general_dilated(x, weight, stride, padding, rhs_dilation=dilation)

    def flat(x: Array, weight: Array) -> Array:
        x = met_along_depth(x, weight.shape[2], stride[0], padding[0], dilation[0])
        y = lax.conv_general_dilated(
            lax.collapse(x, 0, 2),
            lax.collapse(weight, 1, 3),
            stride[1:],
            padding[1:],
            rhs_dilation=dilation[1:],
        )
        return jnp.moveaxis(y.reshape(*x.shape[:2], *y.shape[1:]), 1, 2)

    return lax.platform_dependent(x, weight, cpu=flat, default=whole)


def grouped_volume_conv(
    x: Float[Array, "batch in_channels depth height width"],
    weight: Float[Array, "out_channels in_channels_of_group *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int,
) -> Float[Array, "batch out_channels new_depth new_height new_width"]:
    """A convolution of groups of channels over three axes. On a CPU, XLA is many times faster at one over two."""

    def whole(x: Array, weight: Array) -> Array:
        return lax.conv_general_dilated(
            x, weight, stride, padding, rhs_dilation=dilation, feature_group_count=groups
        )

    def flat(x: Array, weight: Array) -> Array:
        x = met_along_depth(x, weight.shape[2], stride[0], padding[0], dilation[0])
        options = stride[1:], padding[1:], dilation[1:], groups
        y = grouped_conv(lax.collapse(x, 0, 2), lax.collapse(weight, 1, 3), *options)
        return jnp.moveaxis(y.reshape(*x.shape[:2], *y.shape[1:]), 1, 2)

    return lax.platform_dependent(x, weight, cpu=flat, default=whole)


def convolve_volume(
    layer: eqx.nn.Conv3d, x: Float[Array, "batch in_channels depth height width"]
) -> Float[Array, "batch out_channels new_depth new_height new_width"]:
    """jax.vmap(layer)(x) of a layer over three axes."""
    assert not isinstance(layer.padding, str)
    y = volume_conv(x, layer.weight, layer.stride, layer.padding, layer.dilation)
    return y if layer.bias is None else y + layer.bias


def convolve_volume_of_groups(
    layer: eqx.nn.Conv3d, x: Float[Array, "batch in_channels depth height width"]
) -> Float[Array, "batch out_channels new_depth new_height new_width"]:
    """jax.vmap(layer)(x) of a layer of groups of channels over three axes."""
    assert not isinstance(layer.padding, str)
    options = layer.stride, layer.padding, layer.dilation, layer.groups
    y = grouped_volume_conv(x, layer.weight, *options)
    return y if layer.bias is None else y + layer.bias


def volume_conv_transpose(
    x: Float[Array, "batch in_channels depth height width"],
    weight: Float[Array, "in_channels out_channels_of_group *kernel"],
    bias: Float[Array, " out_channels"] | None = None,
    *,
    stride: int | tuple[int, ...] = 1,
    padding: int | tuple[int, ...] = 0,
    output_padding: int | tuple[int, ...] = 0,
    groups: int = 1,
    dilation: int | tuple[int, ...] = 1,
) -> Float[Array, "batch out_channels new_depth new_height new_width"]:
    """torch.nn.functional.conv_transpose3d. On a CPU, XLA is many times faster at ones over two axes."""
    (step, *steps), (around, *arounds), (beyond, *beyonds), (gap, *gaps) = (
        np.broadcast_to(option, 3).tolist()
        for option in (stride, padding, output_padding, dilation)
    )
    kernel, given = weight.shape[2], x.shape[2]

    whole = partial(
        conv_transpose,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
    )

    def flat(x: Array, weight: Array) -> Array:
        """As conv_transpose: a convolution for each place between two elements along the first axis, interleaved."""
        size = (given - 1) * step - 2 * around + kernel + beyond
        count, parts = -(-size // step), []
        for phase in range(step):
            shift, first = divmod(phase + around, step)
            met = -((first - kernel) // step)
            source = met_along_depth(x, met, 1, (met - 1 - shift, count + shift - given), 1)
            y = conv_transpose(
                lax.collapse(source, 0, 2),
                lax.collapse(jnp.flip(weight[:, :, first::step], 2).swapaxes(1, 2), 0, 2),
                stride=tuple(steps),
                padding=tuple(arounds),
                output_padding=tuple(beyonds),
                groups=groups,
                dilation=tuple(gaps),
            )
            parts.append(y.reshape(*source.shape[:2], *y.shape[1:]))
        y = lax.collapse(jnp.stack(parts, 2), 1, 3)
        return jnp.moveaxis(y[:, :size], 1, 2)

    cpu = flat if gap == 1 and kernel >= step else whole
    y = lax.platform_dependent(x, weight, cpu=cpu, default=whole)
    return y if bias is None else y + bias.reshape(-1, 1, 1, 1)


def transpose_convolve_volume(
    layer: ConvTranspose, x: Float[Array, "batch in_channels depth height width"]
) -> Float[Array, "batch out_channels new_depth new_height new_width"]:
    """A transposed convolution layer over three axes, on a batch."""
    return volume_conv_transpose(
        x,
        layer.weight,
        layer.bias,
        stride=layer.stride,
        padding=layer.padding,
        output_padding=layer.output_padding,
        groups=layer.groups,
        dilation=layer.dilation,
    )


def volume_conv_last(
    x: Float[Array, "batch depth height width in_channels"],
    weight: Float[Array, "out_channels in_channels *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> Float[Array, "batch new_depth new_height new_width out_channels"]:
    """A convolution over three axes. On a CPU, XLA is many times faster at one over two."""

    def whole(x: Array, weight: Array) -> Array:
        return general_conv_last(x, weight, stride, padding, dilation)

    def flat(x: Array, weight: Array) -> Array:
        x = jnp.pad(x, [(0, 0), padding[0], (0, 0), (0, 0), (0, 0)])
        reach = dilation[0] * (weight.shape[2] - 1)
        starts = range(0, reach + 1, dilation[0])
        met = [lax.slice_in_dim(x, n, n + x.shape[1] - reach, stride[0], 1) for n in starts]
        x = jnp.concatenate(met, -1)
        filters = lax.collapse(weight.swapaxes(1, 2), 1, 3)
        y = general_conv_last(lax.collapse(x, 0, 2), filters, stride[1:], padding[1:], dilation[1:])
        return y.reshape(*x.shape[:2], *y.shape[1:])

    return lax.platform_dependent(x, weight, cpu=flat, default=whole)


def convolve_volume_last(
    layer: eqx.nn.Conv3d, x: Float[Array, "batch depth height width in_channels"]
) -> Float[Array, "batch new_depth new_height new_width out_channels"]:
    """A convolution layer over three axes, on a batch, channels last."""
    assert not isinstance(layer.padding, str)
    y = volume_conv_last(x, layer.weight, layer.stride, layer.padding, layer.dilation)
    return y if layer.bias is None else y + layer.bias.reshape(-1)


def grouped_volume_conv_last(
    x: Float[Array, "batch depth height width in_channels"],
    weight: Float[Array, "out_channels in_channels_of_group *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int,
) -> Float[Array, "batch new_depth new_height new_width out_channels"]:
    """grouped_volume_conv of channels-last arrays; its faster form makes up for the transposes."""
    options = stride, padding, dilation, groups
    return jnp.moveaxis(grouped_volume_conv(jnp.moveaxis(x, -1, 1), weight, *options), 1, -1)


def convolve_volume_of_groups_last(
    layer: eqx.nn.Conv3d, x: Float[Array, "batch depth height width in_channels"]
) -> Float[Array, "batch new_depth new_height new_width out_channels"]:
    """A convolution layer of groups of channels over three axes, on a batch, channels last."""
    return jnp.moveaxis(convolve_volume_of_groups(layer, jnp.moveaxis(x, -1, 1)), 1, -1)


def volume_conv_transpose_last(
    x: Float[Array, "batch depth height width in_channels"],
    weight: Float[Array, "in_channels out_channels_of_group *kernel"],
    bias: Float[Array, " out_channels"] | None = None,
    **options: int | tuple[int, ...],
) -> Float[Array, "batch new_depth new_height new_width out_channels"]:
    """volume_conv_transpose of channels-last arrays; its faster form makes up for the transposes."""
    y = volume_conv_transpose(jnp.moveaxis(x, -1, 1), weight, **options)
    y = jnp.moveaxis(y, 1, -1)
    return y if bias is None else y + bias


def transpose_convolve_volume_last(
    layer: ConvTranspose, x: Float[Array, "batch depth height width in_channels"]
) -> Float[Array, "batch new_depth new_height new_width out_channels"]:
    """A transposed convolution layer over three axes, on a batch, channels last."""
    return jnp.moveaxis(transpose_convolve_volume(layer, jnp.moveaxis(x, -1, 1)), 1, -1)
