"""Norms and distances, with gradients of 0 where torch's are 0 and a plain square root has none."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from op_table.prelude.norms import vector_norm


def p_norm(x: Float[Array, "..."], p: float, keepdims: bool = False) -> Float[Array, "..."]:
    """The p-norm over the last axis."""
    x = jnp.abs(x)
    if p == jnp.inf:
        return jnp.max(x, axis=-1, keepdims=keepdims, initial=0)
    if p == 0:
        return jnp.sum(x != 0, axis=-1, keepdims=keepdims).astype(x.dtype)
    if p == 1:
        return jnp.sum(x, axis=-1, keepdims=keepdims)
    total = jnp.sum(x**p, axis=-1, keepdims=keepdims)
    return jnp.where(total > 0, jnp.where(total > 0, total, 1) ** (1 / p), total)


def pairwise_distance(
    x1: Float[Array, "..."],
    x2: Float[Array, "..."],
    *,
    p: float = 2.0,
    eps: float = 1e-6,
    keepdims: bool = False,
) -> Float[Array, "..."]:
    """torch.nn.functional.pairwise_distance."""
    return p_norm(x1 - x2 + eps, p, keepdims)


def euclidean_distance(
    x1: Float[Array, "*b rows size"], x2: Float[Array, "*b columns size"]
) -> Float[Array, "*b rows columns"]:
    """The distance of every row of x1 to every row of x2, by a matrix product: not exact for rows close together."""
    product = jnp.matmul(x1, x2.mT, precision=lax.Precision.HIGHEST)
    squares = jnp.sum(x1 * x1, axis=-1)[..., :, None] + jnp.sum(x2 * x2, axis=-1)[..., None, :]
    squares = jnp.maximum(squares - 2 * product, 0)
    return jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), squares)


def difference_norm(
    x1: Float[Array, "*b rows size"], x2: Float[Array, "*b columns size"], p: float = 2.0
) -> Float[Array, "*b rows columns"]:
    """The p-norm of every row of x1 less every row of x2."""
    return p_norm(x1[..., :, None, :] - x2[..., None, :, :], p)


def cdist(
    x1: Float[Array, "*b rows size"], x2: Float[Array, "*b columns size"]
) -> Float[Array, "*b rows columns"]:
    """torch.cdist with a norm of 2, which takes a matrix product for more than 25 rows."""
    many = max(x1.shape[-2], x2.shape[-2]) > 25
    return euclidean_distance(x1, x2) if many else difference_norm(x1, x2)


def pdist(x: Float[Array, "rows size"], p: float = 2.0) -> Float[Array, " pairs"]:
    """torch.pdist: the distance of each row to each after it."""
    first, second = jnp.triu_indices(len(x), 1)
    return p_norm(x[first] - x[second], p)


def cosine_similarity(
    x1: Float[Array, "..."], x2: Float[Array, "..."], *, axis: int = 1, eps: float = 1e-8
) -> Float[Array, "..."]:
    """torch.nn.functional.cosine_similarity: each norm is at least eps."""
    x1, x2 = (jnp.moveaxis(x, axis, -1) for x in jnp.broadcast_arrays(x1, x2))
    x1, x2 = (x / jnp.maximum(p_norm(x, 2, keepdims=True), eps) for x in (x1, x2))
    return jnp.sum(x1 * x2, axis=-1)


def cosine_embedding(
    x1: Float[Array, "..."], x2: Float[Array, "..."], target: Int[Array, "..."], margin: float = 0.0
) -> Float[Array, "..."]:
    """torch.nn.functional.cosine_embedding_loss(reduction="none")."""
    tiny = 1e-12
    product = jnp.sum(x1 * x2, axis=-1)
    cosine = product / jnp.sqrt(
        (jnp.sum(x1 * x1, axis=-1) + tiny) * (jnp.sum(x2 * x2, axis=-1) + tiny)
    )
    together = jnp.where(target == 1, 1 - cosine, 0)
    return together + jnp.where(target == -1, jnp.maximum(cosine - margin, 0), 0)


def renorm(x: Float[Array, "..."], p: float, axis: int, maxnorm: float) -> Float[Array, "..."]:
    """torch.renorm: slices along axis scaled down to a p-norm of maxnorm."""
    rows = jnp.moveaxis(x, axis, 0)
    norm = vector_norm(rows.reshape(len(rows), -1), p, axis=1)
    scale = jnp.where(norm > maxnorm, maxnorm / (norm + 1e-7), 1)
    return x * scale.reshape([-1 if a == axis else 1 for a in range(x.ndim)])
