"""Functions that draw random numbers."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray


def dropout(x: Float[Array, "..."], p: float, key: PRNGKeyArray) -> Float[Array, "..."]:
    """torch.nn.functional.dropout: elements are zero with probability p, and the others scaled up for it."""
    keep = jax.random.bernoulli(key, 1 - p, x.shape)
    return jnp.where(keep, x / (1 - p), 0) if p < 1 else jnp.zeros_like(x)


def feature_dropout(
    x: Float[Array, "n c ..."], p: float, key: PRNGKeyArray
) -> Float[Array, "n c ..."]:
    """torch.nn.functional.dropout1d, 2d and 3d: whole channels are zero with probability p."""
    keep = jax.random.bernoulli(key, 1 - p, (*x.shape[:2], *(1 for _ in x.shape[2:])))
    return jnp.where(keep, x / (1 - p), 0) if p < 1 else jnp.zeros_like(x)


def alpha_dropout(
    x: Float[Array, "..."], p: float, key: PRNGKeyArray, *, feature: bool = False
) -> Float[Array, "..."]:
    """torch.nn.functional.alpha_dropout, and with feature the one for whole channels: mean and variance stay 0 and 1.

    Source: Klambauer et al., Self-Normalizing Neural Networks, https://arxiv.org/abs/1706.02515
    """
    if p == 1:
        return jnp.zeros_like(x)
    shape = (*x.shape[:2], *(1 for _ in x.shape[2:])) if feature else x.shape
    keep = jax.random.bernoulli(key, 1 - p, shape)
    alpha = -1.7580993408473766  # minus SELU's scale times its alpha
    scale = ((1 - p) * (1 + p * alpha**2)) ** -0.5
    return scale * jnp.where(keep, x, alpha) - scale * alpha * p


def randomized_leaky_relu(
    x: Float[Array, "..."], lower: float, upper: float, key: PRNGKeyArray
) -> Float[Array, "..."]:
    """torch.nn.functional.rrelu in training: the slope below zero is drawn for each element."""
    slope = jax.random.uniform(key, x.shape, x.dtype, lower, upper)
    return jnp.where(x > 0, x, slope * x)


def dropout_with_mask(
    x: Float[Array, "..."], p: float, key: PRNGKeyArray
) -> tuple[Float[Array, "..."], Bool[Array, "..."]]:
    """torch.native_dropout: the result of dropout, and which elements were kept."""
    keep = jax.random.bernoulli(key, 1 - p, x.shape)
    return jnp.where(keep, x / (1 - p), 0) if p < 1 else jnp.zeros_like(x), keep
