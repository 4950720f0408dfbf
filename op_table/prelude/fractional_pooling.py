"""Pooling over windows whose places are drawn at random."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def fractional_starts(
    sample: Float[Array, "batch channels"], size: int, new_size: int, length: int
) -> Int[Array, "batch channels new_size"]:
    """Where the windows along one axis begin; the last ends with the axis."""
    last = jnp.full((*sample.shape, 1), size - length)
    if new_size == 1:
        return last
    step = jnp.asarray((size - length) / (new_size - 1), sample.dtype)
    place = (jnp.arange(new_size - 1, dtype=sample.dtype) + sample[..., None]) * step
    start = place.astype(int) - (sample[..., None] * step).astype(int)
    return jnp.concatenate([start, last], axis=-1)


def fractional_max_pool(
    x: Float[Array, "batch channels *size"],
    kernel: tuple[int, ...],
    output_size: tuple[int, ...],
    samples: Float[Array, "batch channels n"],
) -> tuple[Float[Array, "batch channels *output_size"], Int[Array, "batch channels *output_size"]]:
    """torch.nn.functional.fractional_max_pool2d and 3d: the maxima and their places in the input.

    samples holds a number in [0, 1) for each axis (in two dimensions, for the last axis first).
    """
    size, axes = x.shape[2:], len(kernel)
    order = [1, 0] if axes == 2 else [0, 1, 2]
    flat = jnp.zeros((*x.shape[:2], *(1,) * (2 * axes)), int)
    for axis in range(axes):
        start = fractional_starts(
            samples[..., order[axis]], size[axis], output_size[axis], kernel[axis]
        )
        index = start[..., None] + jnp.arange(kernel[axis])
        shape = [1] * (2 * axes)
        shape[axis], shape[axes + axis] = output_size[axis], kernel[axis]
        flat = flat * size[axis] + index.reshape(*x.shape[:2], *shape)
    flat = flat.reshape(*x.shape[:2], *output_size, math.prod(kernel))
    elements = x.reshape(*x.shape[:2], math.prod(size))
    places = flat.reshape(*x.shape[:2], math.prod(output_size) * math.prod(kernel))
    values = jnp.take_along_axis(elements, places, axis=-1).reshape(flat.shape)
    best = jnp.argmax(values, axis=-1, keepdims=True)
    maxima, places = (jnp.take_along_axis(a, best, axis=-1)[..., 0] for a in (values, flat))
    return maxima, places
