"""Forms of layers: linear, normalisations, activations, losses, embeddings, pooling, recurrent networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F
from jax import Array, lax

from benchmarks.lowerings.timing import Case, integers, normal, weights
from op_table.prelude import activation, loss, normalisation, recurrent
from op_table.prelude.batched import batched

BATCH = 8


def _linear(weight: Array, bias: Array) -> eqx.nn.Linear:
    layer = eqx.filter_eval_shape(eqx.nn.Linear, *weight.shape[::-1], key=jax.random.key(0))
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, bias))


def linear(features: int, out: int, tokens: int) -> Case:
    return Case(
        "linear",
        f"{BATCH} x {tokens} x {features} to {out}",
        (normal(BATCH, tokens, features), weights(out, features), normal(out)),
        {
            "flattened": lambda x, weight, bias: batched(_linear(weight, bias))(x),
            "direct": lambda x, weight, bias: x @ weight.T + bias,
            "nested_vmap": lambda x, weight, bias: jax.vmap(jax.vmap(_linear(weight, bias)))(x),
            "from_left": lambda x, weight, bias: jnp.einsum("oi,bti->bto", weight, x) + bias,
        },
        F.linear,
    )


def _layer_norm(weight: Array, bias: Array) -> eqx.nn.LayerNorm:
    layer = eqx.nn.LayerNorm(len(weight))
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, bias))


def layer_norm(features: int, tokens: int) -> Case:
    def centred(x: Array, weight: Array, bias: Array) -> Array:
        """The variance from what is centred already."""
        x = x - jnp.mean(x, axis=-1, keepdims=True)
        return x * lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-5) * weight + bias

    def by_product(x: Array, weight: Array, bias: Array) -> Array:
        """Means as matrix products, which XLA computes on all threads."""
        mean = jnp.full((x.shape[-1], 1), 1 / x.shape[-1], x.dtype)
        x = x - x @ mean
        return x * lax.rsqrt((x * x) @ mean + 1e-5) * weight + bias

    return Case(
        "layer_norm",
        f"{BATCH} x {tokens} x {features}",
        (normal(BATCH, tokens, features), normal(features), normal(features, seed=1)),
        {
            "vmapped": lambda x, weight, bias: batched(_layer_norm(weight, bias))(x),
            "direct": lambda x, weight, bias: normalisation.layer_norm(x, 1, weight, bias, eps=1e-5),
            "centred": centred,
            "by_product": by_product,
        },
        lambda x, weight, bias: F.layer_norm(x, weight.shape, weight, bias),
    )


def rms_norm(features: int, tokens: int) -> Case:
    def vmapped(x: Array, weight: Array) -> Array:
        layer = eqx.nn.RMSNorm(len(weight), eps=1e-6, use_bias=False)
        return batched(eqx.tree_at(lambda layer: layer.weight, layer, weight))(x)

    return Case(
        "rms_norm",
        f"{BATCH} x {tokens} x {features}",
        (normal(BATCH, tokens, features), normal(features)),
        {"vmapped": vmapped, "direct": lambda x, weight: normalisation.rms_norm(x, 1, weight, eps=1e-6)},
        lambda x, weight: F.rms_norm(x, weight.shape, weight, 1e-6),
    )


def group_norm(channels: int, size: int, groups: int) -> Case:
    def vmapped(x: Array, weight: Array, bias: Array) -> Array:
        layer = eqx.nn.GroupNorm(groups, channels, eps=1e-5)
        layer = eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, bias))
        return jax.vmap(layer)(x)

    def centred(x: Array, weight: Array, bias: Array) -> Array:
        """The centred values, once, and one scale for each example and channel."""
        y = x.reshape(len(x), groups, -1)
        y = y - jnp.mean(y, axis=-1, keepdims=True)
        rstd = lax.rsqrt(jnp.mean(y * y, axis=-1) + 1e-5)
        scale = jnp.repeat(rstd, channels // groups, axis=1) * weight
        return y.reshape(x.shape) * scale[..., None, None] + bias[:, None, None]

    return Case(
        "group_norm",
        f"{BATCH} x {channels} x {size} x {size}, {groups} groups",
        (normal(BATCH, channels, size, size), normal(channels), normal(channels, seed=1)),
        {
            "vmapped": vmapped,
            "direct": lambda x, weight, bias: normalisation.group_norm(x, groups, weight, bias, eps=1e-5),
            "centred": centred,
        },
        lambda x, weight, bias: F.group_norm(x, groups, weight, bias),
    )


def batch_norm_training(channels: int, size: int) -> Case:
    zeros, ones = jnp.zeros(channels), jnp.ones(channels)

    def emitted(x: Array, weight: Array, bias: Array) -> Array:
        return normalisation.batch_norm_training(x, zeros, ones, weight, bias, momentum=0.1, eps=1e-5)[0]

    def centred(x: Array, weight: Array, bias: Array) -> Array:
        """The centred values, once."""
        x = x - jnp.mean(x, axis=(0, 2, 3), keepdims=True)
        scale = lax.rsqrt(jnp.mean(x * x, axis=(0, 2, 3)) + 1e-5) * weight
        return x * scale[:, None, None] + bias[:, None, None]

    return Case(
        "batch_norm, training",
        f"{BATCH} x {channels} x {size} x {size}",
        (normal(BATCH, channels, size, size), normal(channels), normal(channels, seed=1)),
        {f.__name__: f for f in (emitted, centred)},
        lambda x, weight, bias: F.batch_norm(x, None, None, weight, bias, training=True),
        1e-3,
    )


def batch_norm_folded(channels: int, size: int) -> Case:
    """A convolution and a batch norm in evaluation."""

    def convolve(x: Array, weight: Array) -> Array:
        return lax.conv_general_dilated(x, weight, (1, 1), ((1, 1), (1, 1)))

    def scaled(x: Array, weight: Array, scale: Array, shift: Array) -> Array:
        return convolve(x, weight) * scale[:, None, None] + shift[:, None, None]

    def folded(x: Array, weight: Array, scale: Array, shift: Array) -> Array:
        return convolve(x, weight * scale[:, None, None, None]) + shift[:, None, None]

    return Case(
        "convolution and batch_norm",
        f"{BATCH} x {channels} x {size} x {size}",
        (
            normal(BATCH, channels, size, size),
            weights(channels, channels, 3, 3),
            normal(channels),
            normal(channels, seed=1),
        ),
        {"scaled": scaled, "folded": folded},
    )


def gelu(features: int, tokens: int) -> Case:
    return Case(
        "gelu",
        f"{BATCH} x {tokens} x {features}",
        (normal(BATCH, tokens, features),),
        {"erf": activation.gelu, "erfc": partial(jax.nn.gelu, approximate=False)},
        F.gelu,
    )


def softmax(features: int, rows: int) -> Case:
    def late(x: Array) -> Array:
        powers = jnp.exp(x - lax.stop_gradient(jnp.max(x, axis=-1, keepdims=True)))
        return powers * (1 / jnp.sum(powers, axis=-1, keepdims=True))

    return Case(
        "softmax",
        f"{rows} x {features}",
        (normal(rows, features),),
        {"emitted": jax.nn.softmax, "reciprocal": late},
        partial(F.softmax, dim=-1),
    )


def cross_entropy(rows: int, classes: int) -> Case:
    def picked(x: Array, target: Array) -> Array:
        """The logarithm of the softmax at the targets alone."""
        kept = target != -100
        most = lax.stop_gradient(jnp.max(x, axis=1))
        totals = jnp.log(jnp.sum(jnp.exp(x - most[:, None]), axis=1))
        at_target = jnp.take_along_axis(x, jnp.where(kept, target, 0)[:, None], axis=1)[:, 0]
        return jnp.sum(jnp.where(kept, totals - (at_target - most), 0)) / jnp.sum(kept)

    def by_comparison(x: Array, target: Array) -> Array:
        kept = target != -100
        hit = jnp.arange(x.shape[1]) == jnp.where(kept, target, 0)[:, None]
        losses = jax.nn.logsumexp(x, axis=1) - jnp.sum(jnp.where(hit, x, 0), axis=1)
        return jnp.sum(jnp.where(kept, losses, 0)) / jnp.sum(kept)

    return Case(
        "cross_entropy",
        f"{rows} x {classes}",
        (normal(rows, classes), integers(classes, rows)),
        {"emitted": loss.cross_entropy, "picked": picked, "comparison": by_comparison},
        F.cross_entropy,
    )


def embedding(vocabulary: int, features: int, tokens: int) -> Case:
    def vmapped(weight: Array, indices: Array) -> Array:
        return batched(eqx.nn.Embedding(weight=weight), 0)(indices)

    def indexed(weight: Array, indices: Array) -> Array:
        return weight[indices]

    def clipped(weight: Array, indices: Array) -> Array:
        return jnp.take(weight, indices, axis=0, mode="clip")

    def one_hot(weight: Array, indices: Array) -> Array:
        return jax.nn.one_hot(indices, len(weight)) @ weight

    return Case(
        "embedding",
        f"{BATCH} x {tokens} of {vocabulary} x {features}",
        (normal(vocabulary, features), integers(vocabulary, BATCH, tokens)),
        {f.__name__: f for f in (vmapped, indexed, clipped) + (one_hot,) * (vocabulary < 1000)},
        lambda weight, indices: F.embedding(indices, weight),
    )


def _unrolled(cell: Callable, x: Array, state: tuple[Array, ...], arrays: Sequence[Array], unroll: int) -> Array:
    weight_ih, weight_hh, bias_ih, bias_hh = arrays
    inputs = x @ weight_ih.T + bias_ih
    one = lambda state, now: (new := cell(now, state[0] @ weight_hh.T + bias_hh, state), new[0])
    return lax.scan(one, state, inputs, unroll=unroll)[1]


def recurrent_network(kind: str, features: int, hidden: int, steps: int) -> Case:
    count, states, cell, call = {
        "lstm": (4, 2, recurrent.lstm_cell, recurrent.lstm),
        "gru": (3, 1, recurrent.gru_cell, recurrent.gru),
    }[kind]
    arrays = (
        weights(count * hidden, features),
        weights(count * hidden, hidden),
        normal(count * hidden),
        normal(count * hidden),
    )

    def start() -> tuple[Array, ...]:
        return (jnp.zeros((BATCH, hidden)),) * states

    def emitted(x: Array, *arrays: Array) -> Array:
        state = tuple(s[None] for s in start())
        return call(x, state if states > 1 else state[0], [arrays])[0]

    def inside(x: Array, weight_ih: Array, weight_hh: Array, bias_ih: Array, bias_hh: Array) -> Array:
        """The inputs' product in each step."""

        def one(state: tuple[Array, ...], now: Array) -> tuple:
            new = cell(now @ weight_ih.T + bias_ih, state[0] @ weight_hh.T + bias_hh, state)
            return new, new[0]

        return lax.scan(one, start(), x)[1]

    def unrolled(x: Array, *arrays: Array, unroll: int) -> Array:
        """weight_hh transposed in the loop, or wherever XLA takes it."""
        return _unrolled(cell, x, start(), arrays, unroll)

    def reference(x: torch.Tensor, *arrays: torch.Tensor) -> torch.Tensor:
        zeros = torch.zeros(1, BATCH, hidden)
        state = (zeros, zeros) if states > 1 else zeros
        return getattr(torch, kind)(x, state, list(arrays), True, 1, 0.0, torch.is_grad_enabled(), False, False)[0]

    forms = {f.__name__: f for f in (emitted, inside)}
    forms |= {f"unroll={n}": partial(unrolled, unroll=n) for n in (1, 2, 4)}
    size = f"{steps} x {BATCH} x {features} to {hidden}"
    return Case(kind, size, (normal(steps, BATCH, features), *arrays), forms, reference, 1e-3)


def cases() -> Iterator[Case]:
    yield linear(768, 768, 128)
    yield linear(768, 3072, 128)
    yield linear(64, 10, 32)
    yield layer_norm(768, 128)
    yield layer_norm(384, 64)
    yield layer_norm(96, 3136)
    yield rms_norm(768, 128)
    yield group_norm(128, 32, 32)
    yield group_norm(320, 16, 32)
    yield batch_norm_training(64, 56)
    yield batch_norm_training(512, 7)
    yield batch_norm_folded(64, 56)
    yield batch_norm_folded(256, 14)
    yield gelu(3072, 128)
    yield gelu(1536, 64)
    yield softmax(128, 12288)
    yield softmax(1000, 256)
    yield cross_entropy(1024, 30522)
    yield cross_entropy(256, 1000)
    yield embedding(30522, 768, 128)
    yield embedding(100, 64, 64)
    yield recurrent_network("lstm", 64, 128, 100)
    yield recurrent_network("lstm", 512, 512, 32)
    yield recurrent_network("gru", 64, 128, 100)
    yield recurrent_network("gru", 256, 256, 50)
