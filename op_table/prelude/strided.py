"""Arrays read by strides, as torch reads the memory of a contiguous tensor."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, Shaped


def strided_places(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> Int[Array, "..."]:
    """The place in memory of each element: offset plus its index times the strides."""
    steps = (step * lax.broadcasted_iota(int, shape, axis) for axis, step in enumerate(strides))
    return sum(steps, start=jnp.full(shape, offset))


def as_strided(
    x: Shaped[Array, "..."], shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0
) -> Shaped[Array, "..."]:
    """torch.as_strided of a contiguous tensor."""
    return x.ravel()[strided_places(shape, strides, offset)]


def as_strided_scatter(
    x: Shaped[Array, "..."],
    values: Shaped[Array, "..."],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int = 0,
) -> Shaped[Array, "..."]:
    """torch.as_strided_scatter of a contiguous tensor: a copy with values written where the strides point."""
    places = strided_places(shape, strides, offset)
    return x.ravel().at[places].set(values).reshape(x.shape)
