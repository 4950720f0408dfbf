"""Convolutions over one, two or three axes, and their transposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from op_table.expr import Expr, lax, prelude, static
from op_table.prelude import convolution as real
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


@lowers("aten.conv1d.default", "aten.conv2d.default", "aten.conv3d.default")
@lowers("aten.conv1d.padding", "aten.conv2d.padding", "aten.conv3d.padding")
def conv(input: Expr, weight: Expr, bias=None, stride=1, padding: Any = 0, dilation=1, groups=1) -> Expr:
    axes = weight.ndim - 2
    stride, dilation = per_axis(stride, axes), per_axis(dilation, axes)
    if isinstance(padding, str):
        around: Any = padding.upper()
    else:
        padding = per_axis(padding, axes)
        around = tuple((p, p) for p in padding) if any(padding) else "VALID"
    options = {}
    if set(dilation) != {1}:
        options["rhs_dilation"] = dilation
    if groups != 1:
        options["feature_group_count"] = groups
    batched = input.ndim == weight.ndim
    y = lax.conv_general_dilated(input if batched else input[None], weight, stride, around, **options)
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
    y = prelude(real.conv_transpose)(input if batched else input[None], weight, *affine, **options)
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
