"""Batch normalisation in evaluation mode, as a layer."""

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


class BatchNorm(eqx.Module):
    """torch.nn.BatchNorm1d, 2d and 3d with frozen statistics, on float[batch, channels, *size]."""

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
        self, x: Float[Array, "batch channels *size"]
    ) -> Float[Array, "batch channels *size"]:
        mean, var = lax.stop_gradient((self.running_mean, self.running_var))
        scale = lax.rsqrt(var + self.eps)
        if self.weight is not None:
            scale = self.weight * scale
        shift = -mean * scale if self.bias is None else self.bias - mean * scale
        per_channel = (-1,) + (1,) * (x.ndim - 2)
        return x * scale.reshape(per_channel) + shift.reshape(per_channel)
