"""torch's scatter: values written along one axis at places that an index array names."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Int, Shaped


def along_axis(index: Int[Array, "..."], axis: int) -> tuple[Array, ...]:
    """The subscript that reads `axis` at index, and every other axis in place."""
    places = list(jnp.indices(index.shape, sparse=True))
    places[axis] = index
    return tuple(places)


def matching(src: Shaped[Array, "..."] | float, index: Int[Array, "..."]) -> Array:
    """The values for the places of index: the first along each axis of src, or one for all."""
    src = jnp.asarray(src)
    return src[tuple(slice(size) for size in index.shape)] if src.ndim else src


def scatter(
    x: Shaped[Array, "..."], axis: int, index: Int[Array, "..."], src: Shaped[Array, "..."] | float
) -> Array:
    """torch.scatter: x[..., index[i], ...] = src[i]. Of repeated places any may win."""
    if x.ndim == 0:
        return jnp.reshape(jnp.asarray(src, x.dtype), ())
    return x.at[along_axis(index, axis)].set(matching(src, index))


def scatter_add(
    x: Shaped[Array, "..."], axis: int, index: Int[Array, "..."], src: Shaped[Array, "..."]
) -> Array:
    """torch.scatter_add: x[..., index[i], ...] += src[i]."""
    return x.at[along_axis(index, axis)].add(matching(src, index))


def scatter_reduce(
    x: Shaped[Array, "..."],
    axis: int,
    index: Int[Array, "..."],
    src: Shaped[Array, "..."] | float,
    reduce: Literal["sum", "prod", "mean", "amax", "amin"],
    include_self: bool = True,
) -> Array:
    """torch.scatter_reduce: the values for one place, and x's own unless left out, become one."""
    places = along_axis(index, axis)
    src = matching(src, index).astype(x.dtype)
    if not include_self:
        floating = jnp.issubdtype(x.dtype, jnp.floating)
        limits = jnp.finfo(x.dtype) if floating else jnp.iinfo(x.dtype)
        neutral = {
            "sum": 0,
            "mean": 0,
            "prod": 1,
            "amax": -jnp.inf if floating else limits.min,
            "amin": jnp.inf if floating else limits.max,
        }
        x = x.at[places].set(neutral[reduce])
    at = x.at[places]
    if reduce == "prod":
        return at.multiply(src)
    if reduce == "amax":
        return at.max(src)
    if reduce == "amin":
        return at.min(src)
    total = at.add(src)
    if reduce == "sum":
        return total
    counts = jnp.full_like(x, 1 if include_self else 0).at[places].add(1)
    counts = jnp.maximum(counts, 1)
    return total / counts if jnp.issubdtype(x.dtype, jnp.floating) else total // counts
