"""Subscripts and updates that jax.numpy has no one function for."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Shaped


def along_axis(index: Int[Array, "..."], axis: int) -> tuple[Array, ...]:
    """The places that torch.scatter writes to: `x.at[along_axis(index, 1)].set(src)`."""
    grid = list(jnp.indices(index.shape, sparse=True))
    grid[axis] = index
    return tuple(grid)


def scatter_reduce(
    x: Shaped[Array, "..."],
    places: tuple,
    src: Shaped[Array, "..."],
    reduce: str,
    include_self: bool = True,
) -> Array:
    """torch.scatter_reduce and torch.index_reduce: x with src reduced into it at places.

    reduce: "sum", "prod", "mean", "amax" or "amin". What stands in x at the places counts as one
    of the elements if include_self, and is forgotten otherwise.
    """
    if not include_self:
        limits = jnp.finfo if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.iinfo
        lowest, highest = limits(x.dtype).min, limits(x.dtype).max
        if limits is jnp.finfo:
            lowest, highest = -jnp.inf, jnp.inf
        start = {"sum": 0, "prod": 1, "mean": 0, "amax": lowest, "amin": highest}[reduce]
        x = x.at[places].set(start)
    if reduce == "prod":
        return x.at[places].multiply(src)
    if reduce == "amax":
        return x.at[places].max(src)
    if reduce == "amin":
        return x.at[places].min(src)
    total = x.at[places].add(src)
    if reduce == "sum":
        return total
    count = jnp.full_like(x, int(include_self)).at[places].add(1)
    count = jnp.maximum(count, 1)
    if jnp.issubdtype(x.dtype, jnp.inexact):
        return total / count
    return total // count


def masked_put(x: Shaped[Array, "..."], mask: Bool[Array, "..."], values: Shaped[Array, "count ..."]) -> Array:
    """torch's `x[mask] = values`: the places where mask holds take the rows of values, in order."""
    row = (jnp.cumsum(mask.ravel()) - 1).reshape(mask.shape)
    chosen = mask.reshape(*mask.shape, *[1] * (x.ndim - mask.ndim))
    return jnp.where(chosen, values[row], x)


def diagonal_scatter(
    x: Shaped[Array, "..."],
    src: Shaped[Array, "..."],
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
) -> Array:
    """torch.diagonal_scatter: x with src on the given diagonal."""
    i = jnp.arange(src.shape[-1])
    rows, columns = i + max(-offset, 0), i + max(offset, 0)
    moved = jnp.moveaxis(x, (axis1, axis2), (-2, -1))
    return jnp.moveaxis(moved.at[..., rows, columns].set(src), (-2, -1), (axis1, axis2))


def diag_embed(x: Shaped[Array, "*batch n"], offset: int = 0, axis1: int = -2, axis2: int = -1) -> Array:
    """torch.diag_embed: matrices with the last axis of x on the given diagonal."""
    n = x.shape[-1] + abs(offset)
    i = jnp.arange(x.shape[-1])
    rows, columns = i + max(-offset, 0), i + max(offset, 0)
    matrices = jnp.zeros((*x.shape[:-1], n, n), x.dtype).at[..., rows, columns].set(x)
    return jnp.moveaxis(matrices, (-2, -1), (axis1, axis2))
