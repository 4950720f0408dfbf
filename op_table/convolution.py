"""Convolutions over one, two or three axes, and their transposes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from op_table.dtypes import is_complex, is_float
from op_table.expr import Expr, lax, prelude, static
from op_table.prelude import convolution as real
from op_table.prelude import dense_convolution as dense
from op_table.prelude import volumes
from op_table.registry import Unsupported, lowers


def per_axis(option: Any, axes: int) -> tuple[int, ...]:
    """An option of a convolution or pooling with one int an axis. Raises Unsupported for one that is no constant."""
    option = tuple(option) if isinstance(option, Sequence) else (option,)
    if not all(map(static, option)):
        raise Unsupported("a stride, padding or dilation that depends on a shape")
    return option * axes if len(option) == 1 else option


def short(option: tuple[int, ...]) -> int | tuple[int, ...]:
    """One int where all axes have the same."""
    return option[0] if len(set(option)) == 1 else option


POINTWISE, PATCHES, SMALL = "pointwise", "patches", "small"
PADDED, VOLUME = "padded", "volume"
DEPTHWISE, GROUPED, SCAN, VOLUME_OF_GROUPS = "depthwise", "grouped", "scan", "volume of groups"

# More shifted products than this take long to compile, and so do more convolutions.
_MANY = 64

# Of no more results than this, and of no more inputs to a result, is a convolution faster as a matrix product: of torch's layout, and
# of channels-last images. `small_conv` and `small_conv_last` ask again, when they know the size.
_FEW, _FEW_LAST = (64, 48), (16, 0)


def fastest(
    size: Sequence[int],
    weight: Sequence[int],
    stride: Any,
    around: tuple,
    dilation: Any,
    groups: int,
    last: bool = False,
) -> str | None:
    """Which form of a convolution XLA runs faster than its own (see benchmarks/lowerings).

    size: that of the example images. around: see `pads`. last: whether channels are.
    """
    out_channels, in_channels, *kernel = weight
    if not all(map(static, weight)):
        return None
    if groups == 1 and not np.any(around):
        if math.prod(kernel) == 1:
            return POINTWISE
        if tuple(stride) == tuple(kernel) and set(dilation) == {1}:
            return PATCHES
    spans = (n + sum(pair) - d * (k - 1) for n, pair, d, k in zip(size, around, dilation, kernel, strict=True))
    results = math.prod(-(-span // step) for span, step in zip(spans, stride, strict=True))
    places = math.prod(kernel)
    if groups == 1:
        if len(kernel) == 3:
            return VOLUME
        few, few_inputs = _FEW_LAST if last else _FEW
        if places > 1 and (results <= few or in_channels * places <= few_inputs):
            return SMALL
        spans = (d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
        more = (step == 1 and sum(pair) > span for step, pair, span in zip(stride, around, spans, strict=True))
        return PADDED if any(more) else None
    if in_channels == 1 and out_channels == groups and places <= _MANY:
        return DEPTHWISE
    if in_channels == 1 or groups > _MANY:
        return SCAN
    if len(kernel) == 3:
        return VOLUME_OF_GROUPS
    # Of kernels longer than the result, XLA is slow at the gradients of the convolutions of the groups, too.
    return GROUPED if places <= results else SCAN


def inexact(dtype: np.dtype) -> bool:
    """Whether a convolution may add up in float32."""
    return is_float(dtype) or is_complex(dtype)


def pads(padding: Any, kernel: Sequence[int], dilation: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """How much is added before and behind each axis."""
    if padding == "valid":
        padding = 0
    if padding == "same":
        added = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple((n // 2, n - n // 2) for n in added)
    return tuple((p, p) for p in per_axis(padding, len(kernel)))


_UNGROUPED = {
    DEPTHWISE: real.depthwise_conv,
    SMALL: real.small_conv,
    PADDED: dense.padded_conv,
    VOLUME: volumes.volume_conv,
}
_OF_GROUPS = {
    GROUPED: real.grouped_conv,
    SCAN: real.scan_conv,
    VOLUME_OF_GROUPS: volumes.grouped_volume_conv,
}


@lowers("aten.conv1d.default", "aten.conv2d.default", "aten.conv3d.default")
@lowers("aten.conv1d.padding", "aten.conv2d.padding", "aten.conv3d.padding")
def conv(input: Expr, weight: Expr, bias=None, stride=1, padding: Any = 0, dilation=1, groups=1) -> Expr:
    axes = weight.ndim - 2
    stride, dilation = per_axis(stride, axes), per_axis(dilation, axes)
    batched = input.ndim == weight.ndim
    x = input if batched else input[None]
    around = pads(padding, weight.shape[2:], dilation)
    kind = fastest(x.aval.shape[2:], weight.shape, stride, around, dilation, groups) if inexact(x.dtype) else None
    if kind == POINTWISE:
        y = prelude(real.pointwise_conv)(x, weight, stride)
    elif kind == PATCHES:
        y = prelude(real.patch_conv)(x, weight)
    elif kind in _UNGROUPED:
        y = prelude(_UNGROUPED[kind])(x, weight, stride, around, dilation)
    elif kind in _OF_GROUPS:
        y = prelude(_OF_GROUPS[kind])(x, weight, stride, around, dilation, groups)
    else:
        options: dict[str, Any] = {}
        if set(dilation) != {1}:
            options["rhs_dilation"] = dilation
        if groups != 1:
            options["feature_group_count"] = groups
        y = lax.conv_general_dilated(x, weight, stride, around if np.any(around) else "VALID", **options)
    if bias is not None:
        y = y + bias[(slice(None), *(None,) * axes)]
    return y if batched else y[0]


@lowers("aten.conv_transpose1d.default", "aten.conv_transpose2d.input", "aten.conv_transpose3d.input")
def conv_transpose(
    input: Expr, weight: Expr, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
) -> Expr:
    batched = input.ndim == weight.ndim
    affine = () if bias is None else (bias,)
    options = conv_transpose_options(weight.ndim - 2, stride, padding, output_padding, groups, dilation)
    transpose = volumes.volume_conv_transpose if weight.ndim == 5 else real.conv_transpose
    y = prelude(transpose)(input if batched else input[None], weight, *affine, **options)
    return y if batched else y[0]


def conv_transpose_options(axes: int, stride, padding, output_padding, groups, dilation) -> dict[str, Any]:
    """The keyword arguments of the prelude's conv_transpose that differ from their defaults."""
    options = {
        "stride": short(per_axis(stride, axes)),
        "padding": short(per_axis(padding, axes)),
        "output_padding": short(per_axis(output_padding, axes)),
        "groups": groups,
        "dilation": short(per_axis(dilation, axes)),
    }
    default = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}
    return {name: option for name, option in options.items() if option != default[name]}


@lowers("aten.convolution.default", "aten._convolution.default", "aten._convolution.deprecated")
def convolution(
    input: Expr, weight: Expr, bias, stride, padding, dilation, transposed, output_padding, groups, *backend
) -> Expr:
    if transposed:
        return conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return conv(input, weight, bias, stride, padding, dilation, groups)


@lowers("aten.conv_tbc.default")
def conv_tbc(x: Expr, weight: Expr, bias: Expr, pad: int = 0) -> Expr:
    layout = ("WNC", "WIO", "WNC")
    return lax.conv_general_dilated(x, weight, (1,), ((pad, pad),), dimension_numbers=layout) + bias
