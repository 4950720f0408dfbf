"""T5ForConditionalGeneration, translated from transformers.models.t5.modeling_t5.T5ForConditionalGeneration (evaluation mode).

input_ids: int64[batch, seq], attention_mask: int64[batch, seq], decoder_input_ids: int64[batch,
seq_2]
    ->  logits: float32[batch, seq_2, 99], past_key_values: self_attention_cache: layers:
        (keys: float32[batch, 4, seq_2, 8], values: float32[batch, 4, seq_2, 8], keys:
        float32[batch, 4, seq_2, 8], values: float32[batch, 4, seq_2, 8]),
        cross_attention_cache: layers: (keys: float32[batch, 4, seq, 8], values:
        float32[batch, 4, seq, 8], keys: float32[batch, 4, seq, 8], values: float32[batch, 4,
        seq, 8]), encoder_last_hidden_state: float32[batch, seq, 32]

    model = load("model.safetensors")
    outputs = eqx.filter_jit(model)(input_ids, attention_mask, decoder_input_ids)
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped
from safetensors.numpy import load_file


def batched(layer: Callable[[Array], Array], event_ndim: int = 1) -> Callable[[Array], Array]:
    """Lift an eqx.nn layer, which takes one example of event_ndim axes, over all leading axes."""

    def apply(x: Array) -> Array:
        leading, event = x.shape[: x.ndim - event_ndim], x.shape[x.ndim - event_ndim :]
        y = jax.vmap(layer)(x.reshape(math.prod(leading), *event))
        return y.reshape(*leading, *y.shape[1:])

    return apply


def exact_divide(x: Shaped[Array, "..."], y: Shaped[Array, "..."] | float) -> Shaped[Array, "..."]:
    """x / y, where the quotient is then rounded to a whole number, or compared.

    XLA multiplies by the reciprocal of a constant, a root or what broadcasts, and 41 * (1 / 41) is less than 1.
    """
    shape = jnp.broadcast_shapes(jnp.shape(x), jnp.shape(y))
    dtype = jnp.result_type(x, y, 1.0)
    x, y = (jnp.broadcast_to(jnp.asarray(part, dtype), shape or (1,)) for part in (x, y))
    x, y = lax.optimization_barrier((x, y))
    return (x / y).reshape(shape)


def scaled_dot_product_attention(
    query: Float[Array, "*batch q d"],
    key: Float[Array, "*batch k d"],
    value: Float[Array, "*batch k v"],
    mask: Array | None = None,
    *,
    scale: float | None = None,
) -> Float[Array, "*batch q v"]:
    """torch's: mask is True where a query may attend, or is added. Attending nowhere gives 0."""
    precision = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("...qd,...kd->...qk", query, key, preferred_element_type=precision)
    scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask
    most = jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True, initial=-jnp.inf))
    weights = jnp.exp(scores - jnp.where(most == -jnp.inf, 0, most))
    weights, total = weights.astype(value.dtype), jnp.sum(weights, axis=-1, keepdims=True)
    y = jnp.einsum("...qk,...kv->...qv", weights, value, preferred_element_type=precision)
    return (y / jnp.where(total == 0, 1, total)).astype(value.dtype)


class DynamicLayer(NamedTuple):
    """transformers.cache_utils.DynamicLayer."""

    keys: Float[Array, "batch 4 seq_2 8"]
    values: Float[Array, "batch 4 seq_2 8"]


class DynamicCache(NamedTuple):
    """transformers.cache_utils.DynamicCache."""

    layers: list[DynamicLayer]


class EncoderDecoderCache(NamedTuple):
    """transformers.cache_utils.EncoderDecoderCache."""

    self_attention_cache: DynamicCache
    cross_attention_cache: DynamicCache


class Seq2SeqLMOutput(NamedTuple):
    """transformers.modeling_outputs.Seq2SeqLMOutput."""

    logits: Float[Array, "batch seq_2 99"]
    past_key_values: EncoderDecoderCache
    encoder_last_hidden_state: Float[Array, "batch seq 32"]


class T5EncoderAttention(eqx.Module):
    """encoder.block.*.layer.*.SelfAttention (x2)."""

    q: eqx.nn.Linear
    k: eqx.nn.Linear
    v: eqx.nn.Linear
    o: eqx.nn.Linear
    relative_attention_bias: eqx.nn.Embedding | None

    def __init__(self, has_relative_attention_bias: bool = False, *, key: PRNGKeyArray):
        k1, k2, k3, k4, k5 = jax.random.split(key, 5)
        self.q = eqx.nn.Linear(32, 32, use_bias=False, key=k1)
        self.k = eqx.nn.Linear(32, 32, use_bias=False, key=k2)
        self.v = eqx.nn.Linear(32, 32, use_bias=False, key=k3)
        self.o = eqx.nn.Linear(32, 32, use_bias=False, key=k4)
        self.relative_attention_bias = None
        if has_relative_attention_bias:
            self.relative_attention_bias = eqx.nn.Embedding(32, 4, key=k5)

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq 32"],
        mask: Bool[Array, "batch 1 seq seq"],
        position_bias: Float[Array, "4 seq seq"] | None = None,
    ) -> tuple[Float[Array, "batch seq 32"], Float[Array, "4 seq seq"]]:
        batch, seq, _ = hidden_states.shape
        query_states = batched(self.q)(hidden_states).reshape(batch, seq, -1, 8).swapaxes(1, 2)
        key_states = batched(self.k)(hidden_states).reshape(batch, seq, -1, 8).swapaxes(1, 2)
        value_states = batched(self.v)(hidden_states).reshape(batch, seq, -1, 8).swapaxes(1, 2)
        if self.relative_attention_bias is not None:
            context_position = jnp.arange(seq)
            relative_position = context_position - context_position[:, None]
            relative_position_2 = jnp.abs(relative_position)
            is_small = relative_position_2 < 8
            logarithm = jnp.log(relative_position_2.astype(jnp.float32) / 8)
            relative_position_if_large = (exact_divide(logarithm, 2.772588722239781) * 8).astype(
                int
            ) + 8
            relative_position_if_large = jnp.minimum(relative_position_if_large, 15)
            chosen = jnp.where(is_small, relative_position_2, relative_position_if_large)
            relative_buckets = (relative_position > 0).astype(int) * 16 + chosen
            position_bias = batched(self.relative_attention_bias, 0)(relative_buckets).transpose(
                2, 0, 1
            )
        elif position_bias is None:
            raise ValueError("position_bias is needed where there is no relative_attention_bias")
        position_bias_mask = jnp.where(mask, position_bias, jnp.finfo(jnp.float32).min)
        attn_output = scaled_dot_product_attention(
            query_states, key_states, value_states, position_bias_mask, scale=1.0
        )
        return batched(self.o)(attn_output.swapaxes(1, 2).reshape(batch, seq, -1)), position_bias


class T5LayerNorm(eqx.Module):
    """decoder.block.*.layer.*.layer_norm, decoder.final_layer_norm and 2 more (x12)."""

    weight: Float[Array, "32"]

    def __init__(self):
        self.weight = jnp.ones(32)

    def __call__(self, hidden_states: Float[Array, "batch _ 32"]) -> Float[Array, "batch _ 32"]:
        scale = lax.rsqrt(jnp.mean(hidden_states**2, axis=-1, keepdims=True) + 1e-06)
        return self.weight * (hidden_states * scale)


class T5EncoderLayerSelfAttention(eqx.Module):
    """encoder.block.*.layer.* (x2)."""

    SelfAttention: T5EncoderAttention
    layer_norm: T5LayerNorm

    def __init__(self, has_relative_attention_bias: bool = False, *, key: PRNGKeyArray):
        self.SelfAttention = T5EncoderAttention(
            has_relative_attention_bias=has_relative_attention_bias, key=key
        )
        self.layer_norm = T5LayerNorm()

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq 32"],
        attention_mask: Bool[Array, "batch 1 seq seq"],
        position_bias: Float[Array, "4 seq seq"] | None = None,
    ) -> tuple[Float[Array, "batch seq 32"], Float[Array, "4 seq seq"]]:
        normed_hidden_states = self.layer_norm(hidden_states)
        attention_output, position_bias = self.SelfAttention(
            normed_hidden_states, attention_mask, position_bias
        )
        return hidden_states + attention_output, position_bias


class T5DenseActDense(eqx.Module):
    """decoder.block.*.layer.*.DenseReluDense, encoder.block.*.layer.*.DenseReluDense (x4)."""

    wi: eqx.nn.Linear
    wo: eqx.nn.Linear

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.wi = eqx.nn.Linear(32, 48, use_bias=False, key=k1)
        self.wo = eqx.nn.Linear(48, 32, use_bias=False, key=k2)

    def __call__(self, hidden_states: Float[Array, "batch _ 32"]) -> Float[Array, "batch _ 32"]:
        return batched(self.wo)(jax.nn.relu(batched(self.wi)(hidden_states)))


class T5LayerFF(eqx.Module):
    """decoder.block.*.layer.*, encoder.block.*.layer.* (x4)."""

    DenseReluDense: T5DenseActDense
    layer_norm: T5LayerNorm

    def __init__(self, *, key: PRNGKeyArray):
        self.DenseReluDense = T5DenseActDense(key=key)
        self.layer_norm = T5LayerNorm()

    def __call__(self, hidden_states: Float[Array, "batch _ 32"]) -> Float[Array, "batch _ 32"]:
        return hidden_states + self.DenseReluDense(self.layer_norm(hidden_states))


class T5EncoderBlock(eqx.Module):
    """encoder.block.* (x2)."""

    layer: tuple[T5EncoderLayerSelfAttention, T5LayerFF]

    def __init__(self, has_relative_attention_bias: bool = False, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.layer = (
            T5EncoderLayerSelfAttention(
                has_relative_attention_bias=has_relative_attention_bias, key=k1
            ),
            T5LayerFF(key=k2),
        )

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq 32"],
        attention_mask: Bool[Array, "batch 1 seq seq"],
        position_bias: Float[Array, "4 seq seq"] | None = None,
    ) -> tuple[Float[Array, "batch seq 32"], Float[Array, "4 seq seq"]]:
        hidden_states, position_bias = self.layer[0](hidden_states, attention_mask, position_bias)
        return self.layer[1](hidden_states), position_bias


class T5EncoderStack(eqx.Module):
    """encoder."""

    block: tuple[T5EncoderBlock, ...]
    final_layer_norm: T5LayerNorm

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.block = (
            T5EncoderBlock(has_relative_attention_bias=True, key=k1),
            T5EncoderBlock(key=k2),
        )
        self.final_layer_norm = T5LayerNorm()

    def __call__(
        self,
        input_ids: Int[Array, "batch seq"],
        attention_mask: Int[Array, "batch seq"],
        weight: Float[Array, "99 32"],
    ) -> Float[Array, "batch seq 32"]:
        batch, seq = input_ids.shape
        attention_mask = attention_mask.astype(bool)[:, None, None]
        attention_mask = jnp.broadcast_to(attention_mask, (batch, 1, seq, seq))
        hidden_states = weight[input_ids]
        position_bias = None
        for layer_module in self.block:
            hidden_states, position_bias = layer_module(
                hidden_states, attention_mask, position_bias
            )
        return self.final_layer_norm(hidden_states)


class T5DecoderSelfAttention(eqx.Module):
    """decoder.block.*.layer.*.SelfAttention (x2)."""

    q: eqx.nn.Linear
    k: eqx.nn.Linear
    v: eqx.nn.Linear
    o: eqx.nn.Linear
    relative_attention_bias: eqx.nn.Embedding | None

    def __init__(self, has_relative_attention_bias: bool = False, *, key: PRNGKeyArray):
        k1, k2, k3, k4, k5 = jax.random.split(key, 5)
        self.q = eqx.nn.Linear(32, 32, use_bias=False, key=k1)
        self.k = eqx.nn.Linear(32, 32, use_bias=False, key=k2)
        self.v = eqx.nn.Linear(32, 32, use_bias=False, key=k3)
        self.o = eqx.nn.Linear(32, 32, use_bias=False, key=k4)
        self.relative_attention_bias = None
        if has_relative_attention_bias:
            self.relative_attention_bias = eqx.nn.Embedding(32, 4, key=k5)

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq_2 32"],
        mask: Bool[Array, "batch 1 seq_2 seq_2"],
        position_bias: Float[Array, "4 seq_2 seq_2"] | None = None,
    ) -> tuple[
        Float[Array, "batch seq_2 32"],
        Float[Array, "4 seq_2 seq_2"],
        Float[Array, "batch 4 seq_2 8"],
        Float[Array, "batch 4 seq_2 8"],
    ]:
        batch, seq_2, _ = hidden_states.shape
        query_states = batched(self.q)(hidden_states).reshape(batch, seq_2, -1, 8).swapaxes(1, 2)
        key_states = batched(self.k)(hidden_states).reshape(batch, seq_2, -1, 8).swapaxes(1, 2)
        value_states = batched(self.v)(hidden_states).reshape(batch, seq_2, -1, 8).swapaxes(1, 2)
        if self.relative_attention_bias is not None:
            context_position = jnp.arange(seq_2)
            relative_position = -jnp.minimum(context_position - context_position[:, None], 0)
            is_small = relative_position < 16
            logarithm = jnp.log(relative_position.astype(jnp.float32) / 16)
            relative_buckets = (exact_divide(logarithm, 2.0794415416798357) * 16).astype(int)
            relative_buckets = jnp.where(
                is_small, relative_position, jnp.minimum(relative_buckets + 16, 31)
            )
            position_bias = batched(self.relative_attention_bias, 0)(relative_buckets).transpose(
                2, 0, 1
            )
        elif position_bias is None:
            raise ValueError("position_bias is needed where there is no relative_attention_bias")
        position_bias_mask = jnp.where(mask, position_bias, jnp.finfo(jnp.float32).min)
        attn_output = scaled_dot_product_attention(
            query_states, key_states, value_states, position_bias_mask, scale=1.0
        )
        attn_output = batched(self.o)(attn_output.swapaxes(1, 2).reshape(batch, seq_2, -1))
        return attn_output, position_bias, key_states, value_states


class T5DecoderLayerSelfAttention(eqx.Module):
    """decoder.block.*.layer.* (x2)."""

    SelfAttention: T5DecoderSelfAttention
    layer_norm: T5LayerNorm

    def __init__(self, has_relative_attention_bias: bool = False, *, key: PRNGKeyArray):
        self.SelfAttention = T5DecoderSelfAttention(
            has_relative_attention_bias=has_relative_attention_bias, key=key
        )
        self.layer_norm = T5LayerNorm()

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq_2 32"],
        attention_mask: Bool[Array, "batch 1 seq_2 seq_2"],
        position_bias: Float[Array, "4 seq_2 seq_2"] | None = None,
    ) -> tuple[
        Float[Array, "batch seq_2 32"],
        Float[Array, "4 seq_2 seq_2"],
        Float[Array, "batch 4 seq_2 8"],
        Float[Array, "batch 4 seq_2 8"],
    ]:
        normed_hidden_states = self.layer_norm(hidden_states)
        attention_output, position_bias, key_states, value_states = self.SelfAttention(
            normed_hidden_states, attention_mask, position_bias
        )
        return hidden_states + attention_output, position_bias, key_states, value_states


class T5EncDecAttention(eqx.Module):
    """decoder.block.*.layer.*.EncDecAttention (x2)."""

    q: eqx.nn.Linear
    k: eqx.nn.Linear
    v: eqx.nn.Linear
    o: eqx.nn.Linear

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2, k3, k4 = jax.random.split(key, 4)
        self.q = eqx.nn.Linear(32, 32, use_bias=False, key=k1)
        self.k = eqx.nn.Linear(32, 32, use_bias=False, key=k2)
        self.v = eqx.nn.Linear(32, 32, use_bias=False, key=k3)
        self.o = eqx.nn.Linear(32, 32, use_bias=False, key=k4)

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq_2 32"],
        mask: Bool[Array, "batch 1 seq_2 seq"],
        key_value_states: Float[Array, "batch seq 32"],
    ) -> tuple[
        Float[Array, "batch seq_2 32"], Float[Array, "batch 4 seq 8"], Float[Array, "batch 4 seq 8"]
    ]:
        seq = mask.shape[3]
        batch, seq_2, _ = hidden_states.shape
        query_states = batched(self.q)(hidden_states).reshape(batch, seq_2, -1, 8).swapaxes(1, 2)
        key_states = batched(self.k)(key_value_states).reshape(batch, seq, -1, 8).swapaxes(1, 2)
        value_states = batched(self.v)(key_value_states).reshape(batch, seq, -1, 8).swapaxes(1, 2)
        position_bias_mask = jnp.where(mask, 0.0, jnp.finfo(jnp.float32).min).astype(jnp.float32)
        attn_output = scaled_dot_product_attention(
            query_states, key_states, value_states, position_bias_mask, scale=1.0
        )
        attn_output = batched(self.o)(attn_output.swapaxes(1, 2).reshape(batch, seq_2, -1))
        return attn_output, key_states, value_states


class T5LayerCrossAttention(eqx.Module):
    """decoder.block.*.layer.* (x2)."""

    EncDecAttention: T5EncDecAttention
    layer_norm: T5LayerNorm

    def __init__(self, *, key: PRNGKeyArray):
        self.EncDecAttention = T5EncDecAttention(key=key)
        self.layer_norm = T5LayerNorm()

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq_2 32"],
        key_value_states: Float[Array, "batch seq 32"],
        attention_mask: Bool[Array, "batch 1 seq_2 seq"],
    ) -> tuple[
        Float[Array, "batch seq_2 32"], Float[Array, "batch 4 seq 8"], Float[Array, "batch 4 seq 8"]
    ]:
        normed_hidden_states = self.layer_norm(hidden_states)
        attention_output, key_states, value_states = self.EncDecAttention(
            normed_hidden_states, attention_mask, key_value_states
        )
        return hidden_states + attention_output, key_states, value_states


class T5DecoderBlock(eqx.Module):
    """decoder.block.* (x2)."""

    layer: tuple[T5DecoderLayerSelfAttention, T5LayerCrossAttention, T5LayerFF]

    def __init__(self, has_relative_attention_bias: bool = False, *, key: PRNGKeyArray):
        k1, k2, k3 = jax.random.split(key, 3)
        self.layer = (
            T5DecoderLayerSelfAttention(
                has_relative_attention_bias=has_relative_attention_bias, key=k1
            ),
            T5LayerCrossAttention(key=k2),
            T5LayerFF(key=k3),
        )

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq_2 32"],
        attention_mask: Bool[Array, "batch 1 seq_2 seq_2"],
        encoder_hidden_states: Float[Array, "batch seq 32"],
        encoder_attention_mask: Bool[Array, "batch 1 seq_2 seq"],
        position_bias: Float[Array, "4 seq_2 seq_2"] | None = None,
    ) -> tuple[
        Float[Array, "batch seq_2 32"],
        Float[Array, "4 seq_2 seq_2"],
        Float[Array, "batch 4 seq_2 8"],
        Float[Array, "batch 4 seq_2 8"],
        Float[Array, "batch 4 seq 8"],
        Float[Array, "batch 4 seq 8"],
    ]:
        hidden_states, position_bias, key_states, value_states = self.layer[0](
            hidden_states, attention_mask, position_bias
        )
        hidden_states, key_states_2, value_states_2 = self.layer[1](
            hidden_states, encoder_hidden_states, encoder_attention_mask
        )
        return (
            self.layer[2](hidden_states),
            position_bias,
            key_states,
            value_states,
            key_states_2,
            value_states_2,
        )


class T5DecoderStack(eqx.Module):
    """decoder."""

    block: tuple[T5DecoderBlock, ...]
    final_layer_norm: T5LayerNorm

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.block = (
            T5DecoderBlock(has_relative_attention_bias=True, key=k1),
            T5DecoderBlock(key=k2),
        )
        self.final_layer_norm = T5LayerNorm()

    def __call__(
        self,
        input_ids: Int[Array, "batch seq_2"],
        encoder_hidden_states: Float[Array, "batch seq 32"],
        encoder_attention_mask: Int[Array, "batch seq"],
        weight: Float[Array, "99 32"],
    ) -> tuple[
        Float[Array, "batch seq_2 32"],
        list[Float[Array, "batch 4 seq_2 8"]],
        list[Float[Array, "batch 4 seq_2 8"]],
        list[Float[Array, "batch 4 seq 8"]],
        list[Float[Array, "batch 4 seq 8"]],
    ]:
        batch, seq_2 = input_ids.shape
        q_arange = jnp.arange(seq_2)
        attention_mask = q_arange <= q_arange[None, None, :, None]
        attention_mask = jnp.broadcast_to(attention_mask, (batch, 1, seq_2, seq_2))
        encoder_attention_mask = encoder_attention_mask.astype(bool)[:, None, None]
        encoder_extended_attention_mask = jnp.broadcast_to(
            encoder_attention_mask, (batch, 1, seq_2, encoder_hidden_states.shape[1])
        )
        hidden_states = weight[input_ids]
        position_bias = None
        all_key_states = []
        all_value_states = []
        all_key_states_2 = []
        all_value_states_2 = []
        for layer_module in self.block:
            hidden_states, position_bias, key_states, value_states, key_states_2, value_states_2 = (
                layer_module(
                    hidden_states,
                    attention_mask,
                    encoder_hidden_states,
                    encoder_extended_attention_mask,
                    position_bias,
                )
            )
            all_key_states.append(key_states)
            all_value_states.append(value_states)
            all_key_states_2.append(key_states_2)
            all_value_states_2.append(value_states_2)
        return (
            self.final_layer_norm(hidden_states),
            all_key_states,
            all_value_states,
            all_key_states_2,
            all_value_states_2,
        )


class T5ForConditionalGeneration(eqx.Module):
    """transformers.models.t5.modeling_t5.T5ForConditionalGeneration."""

    encoder: T5EncoderStack
    decoder: T5DecoderStack
    lm_head: eqx.nn.Linear

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2, k3 = jax.random.split(key, 3)
        self.encoder = T5EncoderStack(key=k1)
        self.decoder = T5DecoderStack(key=k2)
        self.lm_head = eqx.nn.Linear(32, 99, use_bias=False, key=k3)

    def __call__(
        self,
        input_ids: Int[Array, "batch seq"],
        attention_mask: Int[Array, "batch seq"],
        decoder_input_ids: Int[Array, "batch seq_2"],
    ) -> Seq2SeqLMOutput:
        encoder_outputs = self.encoder(input_ids, attention_mask, self.lm_head.weight)
        hidden_states, all_key_states, all_value_states, all_key_states_2, all_value_states_2 = (
            self.decoder(decoder_input_ids, encoder_outputs, attention_mask, self.lm_head.weight)
        )
        lm_logits = batched(self.lm_head)(hidden_states * 0.1767766952966369)
        return Seq2SeqLMOutput(
            logits=lm_logits,
            past_key_values=EncoderDecoderCache(
                self_attention_cache=DynamicCache(
                    layers=[
                        DynamicLayer(keys=key_states, values=value_states)
                        for key_states, value_states in zip(
                            all_key_states, all_value_states, strict=True
                        )
                    ]
                ),
                cross_attention_cache=DynamicCache(
                    layers=[
                        DynamicLayer(keys=key_states_2, values=value_states_2)
                        for key_states_2, value_states_2 in zip(
                            all_key_states_2, all_value_states_2, strict=True
                        )
                    ]
                ),
            ),
            encoder_last_hidden_state=encoder_outputs,
        )


TIED = {
    "shared.weight": "lm_head.weight",
    "encoder.embed_tokens.weight": "lm_head.weight",
    "decoder.embed_tokens.weight": "lm_head.weight",
}


def bind(tensors: Mapping[str, np.ndarray]) -> T5ForConditionalGeneration:
    """Fill a T5ForConditionalGeneration with tensors under their torch names. ValueError lists all that does not fit."""
    tensors, problems = dict(tensors), []
    for alias, name in TIED.items():
        tensor = tensors.pop(alias, None)
        if tensor is not None and not np.array_equal(tensors.setdefault(name, tensor), tensor):
            problems.append(f"{alias} differs from {name}, though the two are one tensor")

    def fill(where, leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        name = jax.tree_util.keystr(where, simple=True, separator=".")
        if (tensor := tensors.pop(name, None)) is None:
            return problems.append(f"{name} is missing")
        array = jax.device_put(np.array(tensor))  # of a copy, which JAX may keep
        kinds = (jnp.floating, jnp.complexfloating, jnp.integer, jnp.bool_)
        kind = next(kind for kind in kinds if jnp.issubdtype(leaf.dtype, kind))
        if array.shape != leaf.shape or not jnp.issubdtype(array.dtype, kind):
            return problems.append(f"{name}: {array.dtype}{array.shape} for {leaf}")
        if kind is jnp.integer and not np.array_equal(array, tensor):
            return problems.append(f"{name} holds integers that do not fit in {array.dtype}")
        return array

    skeleton = eqx.filter_eval_shape(T5ForConditionalGeneration, key=jax.random.key(0))
    model = jax.tree_util.tree_map_with_path(fill, skeleton)
    if problems or tensors:
        raise ValueError("\n".join([*problems, *(f"{name} is unexpected" for name in tensors)]))
    return model


def load(path: str | Path) -> T5ForConditionalGeneration:
    """Fill a T5ForConditionalGeneration from a safetensors file, or from a folder that holds one, whole or sharded."""
    path = Path(path)
    if path.is_dir():
        names = ("model.safetensors", "diffusion_pytorch_model.safetensors")
        found = [file for name in names for file in sorted(path.glob(f"{name}*"))]
        path = found[0] if found else path / names[0]
    files = [path]
    if path.suffix == ".json":
        shards = json.loads(path.read_text())["weight_map"].values()
        files = [path.with_name(shard) for shard in sorted(set(shards))]
    return bind({name: tensor for file in files for name, tensor in load_file(file).items()})
