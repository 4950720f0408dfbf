"""Convolutions as XLA runs them fastest, and transposed ones with torch's weights."""

import math
from collections.abc import Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata
from jaxtyping import Array, Float, PRNGKeyArray


def product_of_each(
    factor: Float[Array, "rows inner"], x: Float[Array, "batch inner columns"]
) -> Float[Array, "batch rows columns"]:
    """factor @ x. Where x has many columns, XLA multiplies faster by a copy of factor for each."""
    if x.shape[2] >= min(factor.shape):
        factor = jnp.broadcast_to(factor, (len(x), *factor.shape))
    return factor @ x


def pointwise_conv(
    x: Float[Array, "batch in_channels *size"],
    weight: Float[Array, "out_channels in_channels *ones"],
    stride: Sequence[int],
) -> Float[Array, "batch out_channels *new_size"]:
    """A convolution with a kernel of one element as a matrix product, which XLA computes faster."""
    x = x[:, :, *(slice(None, None, step) for step in stride)]
    y = product_of_each(weight.reshape(weight.shape[:2]), lax.collapse(x, 2))
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
    x = x.reshape(len(x), math.prod(weight.shape[1:]), math.prod(counts))
    return product_of_each(lax.collapse(weight, 1), x).reshape(len(x), len(weight), *counts)


def small_conv(
    x: Float[Array, "batch in_channels *size"],
    weight: Float[Array, "out_channels in_channels *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> Float[Array, "batch out_channels *new_size"]:
    """A convolution. On a CPU, XLA computes few results, or of few inputs each, faster as a product."""

    def whole(x: Array, weight: Array) -> Array:
        return lax.conv_general_dilated(x, weight, stride, padding, rhs_dilation=dilation)

    def product(x: Array, weight: Array) -> Array:
        x = jnp.pad(x, [(0, 0), (0, 0), *padding])
        for at, (k, step, gap) in enumerate(zip(weight.shape[2:], stride, dilation, strict=True)):
            axis = 2 + 2 * at
            length = x.shape[axis] - gap * (k - 1)
            starts = range(0, gap * k, gap)
            met = [lax.slice_in_dim(x, n, n + length, step, axis) for n in starts]
            x = jnp.stack(met, axis)
        new_size = x.shape[3::2]
        x = jnp.moveaxis(x, range(2, x.ndim, 2), range(2, weight.ndim))
        x = x.reshape(len(x), weight[0].size, math.prod(new_size))
        return product_of_each(lax.collapse(weight, 1), x).reshape(len(x), len(weight), *new_size)

    if weight[0].size > 48 and math.prod(jax.eval_shape(whole, x, weight).shape[2:]) > 64:
        return whole(x, weight)
    return lax.platform_dependent(x, weight, cpu=product, default=whole)


def taps(
    weight: Float[Array, "channels 1 *kernel"], dilation: Sequence[int]
) -> tuple[np.ndarray, Array]:
    """For each place of a kernel, where it lies, and what it multiplies the channels by."""
    places = np.multiply(list(np.ndindex(*weight.shape[2:])), dilation)
    return places, jnp.expand_dims(lax.collapse(weight, 1).T, range(2, weight.ndim))


@set_xla_metadata(inlineable="false")
@partial(jax.jit, static_argnums=(2, 3, 4))
def shifted_products(
    x: Float[Array, "batch channels *size"],
    weight: Float[Array, "channels 1 *kernel"],
    stride: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
) -> Float[Array, "batch channels *new_size"]:
    """A convolution with a filter a channel, as a sum over its kernel.

    Not inlined: XLA would compute the sum anew wherever it is read, and slowly what x comes from.
    """
    places, factors = taps(weight, dilation)
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0)] * 2 + [(*n, 0) for n in padding])
    size, total = x.shape[2:] - places[-1], jnp.zeros((), x.dtype)
    for place, factor in zip(places, factors, strict=True):
        total += x[:, :, *map(slice, place, place + size, stride)] * factor
    return total


@set_xla_metadata(inlineable="false")
@partial(jax.jit, static_argnums=(2, 3, 4))
def padded_products(
    x: Float[Array, "batch channels *size"],
    weight: Float[Array, "channels 1 *kernel"],
    stride: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
) -> Float[Array, "batch channels *new_size"]:
    """shifted_products as a sum of padded products, the transpose of which are slices."""
    places, factors = taps(weight, dilation)
    reach, zero, total = places[-1], jnp.zeros((), x.dtype), jnp.zeros((), x.dtype)
    for place, factor in zip(places, factors, strict=True):
        around = [(low, high, 0) for low, high in zip(reach - place, place, strict=True)]
        total += lax.pad(x * factor, zero, [(0, 0, 0)] * 2 + around)
    cut = [(low - n, high - n, 0) for (low, high), n in zip(padding, reach, strict=True)]
    total = lax.pad(total, zero, [(0, 0, 0)] * 2 + cut)
    return total[:, :, *(slice(None, None, step) for step in stride)]


@partial(jax.jit, static_argnums=(2, 3, 4))
def depthwise_conv(
    x: Float[Array, "batch channels *size"],
    weight: Float[Array, "channels 1 *kernel"],
    stride: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
) -> Float[Array, "batch channels *new_size"]:
    """A convolution with a filter a channel. On a CPU, XLA computes shifted products many times faster."""
    options = stride, padding, dilation

    @jax.custom_jvp
    def products(x: Array, weight: Array) -> Array:
        return shifted_products(x, weight, *options)

    def along_x(tangent: Array, y: Array, x: Array, weight: Array) -> Array:
        return padded_products(tangent, weight, *options)

    def along_weight(tangent: Array, y: Array, x: Array, weight: Array) -> Array:
        places, factors = taps(tangent, dilation)
        padded = jnp.pad(x, [(0, 0), (0, 0), *padding])
        size = (*x.shape[:2], *(padded.shape[2:] - places[-1]))

        @jax.checkpoint
        def add(total: Array, tap: tuple[Array, Array]) -> tuple[Array, None]:
            place, factor = tap
            window = lax.dynamic_slice(padded, (0, 0, *place), size)
            window = window[:, :, *(slice(None, None, step) for step in stride)]
            return total + window * factor, None

        return lax.scan(add, jnp.zeros_like(y), (places, factors))[0]

    products.defjvps(along_x, along_weight)

    def in_float32(x: Array, weight: Array) -> Array:
        dtype = jnp.promote_types(x.dtype, jnp.float32)
        return products(x.astype(dtype), weight.astype(dtype)).astype(x.dtype)

    def whole(x: Array, weight: Array) -> Array:
        return lax.conv_general_dilated(
            x, weight, stride, padding, rhs_dilation=dilation, feature_group_count=len(weight)
        )

    return lax.platform_dependent(x, weight, cpu=in_float32, default=whole)


def in_fewer_groups(
    weight: Float[Array, "out_channels in_channels_of_group *kernel"], groups: int
) -> tuple[Float[Array, "out_channels in_channels_of_more *kernel"], int]:
    """The same filters for fewer groups of more channels, with zeros where these are of other groups.

    On a CPU, XLA computes convolutions of few channels no faster than ones of 16. What is not finite in
    a group's input makes NaN of the results of the groups that it is put together with.
    """
    few, kernel = weight.shape[1], weight.shape[2:]
    most = 16 // few if few < 8 else 1
    together = max(n for n in range(1, most + 1) if groups % n == 0)
    if together == 1:
        return weight, groups
    weight = weight.reshape(groups // together, together, -1, 1, few, *kernel)
    own = jnp.eye(together, dtype=bool)[:, None, :, None, *(None for _ in kernel)]
    weight = jnp.where(own, weight, 0)
    return weight.reshape(-1, together * few, *kernel), groups // together


def conv_of_each_group(
    x: Float[Array, "batch in_channels *size"],
    weight: Float[Array, "out_channels in_channels_of_group *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int,
) -> Float[Array, "batch out_channels *new_size"]:
    """A convolution for each group of channels, padded before: of long kernels, XLA's gradients are faster."""
    weight, groups = in_fewer_groups(weight, groups)
    x = jnp.pad(x, [(0, 0), (0, 0), *padding])
    parts = zip(jnp.split(x, groups, axis=1), jnp.split(weight, groups), strict=True)
    results = [
        lax.conv_general_dilated(*part, stride, "VALID", rhs_dilation=dilation) for part in parts
    ]
    return jnp.concatenate(results, axis=1)


def grouped_conv(
    x: Float[Array, "batch in_channels *size"],
    weight: Float[Array, "out_channels in_channels_of_group *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int,
) -> Float[Array, "batch out_channels *new_size"]:
    """A convolution of groups of channels. On a CPU, XLA computes a convolution a group many times faster."""

    def whole(x: Array, weight: Array) -> Array:
        return lax.conv_general_dilated(
            x, weight, stride, padding, rhs_dilation=dilation, feature_group_count=groups
        )

    def apart(x: Array, weight: Array) -> Array:
        return conv_of_each_group(x, weight, stride, padding, dilation, groups)

    return lax.platform_dependent(x, weight, cpu=apart, default=whole)


def scan_conv(
    x: Float[Array, "batch in_channels *size"],
    weight: Float[Array, "out_channels in_channels_of_group *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int,
) -> Float[Array, "batch out_channels *new_size"]:
    """A convolution of groups of channels. On a CPU, the gradient by x of a sum over the kernel is faster."""

    def whole(x: Array, weight: Array) -> Array:
        return lax.conv_general_dilated(
            x, weight, stride, padding, rhs_dilation=dilation, feature_group_count=groups
        )

    def summed(x: Array, weight: Array) -> Array:
        kernel, given = weight.shape[2:], x.dtype
        dtype = jnp.promote_types(given, jnp.float32)
        x = jnp.pad(x.astype(dtype), [(0, 0), (0, 0), *padding])
        x = x.reshape(len(x), groups, weight.shape[1], *x.shape[2:])
        x = jnp.moveaxis(x, (1, 2), (0, -1))
        factors = weight.astype(dtype).reshape(groups, -1, weight.shape[1], math.prod(kernel))
        size = x.shape[2:-1] - np.multiply(dilation, np.subtract(kernel, 1))
        steps = [slice(None, None, step) for step in stride]

        @jax.checkpoint
        def add(total: Array, tap: tuple[Array, Array]) -> tuple[Array, None]:
            place, factor = tap
            window = lax.dynamic_slice(x, (0, 0, *place, 0), (*x.shape[:2], *size, x.shape[-1]))
            return total + jnp.einsum("gb...i,goi->gb...o", window[:, :, *steps], factor), None

        places = np.multiply(list(np.ndindex(*kernel)), dilation)
        total = jnp.zeros((*x.shape[:2], *-(-size // stride), factors.shape[1]), dtype)
        total, _ = lax.scan(add, total, (places, jnp.moveaxis(factors, -1, 0)))
        return lax.collapse(jnp.moveaxis(total.astype(given), (0, -1), (1, 2)), 1, 3)

    def direct(x: Array, weight: Array) -> Array:
        if groups > 64:
            return whole(x, weight)
        return conv_of_each_group(x, weight, stride, padding, dilation, groups)

    def along_x(tangent: Array, y: Array, x: Array, weight: Array) -> Array:
        return summed(tangent, weight)

    def along_weight(tangent: Array, y: Array, x: Array, weight: Array) -> Array:
        return summed(x, tangent) if groups > 64 else direct(x, tangent)

    mixed = jax.custom_jvp(direct)
    mixed.defjvps(along_x, along_weight)
    cpu = summed if weight.shape[1] == 1 else mixed
    return lax.platform_dependent(x, weight, cpu=cpu, default=whole)


def convolve(
    layer: eqx.nn.Conv, x: Float[Array, "batch in_channels *size"]
) -> Float[Array, "batch out_channels *new_size"]:
    """jax.vmap(layer)(x), as a matrix product where the kernel has one element."""
    if math.prod(layer.kernel_size) > 1:
        return jax.vmap(layer)(x)
    y = pointwise_conv(x, layer.weight, layer.stride)
    return y if layer.bias is None else y + layer.bias


def convolve_any(
    layer: eqx.nn.Conv, x: Float[Array, "batch in_channels *size"]
) -> Float[Array, "batch out_channels *new_size"]:
    """jax.vmap(layer)(x), as a matrix product where the kernel, the input or the result is small."""
    assert not isinstance(layer.padding, str)
    if math.prod(layer.kernel_size) > 1:
        y = small_conv(x, layer.weight, layer.stride, layer.padding, layer.dilation)
    else:
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


def convolve_scan(
    layer: eqx.nn.Conv, x: Float[Array, "batch in_channels *size"]
) -> Float[Array, "batch out_channels *new_size"]:
    """jax.vmap(layer)(x) of a layer of groups of channels, as a sum over its kernel."""
    assert not isinstance(layer.padding, str)
    options = layer.stride, layer.padding, layer.dilation, layer.groups
    y = scan_conv(x, layer.weight, *options)
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
    axes, last = len(kernel), range(2, weight.ndim)
    steps, around, beyond, gaps = (
        np.broadcast_to(option, axes) for option in (stride, padding, output_padding, dilation)
    )
    reach = gaps * np.subtract(kernel, 1)

    def whole(x: Array, weight: Array) -> Array:
        weight = jnp.flip(weight, last)
        weight = weight.reshape(groups, in_channels // groups, out_channels, *kernel).swapaxes(1, 2)
        return lax.conv_general_dilated(
            x,
            weight.reshape(groups * out_channels, in_channels // groups, *kernel),
            window_strides=(1,) * axes,
            padding=np.stack([reach - around, reach - around + beyond], axis=1).tolist(),
            lhs_dilation=steps.tolist(),
            rhs_dilation=gaps.tolist(),
            feature_group_count=groups,
        )

    def phases(x: Array, weight: Array) -> Array:
        """A convolution for each place between two elements of x, whose results are interleaved."""
        given = np.array(x.shape[2:])
        size = (given - 1) * steps - 2 * around + reach + beyond + 1
        counts, parts, zero = -(-size // steps), [], jnp.zeros((), x.dtype)
        # XLA is slow at the gradients of what a convolution pads, where it has more results than x.
        padded = depthwise or any(counts > given)
        for phase in np.ndindex(*steps):
            shift, first = np.divmod(phase + around, steps)
            met = -((first - kernel) // steps)
            low = met - 1 - shift
            pads = np.stack([low, counts + shift - given], axis=1).tolist()
            filters = jnp.flip(weight[:, :, *map(slice, first, kernel, steps)], last)
            source = x
            if padded:
                source = lax.pad(x, zero, [(0, 0, 0)] * 2 + [(*n, 0) for n in pads])
                pads = [(0, 0)] * axes
            if depthwise:
                source = source.astype(jnp.promote_types(x.dtype, jnp.float32))
                factors = filters.reshape(in_channels, -1, *(1 for _ in kernel)).swapaxes(0, 1)
                places = zip(np.ndindex(*met), factors, strict=True)
                windows = (source[:, :, *map(slice, at, at + counts)] * f for at, f in places)
                parts.append(sum(windows, zero).astype(x.dtype))
            else:
                filters = filters.swapaxes(0, 1)
                parts.append(lax.conv_general_dilated(source, filters, (1,) * axes, pads))
        y = jnp.stack(parts, axis=-1)
        batch = y.shape[:2]
        y = y.reshape(*batch, *counts, *steps)
        y = y.transpose(0, 1, *(axis for n in last for axis in (n, n + axes)))
        return y.reshape(*batch, *(counts * steps))[:, :, *map(slice, size)]

    def apart(x: Array, weight: Array) -> Array:
        parts = zip(jnp.split(x, groups, axis=1), jnp.split(weight, groups), strict=True)
        return jnp.concatenate([phases(*part) for part in parts], axis=1)

    # On a CPU, XLA computes the gradients of the phases many times faster.
    depthwise = in_channels == groups > 1 == out_channels
    in_phases = all(gaps == 1) and all(kernel >= steps) and math.prod(steps) <= 16
    grouped = phases if depthwise else apart if groups <= 16 else whole
    y = lax.platform_dependent(x, weight, cpu=grouped if in_phases else whole, default=whole)
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
