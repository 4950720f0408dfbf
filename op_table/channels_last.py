"""Ops on channels-last arrays, [batch, *size, channels], with torch's weights: what the layout pass makes of torch's ops."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_table.axes import number
from op_table.convolution import (
    DEPTHWISE,
    GROUPED,
    PADDED,
    PATCHES,
    POINTWISE,
    SCAN,
    SMALL,
    VOLUME,
    VOLUME_OF_GROUPS,
    conv_transpose_options,
    fastest,
    inexact,
    pads,
    per_axis,
)
from op_table.dtypes import in_float32, is_float
from op_table.expr import Attribute, Expr, RandomKey, Size, Value, jnp, prelude, static
from op_table.interpolation import doubling, register_resizing, set_flags
from op_table.normalisation import positional
from op_table.padding import MODES
from op_table.pooling import avg_options, max_options
from op_table.prelude import channels_last as real
from op_table.prelude import channels_last_norms as norms
from op_table.prelude import channels_last_windows as windows
from op_table.prelude import dense_convolution as dense
from op_table.prelude import volumes
from op_table.registry import Unsupported, lowers


def _ops(name: str, *overloads: str) -> tuple[str, ...]:
    return tuple(f"channels_last.{name}.{overload}" for overload in overloads or ("default",))


_UNGROUPED = {
    DEPTHWISE: real.depthwise_conv_last,
    SMALL: real.small_conv_last,
    PADDED: dense.padded_conv_last,
    VOLUME: volumes.volume_conv_last,
}
_OF_GROUPS = {
    GROUPED: real.grouped_conv_last,
    SCAN: real.scan_conv_last,
    VOLUME_OF_GROUPS: volumes.grouped_volume_conv_last,
}


@lowers(*(op for n in (1, 2, 3) for op in _ops(f"conv{n}d", "default", "padding")))
def conv(input: Expr, weight: Expr, bias=None, stride=1, padding: Any = 0, dilation=1, groups=1) -> Expr:
    axes = weight.ndim - 2
    stride, dilation = per_axis(stride, axes), per_axis(dilation, axes)
    around = pads(padding, weight.shape[2:], dilation)
    size, given = input.aval.shape[1:-1], inexact(input.dtype)
    kind = fastest(size, weight.shape, stride, around, dilation, groups, last=True) if given else None
    if kind == POINTWISE:
        y = prelude(real.pointwise_conv_last)(input, weight, stride)
    elif kind == PATCHES:
        y = prelude(real.patch_conv_last)(input, weight)
    elif kind in _UNGROUPED:
        y = prelude(_UNGROUPED[kind])(input, weight, stride, around, dilation)
    elif kind in _OF_GROUPS:
        y = prelude(_OF_GROUPS[kind])(input, weight, stride, around, dilation, groups)
    else:
        options: dict[str, Any] = {"dilation": dilation} if set(dilation) != {1} else {}
        options |= {"groups": groups} if groups != 1 else {}
        y = prelude(real.general_conv_last)(input, weight, stride, around if np.any(around) else "VALID", **options)
    return y if bias is None else y + bias


@lowers("channels_last.conv_transpose1d.default")
@lowers("channels_last.conv_transpose2d.input", "channels_last.conv_transpose3d.input")
def conv_transpose(
    input: Expr, weight: Expr, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
) -> Expr:
    options = conv_transpose_options(weight.ndim - 2, stride, padding, output_padding, groups, dilation)
    transpose = volumes.volume_conv_transpose_last if weight.ndim == 5 else real.conv_transpose_last
    return prelude(transpose)(input, weight, *positional(bias), **options)


@lowers("channels_last.convolution.default")
def convolution(input: Expr, weight: Expr, bias, stride, padding, dilation, transposed, output_padding, groups) -> Expr:
    if transposed:
        return conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return conv(input, weight, bias, stride, padding, dilation, groups)


@lowers("channels_last.batch_norm.default")
def batch_norm(
    input: Expr, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled=True
) -> Expr:
    if training and running_mean is not None:
        raise Unsupported("batch normalisation that updates running statistics, within a branch or the body of a loop")
    mean, var = _batch_statistics(input) if training else (running_mean, running_var)
    return prelude(norms.batch_norm_last)(input, mean, var, *positional(weight, bias), eps=eps)


def _batch_statistics(x: Expr) -> tuple[Expr, Expr]:
    """Mean and biased variance of each channel, in float32 at least."""
    half = {} if x.dtype.itemsize > 2 or not is_float(x.dtype) else {"dtype": jnp.float32}
    over = tuple(range(x.ndim - 1))
    return jnp.mean(x, axis=over, **half), jnp.var(x, axis=over, **half)


@lowers("channels_last.batch_norm_training.default")
def batch_norm_training(input: Expr, running_mean, running_var, weight, bias, momentum, eps) -> Expr:
    given = positional(weight, bias)
    function = prelude(norms.batch_norm_training_last)
    return function(input, running_mean, running_var, *given, momentum=momentum, eps=eps)


@lowers("channels_last.group_norm.default")
def group_norm(input: Expr, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True) -> Expr:
    return prelude(norms.group_norm_last)(input, num_groups, *positional(weight, bias), eps=eps)


@lowers("channels_last.instance_norm.default")
def instance_norm(
    input: Expr, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled=True
) -> Expr:
    if not use_input_stats:
        return batch_norm(input, weight, bias, running_mean, running_var, False, momentum, eps)
    if running_mean is not None:
        raise Unsupported(
            "instance normalisation that updates running statistics, within a branch or the body of a loop"
        )
    return group_norm(input, input.shape[-1], weight, bias, eps)


def _size(x: Expr) -> Expr:
    """The expression of the sizes between the batch and the channels."""
    return Attribute(x, "shape")[1:-1]


@lowers(*(op for n in (1, 2, 3) for op in _ops(f"max_pool{n}d")))
def max_pool(x: Expr, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False) -> Expr:
    kernel, options = max_options(_size(x), kernel_size, stride, padding, dilation, ceil_mode)
    if "dilation" in options:
        raise Unsupported("dilated pooling of channels-last arrays")
    return prelude(windows.max_pool_last)(x, kernel, **options)


@lowers(*(op for n in (1, 2, 3) for op in _ops(f"avg_pool{n}d")))
def avg_pool(
    x: Expr, kernel_size, stride=(), padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
) -> Expr:
    kernel, options = avg_options(
        _size(x), kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    if isinstance(options.get("divisor"), Expr):
        options["divisor"] = options["divisor"][..., None]
    return in_float32(lambda x: prelude(windows.avg_pool_last)(x, kernel, **options), x)


@lowers(*(op for n in (1, 2, 3) for op in _ops(f"adaptive_avg_pool{n}d")))
def adaptive_avg_pool(x: Expr, output_size) -> Expr:
    axes = tuple(range(1, x.ndim - 1))
    if all(a == b for a, b in zip(x.shape[1:-1], output_size, strict=True)):
        return x
    if all(static(n) and n == 1 for n in output_size):
        return jnp.mean(x, axis=axes, keepdims=True)
    if not is_float(x.dtype):
        raise Unsupported(f"average pooling of {x.dtype}")
    return in_float32(lambda x: prelude(windows.adaptive_avg_pool_last)(x, tuple(output_size)), x)


def _nearest(x: Expr, target: dict[str, Any], exact: bool) -> Expr:
    repeats = doubling(x.shape[1:-1], target)
    if repeats is None:
        return prelude(windows.upsample_nearest_last)(x, **target, **set_flags(exact=exact))
    for axis, count in enumerate(repeats, start=1):
        if count > 1:
            x = jnp.repeat(x, count, axis=axis)
    return x


def _weighted(function) -> Any:
    def rule(x: Expr, target: dict[str, Any], align_corners: bool) -> Expr:
        if not is_float(x.dtype):
            raise Unsupported(f"interpolation of {x.dtype}, which torch rounds in its own way")
        return prelude(function)(x, **target, **set_flags(align_corners=align_corners))

    return rule


for _n in (1, 2, 3):
    for _name, _exact in ((f"upsample_nearest{_n}d", False), (f"_upsample_nearest_exact{_n}d", True)):
        register_resizing(
            f"channels_last.{_name}", lambda x, target, _, exact=_exact: _nearest(x, target, exact), aligned=False
        )
for _name in ("linear1d", "bilinear2d", "trilinear3d"):
    register_resizing(f"channels_last.upsample_{_name}", _weighted(windows.upsample_linear_last), aligned=True)
register_resizing("channels_last.upsample_bicubic2d", _weighted(windows.upsample_cubic_last), aligned=True)


@lowers("channels_last.pad.default")
def pad(x: Value, pad: list, mode: str = "constant", value=None) -> Expr:
    """pad has (before, after) of the axes before the channels, from the last one to the first."""
    fill = 0 if mode != "constant" or value is None else value
    pairs = list(zip(pad[::2], pad[1::2], strict=True))
    widths = [(0, 0)] * (x.ndim - 1 - len(pairs)) + pairs[::-1] + [(0, 0)]
    if any(not isinstance(width, Size) and width < 0 for pair in widths for width in pair):
        raise Unsupported("padding of channels-last arrays by less than nothing")
    if all(width == 0 for pair in widths for width in pair):
        return x
    options = (
        {"mode": MODES[mode]} if mode != "constant" else {"constant_values": number(fill, x.dtype)} if fill else {}
    )
    return jnp.pad(x, widths, **options)


def _padding(mode: str) -> Any:
    return lambda x, padding: pad(x, padding, mode)


for _n in (1, 2, 3):
    lowers(f"channels_last.reflection_pad{_n}d.default")(_padding("reflect"))
    lowers(f"channels_last.replication_pad{_n}d.default")(_padding("replicate"))


@lowers("channels_last.pixel_shuffle.default")
def pixel_shuffle(x: Expr, upscale_factor: int) -> Expr:
    return prelude(windows.pixel_shuffle_last)(x, upscale_factor)


@lowers("channels_last.pixel_unshuffle.default")
def pixel_unshuffle(x: Expr, downscale_factor: int) -> Expr:
    return prelude(windows.pixel_unshuffle_last)(x, downscale_factor)


@lowers("channels_last.channel_shuffle.default")
def channel_shuffle(x: Value, groups: int) -> Expr:
    *around, channels = x.shape
    return x.reshape(*around, groups, channels // groups).swapaxes(-1, -2).reshape(*x.shape)


@lowers("channels_last.prelu.default")
def prelu(x: Expr, weight: Expr) -> Expr:
    return jnp.where(x > 0, x, weight * x)


@lowers("channels_last.feature_dropout.default")
def feature_dropout(input: Expr, p: float, train: bool) -> Expr:
    return prelude(windows.feature_dropout_last)(input, p, RandomKey()) if train and p > 0 else input
