"""Forms of convolutions, dense, of groups and transposed, on [batch, channels, *size]."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch.nn.functional as F
from jax import Array, lax
from torch import Tensor

from benchmarks.lowerings.timing import Case, normal, weights
from op_table.convolution import DEPTHWISE, GROUPED, PADDED, SCAN, VOLUME, VOLUME_OF_GROUPS, fastest
from op_table.prelude import channels_last as last
from op_table.prelude import convolution as prelude
from op_table.prelude import dense_convolution as prelude_dense
from op_table.prelude import volumes

BATCH = 8
LAYOUTS = {1: ("NHC", "HIO"), 2: ("NHWC", "HWIO"), 3: ("NDHWC", "DHWIO")}


class Window(NamedTuple):
    """The options of a convolution, one an axis."""

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]


def whole(x: Array, weight: Array, window: Window, groups: int = 1) -> Array:
    """XLA's own convolution."""
    return lax.conv_general_dilated(
        x, weight, window.stride, window.padding, rhs_dilation=window.dilation, feature_group_count=groups
    )


def channels_last(x: Array, weight: Array, window: Window) -> Array:
    """XLA's own with the channels last, and all transposes."""
    x, weight = jnp.moveaxis(x, 1, -1), jnp.moveaxis(weight, (0, 1), (-1, -2))
    images, kernel = LAYOUTS[x.ndim - 2]
    y = lax.conv_general_dilated(
        x,
        weight,
        window.stride,
        window.padding,
        rhs_dilation=window.dilation,
        dimension_numbers=(images, kernel, images),
    )
    return jnp.moveaxis(y, -1, 1)


def padded(x: Array, weight: Array, window: Window) -> Array:
    """XLA's own of what has been padded before."""
    x = jnp.pad(x, [(0, 0), (0, 0), *window.padding])
    return lax.conv_general_dilated(x, weight, window.stride, "VALID", rhs_dilation=window.dilation)


def windows(x: Array, kernel: Sequence[int], window: Window, first: int) -> list[Array]:
    """For each place of the kernel, what it meets of x, whose axes from first on are the image's."""
    behind = x.ndim - first - len(kernel)
    padded = jnp.pad(x, [(0, 0)] * first + list(window.padding) + [(0, 0)] * behind)
    lengths = np.subtract(
        padded.shape[first : first + len(kernel)], np.multiply(window.dilation, np.subtract(kernel, 1))
    )
    parts = []
    for place in np.ndindex(*kernel):
        starts = np.multiply(window.dilation, place)
        parts.append(padded[(slice(None),) * first + tuple(map(slice, starts, starts + lengths, window.stride))])
    return parts


def columns(x: Array, weight: Array, window: Window) -> Array:
    """A matrix product with the windows' elements."""
    out, _, *kernel = weight.shape
    stacked = jnp.stack(windows(x, kernel, window, 2), axis=2)
    size = stacked.shape[3:]
    y = weight.reshape(out, -1) @ stacked.reshape(len(x), -1, math.prod(size))
    return y.reshape(len(x), out, *size)


def patches(x: Array, weight: Array, window: Window) -> Array:
    """A matrix product with the patches, where windows lie side by side."""
    out, channels, *kernel = weight.shape
    count = [size // length for size, length in zip(x.shape[2:], kernel, strict=True)]
    x = x[:, :, *(slice(n * length) for n, length in zip(count, kernel, strict=True))]
    x = x.reshape(len(x), channels, *(n for pair in zip(count, kernel, strict=True) for n in pair))
    axes = len(kernel)
    order = (0, *range(2, 2 + 2 * axes, 2), 1, *range(3, 3 + 2 * axes, 2))
    y = x.transpose(order).reshape(-1, weight[0].size) @ weight.reshape(out, -1).T
    return jnp.moveaxis(y.reshape(len(x), *count, out), -1, 1)


FORMS: tuple[Callable, ...] = (whole, channels_last, padded, columns)


def dense(
    channels: int,
    out: int,
    size: int | tuple[int, ...],
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    pad: int | None = None,
    axes: int = 2,
    forms: Sequence[Callable] = FORMS,
) -> Case:
    pad = dilation * (kernel - 1) // 2 if pad is None else pad
    size = (size,) * axes if isinstance(size, int) else size
    window = Window((stride,) * axes, ((pad, pad),) * axes, (dilation,) * axes)
    torch = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[axes]
    emitted = {PADDED: prelude_dense.padded_conv, VOLUME: volumes.volume_conv}
    form = fastest(size, (out, channels, *(kernel,) * axes), *window, 1)
    named = {f.__name__: partial(f, window=window) for f in forms}
    if form in emitted:
        named = {form: lambda x, weight: emitted[form](x, weight, *window), **named}
    return Case(
        "dense convolution" + (", dilated" if dilation > 1 else ""),
        f"{BATCH} x {channels} x {' x '.join(map(str, size))} to {out}, kernel {kernel}, stride {stride}, padding {pad}"
        + (f", dilation {dilation}" if dilation > 1 else ""),
        (normal(BATCH, channels, *size), weights(out, channels, *(kernel,) * axes)),
        named,
        partial(torch, stride=stride, padding=pad, dilation=dilation),
    )


def dense_last(channels: int, size: int) -> Case:
    """Of images that have their channels last: XLA's own, and a product, which the emitted form is where results are few."""
    options = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1)}

    def torchs(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x.permute(0, 3, 1, 2), weight, padding=1).permute(0, 2, 3, 1)

    return Case(
        "dense convolution, channels last",
        f"{BATCH} x {size} x {size} x {channels}, kernel 3",
        (normal(BATCH, size, size, channels), weights(channels, channels, 3, 3)),
        {"emitted": partial(last.small_conv_last, **options), "whole": partial(last.general_conv_last, **options)},
        torchs,
    )


def emitted_transposed(x: Array, weight: Array, stride: int, padding: int) -> Array:
    return prelude.conv_transpose(x, weight, stride=stride, padding=padding)


def _scattered(parts: Callable[[tuple[int, ...]], Array], kernel: Sequence[int], stride: int, padding: int) -> Array:
    """The sum of parts, each at its place of the kernel."""
    total: Array | None = None
    for place in np.ndindex(*kernel):
        around = [(0, 0, 0)] * 2 + [
            (at - padding, length - 1 - at - padding, stride - 1) for at, length in zip(place, kernel, strict=True)
        ]
        part = parts(place)
        part = lax.pad(part, jnp.zeros((), part.dtype), around)
        total = part if total is None else total + part
    assert total is not None
    return total


def scattered(x: Array, weight: Array, stride: int, padding: int) -> Array:
    """One matrix product, whose rows are added up where they belong."""
    channels, out, *kernel = weight.shape
    flat = lax.collapse(x, 2)
    y = weight.reshape(channels, -1).T @ flat
    y = y.reshape(len(x), out, *kernel, *x.shape[2:])
    return _scattered(lambda place: y[:, :, *place], kernel, stride, padding)


def dilated(x: Array, weight: Array, stride: int, padding: int) -> Array:
    """XLA's own, of x with steps between its elements."""
    axes = weight.ndim - 2
    around = [(n - 1 - padding, n - 1 - padding) for n in weight.shape[2:]]
    weight = jnp.flip(weight, range(2, weight.ndim)).swapaxes(0, 1)
    return lax.conv_general_dilated(x, weight, (1,) * axes, around, lhs_dilation=(stride,) * axes)


def spread(x: Array, weight: Array, stride: int, padding: int) -> Array:
    """A convolution of x spread out by zeros."""
    axes = weight.ndim - 2
    around = [(0, 0, 0)] * 2 + [(n - 1 - padding, n - 1 - padding, stride - 1) for n in weight.shape[2:]]
    x = lax.pad(x, jnp.zeros((), x.dtype), around)
    return lax.conv_general_dilated(x, jnp.flip(weight, range(2, weight.ndim)).swapaxes(0, 1), (1,) * axes, "VALID")


def sub_pixel(x: Array, weight: Array, stride: int, padding: int) -> Array:
    """A convolution with a channel for each phase of the stride, whose channels are interleaved."""
    channels, out, *kernel = weight.shape
    axes, taps = len(kernel), [-(-k // stride) for k in kernel]
    weight = jnp.pad(weight, [(0, 0)] * 2 + [(0, n * stride - k) for n, k in zip(taps, kernel, strict=True)])
    weight = weight.reshape(channels, out, *(n for tap in taps for n in (tap, stride)))
    weight = jnp.flip(weight, range(2, weight.ndim, 2))
    weight = weight.transpose(1, *range(3, weight.ndim, 2), 0, *range(2, weight.ndim, 2))
    weight = weight.reshape(-1, channels, *taps)

    lengths = [(n - 1) * stride + k - 2 * padding for n, k in zip(x.shape[2:], kernel, strict=True)]
    first, last = padding // stride, [-(-(padding + n) // stride) for n in lengths]
    around = [(tap - 1 - first, end - n, 0) for tap, end, n in zip(taps, last, x.shape[2:], strict=True)]
    # Padding of its own: XLA is slow at the gradients of a convolution that has more results than inputs.
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0)] * 2 + around)
    y = lax.conv_general_dilated(x, weight, (1,) * axes, "VALID")
    size = y.shape[2:]
    y = y.reshape(len(x), out, *(stride,) * axes, *size)
    y = y.transpose(0, 1, *(n for axis in range(axes) for n in (2 + axes + axis, 2 + axis)))
    y = y.reshape(len(x), out, *(n * stride for n in size))
    start = padding - first * stride
    return y[:, :, *(slice(start, start + n) for n in lengths)]


def side_by_side(x: Array, weight: Array, stride: int, padding: int) -> Array:
    """A matrix product, where the kernel is as long as the stride."""
    channels, out, *kernel = weight.shape
    y = weight.reshape(channels, -1).T @ lax.collapse(x, 2)
    y = y.reshape(len(x), out, *kernel, *x.shape[2:])
    axes = len(kernel)
    order = (0, 1, *(n for axis in range(axes) for n in (2 + axes + axis, 2 + axis)))
    return y.transpose(order).reshape(len(x), out, *(n * k for n, k in zip(x.shape[2:], kernel, strict=True)))


def pointwise(channels: int, out: int, size: int) -> Case:
    window = Window((1, 1), ((0, 0), (0, 0)), (1, 1))
    return Case(
        "pointwise convolution",
        f"{BATCH} x {channels} x {size} x {size} to {out}",
        (normal(BATCH, channels, size, size), weights(out, channels, 1, 1)),
        {"product": partial(prelude.pointwise_conv, stride=(1, 1)), "whole": partial(whole, window=window)},
        F.conv2d,
    )


def of_groups(channels: int, size: int, groups: int, kernel: int, stride: int = 1, axes: int = 2) -> Case:
    pad = (kernel - 1) // 2
    window = Window((stride,) * axes, ((pad, pad),) * axes, (1,) * axes)
    torch = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[axes]
    weight = weights(channels, channels // groups, *(kernel,) * axes)
    forms: dict[str, Callable] = {
        DEPTHWISE: lambda x, weight: prelude.depthwise_conv(x, weight, *window),
        GROUPED: lambda x, weight: prelude.grouped_conv(x, weight, *window, groups),
        SCAN: lambda x, weight: prelude.scan_conv(x, weight, *window, groups),
        VOLUME_OF_GROUPS: lambda x, weight: volumes.grouped_volume_conv(x, weight, *window, groups),
        "whole": partial(whole, window=window, groups=groups),
    }
    emitted = fastest((size,) * axes, weight.shape, *window, groups)
    others = ("whole", SCAN) if groups == channels or groups > 64 else ("whole", SCAN, GROUPED)
    return Case(
        "depthwise convolution" if groups == channels else "grouped convolution",
        f"{BATCH} x {channels} x {' x '.join([str(size)] * axes)}, {groups} groups, kernel {kernel}, stride {stride}",
        (normal(BATCH, channels, *(size,) * axes), weight),
        {name: forms[name] for name in dict.fromkeys((emitted, *others))},
        partial(torch, stride=stride, padding=pad, groups=groups),
    )


def depthwise_last(channels: int, size: int, kernel: int) -> Case:
    """Of images that have their channels last."""
    pad = (kernel - 1) // 2
    window = Window((1, 1), ((pad, pad),) * 2, (1, 1))

    def torchs(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x.permute(0, 3, 1, 2), weight, padding=pad, groups=channels).permute(0, 2, 3, 1)

    return Case(
        "depthwise convolution, channels last",
        f"{BATCH} x {size} x {size} x {channels}, kernel {kernel}",
        (normal(BATCH, size, size, channels), weights(channels, 1, kernel, kernel)),
        {
            "emitted": lambda x, weight: last.depthwise_conv_last(x, weight, *window),
            "whole": partial(last.general_conv_last, **window._asdict(), groups=channels),
        },
        torchs,
    )


def depthwise_between(channels: int, size: int, kernel: int) -> Case:
    """What it comes from and what reads it are computed in the same program, as in a network."""
    pad = (kernel - 1) // 2
    window = Window((1, 1), ((pad, pad),) * 2, (1, 1))
    inlined = prelude.shifted_products.__wrapped__

    def between(form: Callable) -> Callable:
        return lambda x, weight: jax.nn.silu(form(jax.nn.silu(x), weight))

    def torchs(x: Tensor, weight: Tensor) -> Tensor:
        return F.silu(F.conv2d(F.silu(x), weight, padding=pad, groups=channels))

    return Case(
        "depthwise convolution between activations",
        f"{BATCH} x {channels} x {size} x {size}, kernel {kernel}",
        (normal(BATCH, channels, size, size), weights(channels, 1, kernel, kernel)),
        {
            "emitted": between(lambda x, weight: prelude.depthwise_conv(x, weight, *window)),
            "inlined": between(lambda x, weight: inlined(x, weight, *window)),
            "image by image": between(lambda x, w: lax.map(lambda one: inlined(one[None], w, *window)[0], x)),
            "whole": between(partial(whole, window=window, groups=channels)),
        },
        torchs,
    )


def transposed(channels: int, out: int, size: int, kernel: int, stride: int, padding: int = 0) -> Case:
    forms = [emitted_transposed, dilated, spread, scattered, sub_pixel]
    if kernel == stride and padding == 0:
        forms.append(side_by_side)
    return Case(
        "transposed convolution",
        f"{BATCH} x {channels} x {size} x {size} to {out}, kernel {kernel}, stride {stride}, padding {padding}",
        (normal(BATCH, channels, size, size), weights(channels, out, kernel, kernel)),
        {f.__name__: partial(f, stride=stride, padding=padding) for f in forms},
        partial(F.conv_transpose2d, stride=stride, padding=padding),
    )


def transposed_volume(channels: int, out: int, size: int, kernel: int, stride: int, padding: int, beyond: int) -> Case:
    options = {"stride": stride, "padding": padding, "output_padding": beyond}
    return Case(
        "transposed convolution",
        f"{BATCH} x {channels} x {size} x {size} x {size} to {out}, kernel {kernel}, stride {stride}, padding {padding}",
        (normal(BATCH, channels, size, size, size), weights(channels, out, kernel, kernel, kernel)),
        {
            "over two axes": partial(volumes.volume_conv_transpose, **options),
            "over three": partial(prelude.conv_transpose, **options),
        },
        partial(F.conv_transpose3d, **options),
    )


def chain(form: Callable, x: Array, *arrays: Array, window: Window) -> Array:
    """Three convolutions, each scaled, shifted and cut at 0."""
    for weight, scale in zip(arrays[::2], arrays[1::2], strict=True):
        x = jax.nn.relu(form(x, weight, window) * scale[:, None, None] + scale[:, None, None])
    return x


def chained(channels: int, size: int) -> Case:
    arrays = [(weights(channels, channels, 3, 3), normal(channels)) for _ in range(3)]
    window = Window((1, 1), ((1, 1), (1, 1)), (1, 1))
    return Case(
        "chain of dense convolutions",
        f"{BATCH} x {channels} x {size} x {size}",
        (normal(BATCH, channels, size, size), *(a for pair in arrays for a in pair)),
        {f.__name__: partial(chain, f, window=window) for f in (whole, channels_last, columns)},
        None,
        0.05,  # where a sign changes
    )


def cases() -> Iterator[Case]:
    yield pointwise(64, 256, 56)
    yield pointwise(512, 128, 14)
    yield of_groups(96, 56, 96, 3)
    yield of_groups(384, 14, 384, 7)
    yield depthwise_last(96, 56, 3)
    yield depthwise_last(384, 14, 7)
    yield depthwise_between(96, 56, 3)
    yield depthwise_between(384, 14, 7)
    yield of_groups(128, 56, 32, 3)
    yield of_groups(128, 14, 32, 3)
    yield of_groups(192, 14, 96, 3)
    yield of_groups(256, 4, 8, 5)
    yield of_groups(256, 14, 256, 13)
    yield of_groups(1024, 99, 16, 19, axes=1)
    yield of_groups(768, 49, 16, 129, axes=1)
    yield of_groups(768, 199, 16, 127, axes=1)
    yield of_groups(64, 12, 4, 3, axes=3)
    # Dense, by the size of the image.
    for channels, out, size, stride in (
        (64, 64, 56, 1),
        (256, 256, 14, 1),
        (512, 512, 7, 1),
        (256, 256, 6, 1),
        (512, 512, 4, 1),
        (256, 256, 3, 1),
        (512, 512, 2, 1),
        (256, 256, 1, 1),
        (64, 128, 56, 2),
        (256, 512, 14, 2),
        (256, 512, 8, 2),
        (256, 512, 4, 2),
    ):
        yield dense(channels, out, size, 3, stride)
    yield dense(256, 256, (2, 64))
    yield dense(256, 256, 2, axes=1)
    yield dense(64, 64, 4, 5)
    yield dense(64, 64, 6, 7)
    # More results than inputs.
    yield dense(64, 64, 28, pad=2)
    yield dense(64, 64, 28, 1, pad=1)
    yield dense(64, 64, 100, 3, pad=4, dilation=2, axes=1)
    yield dense(64, 64, 28, 4, pad=2)
    yield dense(256, 256, 500, 16, pad=8, axes=1)
    # Windows side by side.
    yield dense(3, 384, 224, 16, 16, pad=0, forms=(whole, channels_last, patches))
    yield from (dense_last(channels, size) for channels, size in ((512, 2), (256, 4), (128, 8), (64, 16)))
    yield dense(96, 192, 56, 2, 2, pad=0, forms=(whole, channels_last, columns, patches))
    yield dense(384, 768, 14, 2, 2, pad=0, forms=(whole, channels_last, columns, patches))
    # First layers.
    yield dense(3, 64, 224, 7, 2, forms=(whole, channels_last))
    yield dense(3, 32, 224, 3, 2)
    yield dense(1, 512, 8000, 10, 5, pad=0, axes=1)
    yield dense(512, 512, 400, 3, 2, pad=0, axes=1)
    yield dense(256, 256, 28, dilation=2)
    yield dense(32, 32, (8, 28, 28), axes=3)
    yield dense(3, 32, (8, 28, 28), 7, 2, axes=3)
    yield dense(64, 64, (4, 4, 4), axes=3)
    yield chained(64, 32)
    yield chained(256, 14)
    yield chained(512, 4)
    for args in (
        (128, 64, 14, 2, 2),
        (256, 128, 8, 4, 2, 1),
        (512, 256, 4, 4, 2, 1),
        (128, 64, 28, 3, 2, 1),
        (64, 64, 14, 4, 2),
        (64, 3, 32, 4, 2, 1),
        (100, 512, 1, 4, 1),
        (64, 64, 28, 3, 1),
        (64, 64, 28, 3, 1, 1),
    ):
        yield transposed(*args)
    yield transposed_volume(32, 16, 12, 4, 2, 1, 0)
    yield transposed_volume(32, 16, 12, 3, 2, 1, 1)
