"""Pooling: maximum and average over windows of a given size, or of a given number."""

from __future__ import annotations

from typing import Any

from op_table.convolution import per_axis, short
from op_table.dtypes import in_float32, is_float
from op_table.expr import Attribute, Expr, Value, eqx, jax, jnp, prelude, static
from op_table.prelude import pooling as real
from op_table.prelude import windows
from op_table.prelude.fractional_pooling import fractional_max_pool as fractional
from op_table.registry import Unsupported, lowers


def _ops(name: str, suffix: str = "") -> tuple[str, ...]:
    return tuple(f"aten.{name}{n}d{suffix}.default" for n in (1, 2, 3))


def _size(x: Expr, axes: int) -> Expr:
    """The expression of the sizes of the last axes: `x.shape[2:]`."""
    return Attribute(x, "shape")[x.ndim - axes :]


def max_options(size: Expr, kernel_size, stride, padding, dilation, ceil_mode) -> tuple[tuple, dict[str, Any]]:
    """The kernel and the keyword arguments of a maximum pooling over axes of a size, dilation only where there is one."""
    axes = len(kernel_size)
    kernel = per_axis(kernel_size, axes)
    options: dict[str, Any] = {"stride": short(per_axis(stride or kernel, axes))}
    padding, dilation = (short(per_axis(option, axes)) for option in (padding, dilation))
    dilated = {} if dilation == 1 else {"dilation": dilation}
    padded = {"padding": padding} if padding else {}
    if ceil_mode:
        padded = {"padding": prelude(real.ceil_padding)(size, kernel, **options, **padded, **dilated)}
    return kernel, options | padded | dilated


def avg_options(
    size: Expr, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
) -> tuple[tuple, dict[str, Any]]:
    """The kernel and the keyword arguments of an average pooling over axes of a size; a divisor may be one for each window."""
    axes = len(kernel_size)
    kernel = per_axis(kernel_size, axes)
    strides = {"stride": short(per_axis(stride or kernel, axes))}
    padding = short(per_axis(padding, axes))
    padded = {"padding": padding} if padding else {}
    options = strides | padded
    if ceil_mode:
        options = strides | {"padding": prelude(real.ceil_padding)(size, kernel, **strides, **padded)}
    if divisor_override is not None:
        options["divisor"] = divisor_override
    elif ceil_mode or (padding and not count_include_pad):
        modes = {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad and bool(padding)}
        modes = {name: True for name, mode in modes.items() if mode}
        options["divisor"] = prelude(real.window_counts)(size, kernel, **strides, **padded, **modes)
    return kernel, options


@lowers(*_ops("max_pool"))
def max_pool(x: Expr, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False) -> Expr:
    kernel, options = max_options(_size(x, len(kernel_size)), kernel_size, stride, padding, dilation, ceil_mode)
    if x.ndim == len(kernel) + 2 and is_float(x.dtype) and not ceil_mode and "dilation" not in options:
        layer = getattr(eqx.nn, f"MaxPool{len(kernel)}d")(short(kernel), **options)
        return jax.vmap(layer)(x)
    function = windows.max_pool_dilated if "dilation" in options else real.max_pool
    return prelude(function)(x, kernel, **options)


@lowers(*_ops("max_pool", "_with_indices"))
def max_pool_with_indices(x: Expr, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False) -> tuple[Expr, Expr]:
    kernel, options = max_options(_size(x, len(kernel_size)), kernel_size, stride, padding, dilation, ceil_mode)
    places = prelude(windows.max_pool_indices)(x, kernel, **options)
    return max_pool(x, kernel_size, stride, padding, dilation, ceil_mode), places


@lowers(*_ops("avg_pool"))
def avg_pool(
    x: Expr, kernel_size, stride=(), padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
) -> Expr:
    size = _size(x, len(kernel_size))
    kernel, options = avg_options(size, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    if not is_float(x.dtype):
        return prelude(real.integer_avg_pool)(x, kernel, **options)
    return in_float32(lambda x: prelude(real.avg_pool)(x, kernel, **options), x)


@lowers(*_ops("adaptive_avg_pool"), "aten._adaptive_avg_pool2d.default", "aten._adaptive_avg_pool3d.default")
def adaptive_avg_pool(x: Expr, output_size) -> Expr:
    axes = tuple(range(x.ndim - len(output_size), x.ndim))
    if all(a == b for a, b in zip(x.shape[axes[0] :], output_size, strict=True)):
        return x
    if all(static(n) and n == 1 for n in output_size):
        return jnp.mean(x, axis=axes, keepdims=True)
    if not is_float(x.dtype):
        raise Unsupported(f"average pooling of {x.dtype}")
    return in_float32(lambda x: prelude(windows.adaptive_avg_pool)(x, tuple(output_size)), x)


@lowers(*_ops("adaptive_max_pool"))
def adaptive_max_pool(x: Expr, output_size) -> tuple[Expr, Expr]:
    size = tuple(output_size)
    return prelude(windows.adaptive_max_pool)(x, size), prelude(windows.adaptive_max_pool_indices)(x, size)


@lowers("aten.max_unpool2d.default")
def max_unpool(x: Expr, indices: Expr, output_size) -> Expr:
    return prelude(real.max_unpool)(x, indices, tuple(output_size))


@lowers("aten.max_unpool3d.default")
def max_unpool3d(x: Expr, indices: Expr, output_size, stride, padding) -> Expr:
    return prelude(real.max_unpool)(x, indices, tuple(output_size))


@lowers("aten.max_pool2d_with_indices_backward.default")
def max_pool_backward(grad: Expr, x: Expr, kernel_size, stride, padding, dilation, ceil_mode, indices: Expr) -> Expr:
    return prelude(real.put_at)(grad, indices, _size(x, 2), add=True)


@lowers("aten.fractional_max_pool2d.default", "aten.fractional_max_pool3d.default")
def fractional_max_pool(x: Value, kernel_size, output_size, random_samples: Value) -> Expr:
    unbatched = x.ndim == len(kernel_size) + 1
    if not unbatched:
        return prelude(fractional)(x, tuple(kernel_size), tuple(output_size), random_samples)
    # Of samples for more items than there are, torch takes the first.
    samples = random_samples if random_samples.shape[0] == 1 else random_samples[:1]
    pooled = prelude(fractional)(x[None], tuple(kernel_size), tuple(output_size), samples)
    return pooled[0][0], pooled[1][0]
