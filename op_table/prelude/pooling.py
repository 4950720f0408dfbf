"""Pooling over the last axes.

padding is what goes around them: an int, one an axis, or the pair (low, high) of such.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Shaped


def spans(
    ndim: int, kernel: tuple[int, ...], stride: int | tuple[int, ...], padding: int | tuple
) -> tuple[tuple[int, ...], tuple[int, ...], list]:
    """The size, step and padding of windows over the last axes, for each of ndim axes."""
    others, axes = (1,) * (ndim - len(kernel)), len(kernel)
    strides = others + tuple(np.broadcast_to(stride, axes).tolist())
    around = [(0, 0) for _ in others] + np.broadcast_to(padding, (2, axes)).T.tolist()
    return others + tuple(kernel), strides, around


def reduce_windows(
    x: Shaped[Array, "*size"],
    start: Any,
    function: Callable,
    sizes: tuple[int, ...],
    strides: tuple[int, ...],
    around: list,
    pair: Callable | None = None,
) -> Shaped[Array, "*new_size"]:
    """What function makes of start and each window. pair: the same of two arrays, if that is another.

    On a CPU, XLA computes slices along one axis after the other several times faster.
    """

    def whole(x: Array) -> Array:
        return lax.reduce_window(x, start, function, sizes, strides, around)

    def sliced(x: Array) -> Array:
        x = jnp.pad(x, around, constant_values=start)
        for axis in reversed(range(x.ndim)):
            end = x.shape[axis] - sizes[axis] + 1
            slices = (
                lax.slice_in_dim(x, i, i + end, strides[axis], axis) for i in range(sizes[axis])
            )
            x = functools.reduce(pair or function, slices)
        return x

    if max(sizes) > 64:  # so many slices take long to compile
        return whole(x)
    return lax.platform_dependent(x, cpu=sliced, default=whole)


def greatest(
    x: Shaped[Array, "*size"], sizes: tuple[int, ...], strides: tuple[int, ...], around: list
) -> Shaped[Array, "*new_size"]:
    """The greatest element of each window. Of equal ones the first gets the gradient, as in torch."""
    least = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min

    def first(a: Array, b: Array) -> Array:
        return jnp.where((b > a) | jnp.isnan(b), b, a)

    return reduce_windows(x, least, lax.max, sizes, strides, around, first)


def max_pool(
    x: Float[Array, "*batch_and_size"],
    kernel: tuple[int, ...],
    *,
    stride: int | tuple[int, ...],
    padding: int | tuple = 0,
) -> Float[Array, "*batch_and_new_size"]:
    """torch.nn.functional.max_pool1d, 2d and 3d."""
    return greatest(x, *spans(x.ndim, kernel, stride, padding))


def avg_pool(
    x: Float[Array, "*batch_and_size"],
    kernel: tuple[int, ...],
    *,
    stride: int | tuple[int, ...],
    padding: int | tuple = 0,
    divisor: int | Array | None = None,
) -> Float[Array, "*batch_and_new_size"]:
    """torch.nn.functional.avg_pool1d, 2d and 3d; divisor defaults to the size of the kernel."""
    total = reduce_windows(x, 0.0, lax.add, *spans(x.ndim, kernel, stride, padding))
    return total / (math.prod(kernel) if divisor is None else divisor)


def integer_avg_pool(
    x: Int[Array, "*batch_and_size"],
    kernel: tuple[int, ...],
    *,
    stride: int | tuple[int, ...],
    padding: int | tuple = 0,
    divisor: int | Array | None = None,
) -> Int[Array, "*batch_and_new_size"]:
    """torch.nn.functional.avg_pool1d, 2d and 3d of integers: what is left of a division is dropped."""
    total = reduce_windows(
        x, np.zeros((), x.dtype), lax.add, *spans(x.ndim, kernel, stride, padding)
    )
    count = jnp.asarray(math.prod(kernel) if divisor is None else divisor).astype(x.dtype)
    return lax.div(total, jnp.broadcast_to(count, total.shape))


def ceil_padding(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    *,
    stride: int | tuple[int, ...],
    padding: int | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
) -> tuple[list[int], list[int]]:
    """The padding, low and high, with which pooling gives as many windows as torch with ceil_mode.

    A window may overhang the high padding, but must begin before it.
    """
    length, low = np.array(size), np.broadcast_to(padding, len(size))
    step, reach = np.array(stride), (np.array(kernel) - 1) * dilation + 1
    windows = -((length + 2 * low - reach) // -step) + 1
    windows -= (windows - 1) * step >= length + low
    overhang = (windows - 1) * step + reach - length - low
    return low.tolist(), np.maximum(low, overhang).tolist()


def window_counts(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    *,
    stride: int | tuple[int, ...],
    padding: int | tuple[int, ...] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
) -> Int[Array, "*new_size"]:
    """How many elements each window of avg_pool counts; what overhangs the padding never does."""
    axes = len(kernel)
    steps, inner = np.broadcast_to(stride, axes), np.broadcast_to(padding, axes)
    low, high = inner, inner
    if ceil_mode:
        low, high = ceil_padding(size, kernel, stride=stride, padding=padding)
    counts = np.ones((1,) * axes, int)
    for axis in range(axes):
        last = size[axis] + low[axis] + high[axis] - kernel[axis]
        start = np.arange(0, last + 1, steps[axis]) - low[axis]
        border = inner[axis] if count_include_pad else 0
        stop = np.minimum(start + kernel[axis], size[axis] + border)
        count = stop - np.maximum(start, -border)
        counts = counts * count.reshape([-1 if a == axis else 1 for a in range(axes)])
    return jnp.asarray(counts)


def put_at(
    x: Float[Array, "*batch_and_size"],
    indices: Int[Array, "*batch_and_size"],
    size: tuple[int, ...],
    *,
    add: bool = False,
) -> Float[Array, "*batch_and_output_size"]:
    """x at its places in the last axes, which are of the given size, and zero elsewhere. What is put to one place may be added up."""
    batch = x.shape[: x.ndim - len(size)]
    values, places = (a.reshape(math.prod(batch), -1) for a in (x, indices))
    rows = jnp.arange(math.prod(batch))[:, None]
    at = jnp.zeros((math.prod(batch), math.prod(size)), x.dtype).at[rows, places]
    return (at.add(values) if add else at.set(values)).reshape(*batch, *size)


def max_unpool(
    x: Float[Array, "*batch_and_size"],
    indices: Int[Array, "*batch_and_size"],
    output_size: tuple[int, ...],
) -> Float[Array, "*batch_and_output_size"]:
    """torch.nn.functional.max_unpool1d, 2d and 3d: x at its places, zero elsewhere.

    Of several elements for one place one wins, but all have the gradient of that place.
    """

    @jax.custom_jvp
    def unpool(x: Float[Array, "..."]) -> Float[Array, "..."]:
        return put_at(x, indices, output_size)

    unpool.defjvps(lambda tangent, _, x: put_at(tangent, indices, output_size, add=True))
    return unpool(x)
