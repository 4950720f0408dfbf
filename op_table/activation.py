"""Activation functions, and softmax, which acts along an axis."""

from __future__ import annotations

import numpy as np

from op_table.dtypes import cast, in_float32, inexact, is_float
from op_table.expr import Expr, RandomKey, jax, jnp, prelude
from op_table.prelude import activation as real
from op_table.prelude import gradients
from op_table.prelude import random as drawing
from op_table.prelude.select import safe_softmax as safe_softmax_
from op_table.registry import lowers

# Activations without parameters, which jax.nn has under another name or the same.
PLAIN = {
    "hardsigmoid": jax.nn.hard_sigmoid,
    "hardswish": jax.nn.hard_swish,
    "log_sigmoid": jax.nn.log_sigmoid,
    "mish": jax.nn.mish,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}


def _plain(function: Expr):
    return lambda x: function(x)


for _name, _function in PLAIN.items():
    lowers(f"aten.{_name}.default")(_plain(_function))


@lowers("aten.relu6.default")
def relu6(x: Expr) -> Expr:
    return jax.nn.relu6(x) if is_float(x.dtype) else jnp.clip(x, 0, 6)


@lowers("aten.sigmoid.default", "aten.special_expit.default")
def sigmoid(x: Expr) -> Expr:
    return jax.nn.sigmoid(inexact(x))


@lowers("aten.gelu.default")
def gelu(x: Expr, *, approximate: str = "none") -> Expr:
    if approximate == "tanh":
        return jax.nn.gelu(x, approximate=True)
    return in_float32(prelude(real.gelu), x)


@lowers("aten.elu.default")
def elu(x: Expr, alpha=1, scale=1, input_scale=1) -> Expr:
    options = {name: value for name, value in {"alpha": alpha, "rate": input_scale}.items() if value != 1}
    y = prelude(gradients.elu)(x, **options)
    return y if scale == 1 else scale * y


@lowers("aten.celu.default")
def celu(x: Expr, alpha=1.0) -> Expr:
    return elu(x, alpha, 1, 1 / alpha)


@lowers("aten.selu.default")
def selu(x: Expr) -> Expr:
    return elu(x, 1.6732632423543772, 1.0507009873554805)


@lowers("aten.leaky_relu.default")
def leaky_relu(x: Expr, negative_slope=0.01) -> Expr:
    return jax.nn.leaky_relu(x) if negative_slope == 0.01 else jax.nn.leaky_relu(x, negative_slope)


@lowers("aten.rrelu.default")
def rrelu(x: Expr, lower=0.125, upper=1 / 3, training: bool = False, generator=None) -> Expr:
    if training:
        return prelude(drawing.randomized_leaky_relu)(x, lower, upper, RandomKey())
    return leaky_relu(x, (lower + upper) / 2)


@lowers("aten.prelu.default")
def prelu(x: Expr, weight: Expr) -> Expr:
    """weight is one slope, or one for each channel (axis 1)."""
    slope = weight
    if weight.ndim and weight.shape[0] != 1 and x.ndim > 2:
        slope = weight[(slice(None), *[None] * (x.ndim - 2))]
    elif weight.ndim and x.ndim == 0:
        slope = weight[0]
    return jnp.where(x > 0, x, slope * x)


@lowers("aten.hardtanh.default")
def hardtanh(x: Expr, min_val=-1, max_val=1) -> Expr:
    if not is_float(x.dtype):
        return jnp.clip(x, int(min_val), int(max_val))
    return jax.nn.hard_tanh(x) if (min_val, max_val) == (-1, 1) else jnp.clip(x, min_val, max_val)


@lowers("aten.softplus.default")
def softplus(x: Expr, beta=1, threshold=20) -> Expr:
    scaled = x if beta == 1 else beta * x
    smooth = jax.nn.softplus(scaled) if beta == 1 else jax.nn.softplus(scaled) / beta
    # Past the threshold torch returns x. At the default one, that is what softplus gives, but in float64.
    alike = threshold >= 20 and x.dtype.itemsize < 8
    return smooth if alike else jnp.where(scaled > threshold, x, smooth)


@lowers("aten.threshold.default")
def threshold(x: Expr, threshold, value) -> Expr:
    return jnp.where(x <= threshold, value, x)


@lowers("aten.hardshrink.default")
def hardshrink(x: Expr, lambd=0.5) -> Expr:
    return jnp.where(jnp.abs(x) <= lambd, 0, x)


@lowers("aten.softshrink.default")
def softshrink(x: Expr, lambd=0.5) -> Expr:
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - lambd, 0)


@lowers("aten.glu.default")
def glu(x: Expr, dim: int = -1) -> Expr:
    return jax.nn.glu(x) if dim in (-1, x.ndim - 1) else jax.nn.glu(x, axis=dim)


def _axis(x: Expr, dim: int) -> dict[str, int]:
    """The axis argument of a softmax, whose default in jax.nn is the last axis."""
    return {} if dim in (-1, x.ndim - 1) or x.ndim == 0 else {"axis": dim}


@lowers("aten.softmax.int", "aten.special_softmax.default")
def softmax(x: Expr, dim: int, dtype=None) -> Expr:
    if x.ndim == 0:
        return jax.nn.softmax(cast(x, dtype)[None])[0]  # 1, or NaN of what is not finite
    return jax.nn.softmax(cast(x, dtype), **_axis(x, dim))


@lowers("aten.log_softmax.int", "aten.special_log_softmax.default")
def log_softmax(x: Expr, dim: int, dtype=None) -> Expr:
    if x.ndim == 0:
        return jax.nn.log_softmax(cast(x, dtype)[None])[0]
    return jax.nn.log_softmax(cast(x, dtype), **_axis(x, dim))


@lowers("aten._softmax.default")
def softmax_half(x: Expr, dim: int, half_to_float: bool) -> Expr:
    return softmax(x, dim, _half(x, half_to_float))


@lowers("aten._log_softmax.default")
def log_softmax_half(x: Expr, dim: int, half_to_float: bool) -> Expr:
    return log_softmax(x, dim, _half(x, half_to_float))


def _half(x: Expr, half_to_float: bool) -> np.dtype | None:
    return np.dtype("float32") if half_to_float else None


@lowers("aten._safe_softmax.default")
def safe_softmax(x: Expr, dim: int, dtype=None) -> Expr:
    return prelude(safe_softmax_)(cast(x, dtype), dim)
