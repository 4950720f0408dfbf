"""Normalisations, computed in float32 where the input is of half precision, as torch does."""

import math

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Inexact


def layer_norm(
    x: Float[Array, "..."],
    axes: int,
    weight: Float[Array, "*shape"] | None = None,
    bias: Float[Array, "*shape"] | None = None,
    *,
    eps: float,
) -> Float[Array, "..."]:
    """torch.nn.functional.layer_norm over the last axes."""
    over = tuple(range(-axes, 0))
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = jnp.mean(y, axis=over, keepdims=True)
    y = (y - mean) * lax.rsqrt(jnp.var(y, axis=over, keepdims=True) + eps)
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return y.astype(x.dtype)


def layer_norm_statistics(
    x: Float[Array, "..."], axes: int, *, eps: float
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """The mean and the reciprocal standard deviation that torch.native_layer_norm returns."""
    over = tuple(range(-axes, 0))
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = jnp.mean(y, axis=over, keepdims=True)
    rstd = lax.rsqrt(jnp.var(y, axis=over, keepdims=True) + eps)
    return mean, rstd


def rms_norm(
    x: Inexact[Array, "..."],
    axes: int,
    weight: Inexact[Array, "*shape"] | None = None,
    *,
    eps: float | None = None,
) -> Inexact[Array, "..."]:
    """torch.nn.functional.rms_norm over the last axes; eps defaults to that of the precision."""
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    eps = float(jnp.finfo(y.dtype).eps) if eps is None else eps
    y = y * lax.rsqrt(jnp.mean(y * y, axis=tuple(range(-axes, 0)), keepdims=True) + eps)
    return (y if weight is None else y * weight).astype(x.dtype)


def group_norm(
    x: Float[Array, "batch channels *size"],
    groups: int,
    weight: Float[Array, " channels"] | None = None,
    bias: Float[Array, " channels"] | None = None,
    *,
    eps: float,
) -> Float[Array, "batch channels *size"]:
    """torch.nn.functional.group_norm; with one group a channel, instance_norm."""
    batch, channels, *size = x.shape
    y = x.reshape(batch, groups, channels // groups * math.prod(size))
    y = y.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = jnp.mean(y, axis=-1, keepdims=True)
    y = (y - mean) * lax.rsqrt(jnp.var(y, axis=-1, keepdims=True) + eps)
    y = y.reshape(x.shape)
    per_channel = (-1,) + (1,) * len(size)
    if weight is not None:
        y = y * weight.reshape(per_channel)
    if bias is not None:
        y = y + bias.reshape(per_channel)
    return y.astype(x.dtype)


def batch_norm(
    x: Float[Array, "batch channels *size"],
    mean: Float[Array, " channels"],
    var: Float[Array, " channels"],
    weight: Float[Array, " channels"] | None = None,
    bias: Float[Array, " channels"] | None = None,
    *,
    eps: float,
) -> Float[Array, "batch channels *size"]:
    """torch.nn.functional.batch_norm with given statistics."""
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    mean, scale = mean.astype(dtype), lax.rsqrt(var.astype(dtype) + eps)
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    per_channel = (-1,) + (1,) * (x.ndim - 2)
    return (x * scale.reshape(per_channel) + shift.reshape(per_channel)).astype(x.dtype)


def batch_norm_training(
    x: Float[Array, "batch channels *size"],
    running_mean: Float[Array, " channels"],
    running_var: Float[Array, " channels"],
    weight: Float[Array, " channels"] | None = None,
    bias: Float[Array, " channels"] | None = None,
    *,
    momentum: float,
    eps: float,
) -> tuple[Array, Array, Array]:
    """torch.nn.functional.batch_norm while training: the output, and the new running statistics.

    x is normalised by its own biased variance; the running one is unbiased.
    """
    over, count = (0, *range(2, x.ndim)), x.size // x.shape[1]
    if count == 0:
        return x, running_mean, running_var
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean, var = jnp.mean(y, axis=over), jnp.var(y, axis=over)
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * var * count / (count - 1)
    return batch_norm(x, mean, var, weight, bias, eps=eps), new_mean, new_var


def native_batch_norm(
    x: Float[Array, "batch channels *size"], *arrays: Array | None, momentum: float, eps: float
) -> tuple[Array, Array, Array, Array, Array]:
    """torch's batch_norm_training with the batch's mean and reciprocal standard deviation after the output."""
    y, new_mean, new_var = batch_norm_training(x, *arrays, momentum=momentum, eps=eps)
    over = (0, *range(2, x.ndim))
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean, scale = jnp.mean(wide, axis=over), lax.rsqrt(jnp.var(wide, axis=over) + eps)
    return y, mean.astype(x.dtype), scale.astype(x.dtype), new_mean, new_var


def group_norm_statistics(
    x: Float[Array, "batch channels *size"], groups: int, *, eps: float
) -> tuple[Float[Array, "batch groups"], Float[Array, "batch groups"]]:
    """The mean and the reciprocal standard deviation that torch.native_group_norm returns."""
    y = x.reshape(x.shape[0], groups, math.prod(x.shape[1:]) // groups)
    mean = jnp.mean(y, axis=-1, dtype=jnp.promote_types(x.dtype, jnp.float32))
    var = jnp.var(y, axis=-1, dtype=jnp.promote_types(x.dtype, jnp.float32))
    return mean.astype(x.dtype), lax.rsqrt(var + eps).astype(x.dtype)


def weight_norm(
    v: Float[Array, "..."], g: Float[Array, "..."], axis: int | None = 0
) -> Float[Array, "..."]:
    """torch._weight_norm: v scaled until each slice along axis (or all of v) has the norm in g."""
    over = tuple(a for a in range(v.ndim) if a != axis)
    return v * (g / jnp.sqrt(jnp.sum(v * v, axis=over, keepdims=True)))
