"""Normalisations of channels-last arrays, in float32 where the input is of half precision."""

import math

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


class BatchNormLast(eqx.Module):
    """torch.nn.BatchNorm1d, 2d and 3d with frozen statistics, on float[batch, *size, channels]."""

    weight: Float[Array, " channels"] | None
    bias: Float[Array, " channels"] | None
    running_mean: Float[Array, " channels"]
    running_var: Float[Array, " channels"]
    eps: float = eqx.field(static=True)

    def __init__(self, channels: int, eps: float = 1e-5, affine: bool = True):
        self.weight = jnp.ones(channels) if affine else None
        self.bias = jnp.zeros(channels) if affine else None
        self.running_mean = jnp.zeros(channels)
        self.running_var = jnp.ones(channels)
        self.eps = eps

    def __call__(
        self, x: Float[Array, "batch *size channels"]
    ) -> Float[Array, "batch *size channels"]:
        mean, var = lax.stop_gradient((self.running_mean, self.running_var))
        scale = lax.rsqrt(var + self.eps)
        if self.weight is not None:
            scale = self.weight * scale
        shift = -mean * scale if self.bias is None else self.bias - mean * scale
        return x * scale + shift


def batch_norm_last(
    x: Float[Array, "batch *size channels"],
    mean: Float[Array, " channels"],
    var: Float[Array, " channels"],
    weight: Float[Array, " channels"] | None = None,
    bias: Float[Array, " channels"] | None = None,
    *,
    eps: float,
) -> Float[Array, "batch *size channels"]:
    """torch.nn.functional.batch_norm with given statistics, channels last."""
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    mean, scale = mean.astype(dtype), lax.rsqrt(var.astype(dtype) + eps)
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    return (x * scale + shift).astype(x.dtype)


def batch_norm_training_last(
    x: Float[Array, "batch *size channels"],
    running_mean: Float[Array, " channels"],
    running_var: Float[Array, " channels"],
    weight: Float[Array, " channels"] | None = None,
    bias: Float[Array, " channels"] | None = None,
    *,
    momentum: float,
    eps: float,
) -> tuple[Array, Array, Array]:
    """torch.nn.functional.batch_norm while training, channels last: the output, new statistics.

    x is normalised by its own biased variance; the running one is unbiased.
    """
    over, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    if count == 0:
        return x, running_mean, running_var
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean, var = jnp.mean(y, axis=over), jnp.var(y, axis=over)
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * var * count / (count - 1)
    return batch_norm_last(x, mean, var, weight, bias, eps=eps), new_mean, new_var


def group_norm_last(
    x: Float[Array, "batch *size channels"],
    groups: int,
    weight: Float[Array, " channels"] | None = None,
    bias: Float[Array, " channels"] | None = None,
    *,
    eps: float,
) -> Float[Array, "batch *size channels"]:
    """torch.nn.functional.group_norm, channels last; with one group a channel, instance_norm."""
    batch, *size, channels = x.shape
    y = x.reshape(batch, math.prod(size), groups, channels // groups)
    y = y.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = jnp.mean(y, axis=(1, 3), keepdims=True)
    y = (y - mean) * lax.rsqrt(jnp.var(y, axis=(1, 3), keepdims=True) + eps)
    y = y.reshape(x.shape)
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return y.astype(x.dtype)


def normalise_groups_last(
    layer: eqx.nn.GroupNorm, x: Float[Array, "batch *size channels"]
) -> Float[Array, "batch *size channels"]:
    """A GroupNorm layer on a batch, channels last."""
    return group_norm_last(x, layer.groups, layer.weight, layer.bias, eps=layer.eps)
