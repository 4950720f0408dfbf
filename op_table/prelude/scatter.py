"""torch's scatter: values written along one axis at places that an index array names."""

from typing import Literal

import jax
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
    return x.at[along_axis(index, axis)].set(matching(src, index))


def multiply_at(
    x: Shaped[Array, "..."], places: tuple[Array, ...], src: Shaped[Array, "..."]
) -> Array:
    """x.at[places].multiply(src), with the gradient that JAX lacks where places repeat."""

    @jax.custom_jvp
    def product(x: Shaped[Array, "..."], src: Shaped[Array, "..."]) -> Array:
        return x.at[places].multiply(src)

    @product.defjvp
    def product_jvp(
        primals: tuple[Array, Array], tangents: tuple[Array, Array]
    ) -> tuple[Array, Array]:
        x, src = primals
        kept, factors = jnp.where(x == 0, 1, x), jnp.where(src == 0, 1, src)
        zeros = (x == 0).astype(int).at[places].add((src == 0).astype(int))
        nonzero = multiply_at(kept, places, factors)
        of_x = jnp.where(zeros == (x == 0), nonzero / kept, 0) * tangents[0]
        of_src = jnp.where(zeros[places] == (src == 0), nonzero[places] / factors, 0) * tangents[1]
        return product(x, src), of_x.at[places].add(of_src)

    return product(x, jnp.broadcast_to(src, jnp.shape(x[places])).astype(x.dtype))


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
        return multiply_at(x, places, src)
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
