"""Pooling that lax.reduce_window cannot express: dilated, over windows of unequal length, or of places.

Windows are products of windows along each axis, so all of these go one axis after the other. Along an
axis they are two constants: the indices in each window, and which of these count.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


def strided_windows(
    size: int, length: int, stride: int, low: int, high: int, dilation: int
) -> tuple[Int[np.ndarray, "windows length"], Bool[np.ndarray, "windows length"]]:
    """Windows of one length along an axis with low and high padding, which never counts."""
    last = size + low + high - (length - 1) * dilation - 1
    start = np.arange(0, last + 1, stride) - low
    index = start[:, None] + np.arange(length) * dilation
    return np.clip(index, 0, size - 1), (index >= 0) & (index < size)


def adaptive_windows(
    size: int, windows: int
) -> tuple[Int[np.ndarray, "windows longest"], Bool[np.ndarray, "windows longest"]]:
    """As many windows along an axis as asked for, as even as torch makes them."""
    start = np.arange(windows) * size // windows
    stop = -(np.arange(1, windows + 1) * size // -windows)
    index = start[:, None] + np.arange(np.max(stop - start, initial=1))
    return np.minimum(index, size - 1), index < stop[:, None]


def max_pool_axes(
    kernel: tuple[int, ...],
    size: tuple[int, ...],
    stride: int | tuple[int, ...],
    padding: int | tuple,
    dilation: int | tuple[int, ...],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The windows along each axis of a pooling with these options."""
    axes = len(kernel)
    low, high = np.broadcast_to(padding, (2, axes)).tolist()
    steps, spread = (np.broadcast_to(option, axes).tolist() for option in (stride, dilation))
    return [
        strided_windows(*axis) for axis in zip(size, kernel, steps, low, high, spread, strict=True)
    ]


def max_of_windows(
    x: Float[Array, "..."], windows: list[tuple[np.ndarray, np.ndarray]]
) -> Float[Array, "..."]:
    """The maximum in each window over the last axes."""
    lowest = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
    for axis, (index, inside) in enumerate(windows, start=x.ndim - len(windows)):
        elements = jnp.take(jnp.moveaxis(x, axis, -1), index, axis=-1)
        x = jnp.moveaxis(jnp.max(elements, axis=-1, where=inside, initial=lowest), -1, axis)
    return x


def places_of_max(
    x: Float[Array, "..."], windows: list[tuple[np.ndarray, np.ndarray]]
) -> Int[Array, "..."]:
    """Where the first maximum in each window is, as an index into the flattened last axes of x."""
    size = x.shape[x.ndim - len(windows) :]
    lowest = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
    places = jnp.broadcast_to(jnp.arange(math.prod(size)).reshape(size), x.shape)
    for axis, (index, inside) in zip(
        range(-1, -1 - len(windows), -1), reversed(windows), strict=True
    ):
        elements, at = (jnp.take(jnp.moveaxis(a, axis, -1), index, axis=-1) for a in (x, places))
        best = jnp.argmax(jnp.where(inside, elements, lowest), axis=-1, keepdims=True)
        x, places = (
            jnp.moveaxis(jnp.take_along_axis(a, best, axis=-1)[..., 0], -1, axis)
            for a in (elements, at)
        )
    return places


def max_pool_dilated(
    x: Float[Array, "..."],
    kernel: tuple[int, ...],
    *,
    stride: int | tuple[int, ...],
    padding: int | tuple = 0,
    dilation: int | tuple[int, ...],
) -> Float[Array, "..."]:
    """torch.nn.functional.max_pool1d, 2d and 3d, with dilation."""
    size = x.shape[x.ndim - len(kernel) :]
    return max_of_windows(x, max_pool_axes(kernel, size, stride, padding, dilation))


def max_pool_indices(
    x: Float[Array, "..."],
    kernel: tuple[int, ...],
    *,
    stride: int | tuple[int, ...],
    padding: int | tuple = 0,
    dilation: int | tuple[int, ...] = 1,
) -> Int[Array, "..."]:
    """Where torch.nn.functional.max_pool2d(return_indices=True) finds each maximum."""
    size = x.shape[x.ndim - len(kernel) :]
    return places_of_max(x, max_pool_axes(kernel, size, stride, padding, dilation))


def adaptive_means(
    x: Float[Array, "..."], output_size: tuple[int, ...], first: int
) -> Float[Array, "..."]:
    """The means of as many windows as asked for, along as many axes from the first on."""
    for axis, windows in enumerate(output_size, start=first):
        if windows and x.shape[axis] % windows == 0:
            length = x.shape[axis] // windows
            parts = x.reshape(*x.shape[:axis], windows, length, *x.shape[axis + 1 :])
            x = jnp.mean(parts, axis=axis + 1)
            continue
        index, inside = adaptive_windows(x.shape[axis], windows)
        counted = inside.reshape(*inside.shape, *(1 for _ in x.shape[axis + 1 :]))
        x = jnp.mean(jnp.take(x, index, axis=axis), axis=axis + 1, where=counted)
    return x


def adaptive_avg_pool(x: Float[Array, "..."], output_size: tuple[int, ...]) -> Float[Array, "..."]:
    """torch.nn.functional.adaptive_avg_pool1d, 2d and 3d."""
    return adaptive_means(x, output_size, x.ndim - len(output_size))


def adaptive_max_pool(x: Float[Array, "..."], output_size: tuple[int, ...]) -> Float[Array, "..."]:
    """torch.nn.functional.adaptive_max_pool1d, 2d and 3d."""
    size = x.shape[x.ndim - len(output_size) :]
    return max_of_windows(
        x, [adaptive_windows(*axis) for axis in zip(size, output_size, strict=True)]
    )


def adaptive_max_pool_indices(
    x: Float[Array, "..."], output_size: tuple[int, ...]
) -> Int[Array, "..."]:
    """Where torch.nn.functional.adaptive_max_pool2d(return_indices=True) finds each maximum."""
    size = x.shape[x.ndim - len(output_size) :]
    return places_of_max(
        x, [adaptive_windows(*axis) for axis in zip(size, output_size, strict=True)]
    )
