"""GPT2Model, translated from transformers.models.gpt2.modeling_gpt2.GPT2Model (evaluation mode).

input_ids: int64[batch, seq], attention_mask: int64[batch, seq_2]
    ->  last_hidden_state: float32[batch, seq, 32], past_key_values: layers: (keys:
        float32[batch, 4, seq, 8], values: float32[batch, 4, seq, 8], keys: float32[batch, 4,
        seq, 8], values: float32[batch, 4, seq, 8])

    model = load("model.safetensors")
    outputs = eqx.filter_jit(model)(input_ids, attention_mask)
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
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from safetensors.numpy import load_file


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


def batched(layer: Callable[[Array], Array], event_ndim: int = 1) -> Callable[[Array], Array]:
    """Lift an eqx.nn layer, which takes one example of event_ndim axes, over all leading axes."""

    def apply(x: Array) -> Array:
        leading, event = x.shape[: x.ndim - event_ndim], x.shape[x.ndim - event_ndim :]
        y = jax.vmap(layer)(x.reshape(math.prod(leading), *event))
        return y.reshape(*leading, *y.shape[1:])

    return apply


class DynamicLayer(NamedTuple):
    """transformers.cache_utils.DynamicLayer."""

    keys: Float[Array, "batch 4 seq 8"]
    values: Float[Array, "batch 4 seq 8"]


class DynamicCache(NamedTuple):
    """transformers.cache_utils.DynamicCache."""

    layers: list[DynamicLayer]


class BaseModelOutputWithPastAndCrossAttentions(NamedTuple):
    """transformers.modeling_outputs.BaseModelOutputWithPastAndCrossAttentions."""

    last_hidden_state: Float[Array, "batch seq 32"]
    past_key_values: DynamicCache


class Conv1D(eqx.Module):
    """h.*.attn.c_attn, h.*.attn.c_proj, h.*.mlp.c_fc and 1 more (x8)."""

    weight: Float[Array, "nx nf"]
    bias: Float[Array, " nf"]
    nf: int = eqx.field(static=True)

    def __init__(self, nx: int, nf: int, *, key: PRNGKeyArray):
        self.weight = 0.02 * jax.random.normal(key, (nx, nf))
        self.bias = jnp.zeros(nf)
        self.nf = nf

    def __call__(self, x: Float[Array, "batch seq _"]) -> Float[Array, "batch seq _"]:
        batch, seq, features = x.shape
        return (self.bias + x.reshape(-1, features) @ self.weight).reshape(batch, seq, self.nf)


class GPT2Attention(eqx.Module):
    """h.*.attn (x2)."""

    c_attn: Conv1D
    c_proj: Conv1D

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.c_attn = Conv1D(32, 96, key=k1)
        self.c_proj = Conv1D(32, 32, key=k2)

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq 32"],
        attention_mask: Bool[Array, "batch 1 seq seq"],
    ) -> tuple[
        Float[Array, "batch seq 32"], Float[Array, "batch 4 seq 8"], Float[Array, "batch 4 seq 8"]
    ]:
        batch, seq, _ = hidden_states.shape
        query_states, key_states, value_states = jnp.split(self.c_attn(hidden_states), 3, axis=2)
        key_states = key_states.reshape(batch, seq, -1, 8).swapaxes(1, 2)
        value_states = value_states.reshape(batch, seq, -1, 8).swapaxes(1, 2)
        query_states = query_states.reshape(batch, seq, -1, 8).swapaxes(1, 2)
        attn_output = scaled_dot_product_attention(
            query_states, key_states, value_states, attention_mask
        )
        return (
            self.c_proj(attn_output.swapaxes(1, 2).reshape(batch, seq, -1)),
            key_states,
            value_states,
        )


class NewGELUActivation(eqx.Module):
    """transformers.activations.NewGELUActivation: h.*.mlp.act (x2)."""

    def __call__(self, input: Float[Array, "batch seq 128"]) -> Float[Array, "batch seq 128"]:
        return input * 0.5 * (jnp.tanh((input + input**3 * 0.044715) * 0.7978845608028654) + 1.0)


class GPT2MLP(eqx.Module):
    """h.*.mlp (x2)."""

    c_fc: Conv1D
    c_proj: Conv1D
    act: NewGELUActivation

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.c_fc = Conv1D(32, 128, key=k1)
        self.c_proj = Conv1D(128, 32, key=k2)
        self.act = NewGELUActivation()

    def __call__(self, hidden_states: Float[Array, "batch seq 32"]) -> Float[Array, "batch seq 32"]:
        return self.c_proj(self.act(self.c_fc(hidden_states)))


class GPT2Block(eqx.Module):
    """h.* (x2)."""

    ln_1: eqx.nn.LayerNorm
    attn: GPT2Attention
    ln_2: eqx.nn.LayerNorm
    mlp: GPT2MLP

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.ln_1 = eqx.nn.LayerNorm(32)
        self.attn = GPT2Attention(key=k1)
        self.ln_2 = eqx.nn.LayerNorm(32)
        self.mlp = GPT2MLP(key=k2)

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq 32"],
        attention_mask: Bool[Array, "batch 1 seq seq"],
    ) -> tuple[
        Float[Array, "batch seq 32"], Float[Array, "batch 4 seq 8"], Float[Array, "batch 4 seq 8"]
    ]:
        attn_output, key_states, value_states = self.attn(
            batched(self.ln_1)(hidden_states), attention_mask
        )
        hidden_states = attn_output + hidden_states
        return hidden_states + self.mlp(batched(self.ln_2)(hidden_states)), key_states, value_states


class GPT2Model(eqx.Module):
    """transformers.models.gpt2.modeling_gpt2.GPT2Model."""

    wte: eqx.nn.Embedding
    wpe: eqx.nn.Embedding
    h: tuple[GPT2Block, ...]
    ln_f: eqx.nn.LayerNorm

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2, k3 = jax.random.split(key, 3)
        self.wte = eqx.nn.Embedding(99, 32, key=k1)
        self.wpe = eqx.nn.Embedding(40, 32, key=k2)
        self.h = tuple(GPT2Block(key=k) for k in jax.random.split(k3, 2))
        self.ln_f = eqx.nn.LayerNorm(32)

    def __call__(
        self, input_ids: Int[Array, "batch seq"], attention_mask: Int[Array, "batch seq_2"]
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        if input_ids.shape[1] != attention_mask.shape[1]:
            raise ValueError("translated for input_ids.shape[1] == attention_mask.shape[1]")
        if input_ids.shape[1] > 40:
            raise ValueError("translated for input_ids.shape[1] <= 40")
        position_ids = jnp.arange(input_ids.shape[1])
        attention_mask = attention_mask.astype(bool)[:, None, None]
        causal_mask = (position_ids <= position_ids[None, None, :, None]) & attention_mask
        hidden_states = batched(self.wte, 0)(input_ids) + jax.vmap(self.wpe)(position_ids)
        all_key_states = []
        all_value_states = []
        for block in self.h:
            hidden_states, key_states, value_states = block(hidden_states, causal_mask)
            all_key_states.append(key_states)
            all_value_states.append(value_states)
        hidden_states = batched(self.ln_f)(hidden_states)
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=hidden_states,
            past_key_values=DynamicCache(
                layers=[
                    DynamicLayer(keys=key_states, values=value_states)
                    for key_states, value_states in zip(
                        all_key_states, all_value_states, strict=True
                    )
                ]
            ),
        )


def bind(tensors: Mapping[str, np.ndarray]) -> GPT2Model:
    """Fill a GPT2Model with tensors under their torch names. ValueError lists all that does not fit."""
    tensors, problems = dict(tensors), []

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

    skeleton = eqx.filter_eval_shape(GPT2Model, key=jax.random.key(0))
    model = jax.tree_util.tree_map_with_path(fill, skeleton)
    if problems or tensors:
        raise ValueError("\n".join([*problems, *(f"{name} is unexpected" for name in tensors)]))
    return model


def load(path: str | Path) -> GPT2Model:
    """Fill a GPT2Model from a safetensors file, or from a folder that holds one, whole or sharded."""
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
