"""BertModel, translated from transformers.models.bert.modeling_bert.BertModel (evaluation mode).

input_ids: int64[batch, seq], attention_mask: int64[batch, seq]
    ->  last_hidden_state: float32[batch, seq, 32], pooler_output: float32[batch, 32]

    model = load("model.safetensors")
    outputs = eqx.filter_jit(model)(input_ids, attention_mask)
"""

import json
import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from safetensors.numpy import load_file


def batched(layer: Callable[[Array], Array], event_ndim: int = 1) -> Callable[[Array], Array]:
    """Lift an eqx.nn layer, which takes one example of event_ndim axes, over all leading axes."""

    def apply(x: Array) -> Array:
        leading, event = x.shape[: x.ndim - event_ndim], x.shape[x.ndim - event_ndim :]
        y = jax.vmap(layer)(x.reshape(math.prod(leading), *event))
        return y.reshape(*leading, *y.shape[1:])

    return apply


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


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """torch.nn.functional.gelu. jax.nn.gelu calls erfc, which takes several times as long."""
    return 0.5 * x * (1 + jax.lax.erf(x / math.sqrt(2)))


class BaseModelOutputWithPoolingAndCrossAttentions(NamedTuple):
    """transformers.modeling_outputs.BaseModelOutputWithPoolingAndCrossAttentions."""

    last_hidden_state: Float[Array, "batch seq 32"]
    pooler_output: Float[Array, "batch 32"]


class BertEmbeddings(eqx.Module):
    """embeddings."""

    word_embeddings: eqx.nn.Embedding
    position_embeddings: eqx.nn.Embedding
    token_type_embeddings: eqx.nn.Embedding
    LayerNorm: eqx.nn.LayerNorm

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2, k3 = jax.random.split(key, 3)
        self.word_embeddings = eqx.nn.Embedding(99, 32, key=k1)
        self.position_embeddings = eqx.nn.Embedding(40, 32, key=k2)
        self.token_type_embeddings = eqx.nn.Embedding(2, 32, key=k3)
        self.LayerNorm = eqx.nn.LayerNorm(32, eps=1e-12)

    def __call__(self, input_ids: Int[Array, "batch seq"]) -> Float[Array, "batch seq 32"]:
        embeddings = batched(self.word_embeddings, 0)(input_ids) + self.token_type_embeddings(0)
        position_embeddings = jax.vmap(self.position_embeddings)(jnp.arange(input_ids.shape[1]))
        return batched(self.LayerNorm)(embeddings + position_embeddings)


class BertSelfAttention(eqx.Module):
    """encoder.layer.*.attention.self (x2)."""

    query: eqx.nn.Linear
    key: eqx.nn.Linear
    value: eqx.nn.Linear

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2, k3 = jax.random.split(key, 3)
        self.query = eqx.nn.Linear(32, 32, key=k1)
        self.key = eqx.nn.Linear(32, 32, key=k2)
        self.value = eqx.nn.Linear(32, 32, key=k3)

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq 32"],
        attention_mask: Bool[Array, "batch 1 1 seq"],
    ) -> Float[Array, "batch seq 32"]:
        batch, seq, _ = hidden_states.shape
        query_layer = batched(self.query)(hidden_states).reshape(batch, seq, -1, 8).swapaxes(1, 2)
        key_layer = batched(self.key)(hidden_states).reshape(batch, seq, -1, 8).swapaxes(1, 2)
        value_layer = batched(self.value)(hidden_states).reshape(batch, seq, -1, 8).swapaxes(1, 2)
        attn_output = scaled_dot_product_attention(
            query_layer, key_layer, value_layer, attention_mask
        )
        return attn_output.swapaxes(1, 2).reshape(batch, seq, -1)


class BertSelfOutput(eqx.Module):
    """encoder.layer.*.attention.output (x2)."""

    dense: eqx.nn.Linear
    LayerNorm: eqx.nn.LayerNorm

    def __init__(self, *, key: PRNGKeyArray):
        self.dense = eqx.nn.Linear(32, 32, key=key)
        self.LayerNorm = eqx.nn.LayerNorm(32, eps=1e-12)

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq 32"],
        input_tensor: Float[Array, "batch seq 32"],
    ) -> Float[Array, "batch seq 32"]:
        return batched(self.LayerNorm)(batched(self.dense)(hidden_states) + input_tensor)


class BertAttention(eqx.Module):
    """encoder.layer.*.attention (x2)."""

    self: BertSelfAttention
    output: BertSelfOutput

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.self = BertSelfAttention(key=k1)
        self.output = BertSelfOutput(key=k2)

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq 32"],
        attention_mask: Bool[Array, "batch 1 1 seq"],
    ) -> Float[Array, "batch seq 32"]:
        return self.output(self.self(hidden_states, attention_mask), hidden_states)


class BertIntermediate(eqx.Module):
    """encoder.layer.*.intermediate (x2)."""

    dense: eqx.nn.Linear

    def __init__(self, *, key: PRNGKeyArray):
        self.dense = eqx.nn.Linear(32, 48, key=key)

    def __call__(self, hidden_states: Float[Array, "batch seq 32"]) -> Float[Array, "batch seq 48"]:
        return gelu(batched(self.dense)(hidden_states))


class BertOutput(eqx.Module):
    """encoder.layer.*.output (x2)."""

    dense: eqx.nn.Linear
    LayerNorm: eqx.nn.LayerNorm

    def __init__(self, *, key: PRNGKeyArray):
        self.dense = eqx.nn.Linear(48, 32, key=key)
        self.LayerNorm = eqx.nn.LayerNorm(32, eps=1e-12)

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq 48"],
        input_tensor: Float[Array, "batch seq 32"],
    ) -> Float[Array, "batch seq 32"]:
        return batched(self.LayerNorm)(batched(self.dense)(hidden_states) + input_tensor)


class BertLayer(eqx.Module):
    """encoder.layer.* (x2)."""

    attention: BertAttention
    intermediate: BertIntermediate
    output: BertOutput

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2, k3 = jax.random.split(key, 3)
        self.attention = BertAttention(key=k1)
        self.intermediate = BertIntermediate(key=k2)
        self.output = BertOutput(key=k3)

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq 32"],
        attention_mask: Bool[Array, "batch 1 1 seq"],
    ) -> Float[Array, "batch seq 32"]:
        self_attention_output = self.attention(hidden_states, attention_mask)
        return self.output(self.intermediate(self_attention_output), self_attention_output)


class BertEncoder(eqx.Module):
    """encoder."""

    layer: tuple[BertLayer, ...]

    def __init__(self, *, key: PRNGKeyArray):
        self.layer = tuple(BertLayer(key=k) for k in jax.random.split(key, 2))

    def __call__(
        self,
        hidden_states: Float[Array, "batch seq 32"],
        attention_mask: Bool[Array, "batch 1 1 seq"],
    ) -> Float[Array, "batch seq 32"]:
        for layer_module in self.layer:
            hidden_states = layer_module(hidden_states, attention_mask)
        return hidden_states


class BertPooler(eqx.Module):
    """pooler."""

    dense: eqx.nn.Linear

    def __init__(self, *, key: PRNGKeyArray):
        self.dense = eqx.nn.Linear(32, 32, key=key)

    def __call__(self, hidden_states: Float[Array, "batch seq 32"]) -> Float[Array, "batch 32"]:
        return jnp.tanh(jax.vmap(self.dense)(hidden_states[:, 0]))


class BertModel(eqx.Module):
    """transformers.models.bert.modeling_bert.BertModel."""

    embeddings: BertEmbeddings
    encoder: BertEncoder
    pooler: BertPooler

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2, k3 = jax.random.split(key, 3)
        self.embeddings = BertEmbeddings(key=k1)
        self.encoder = BertEncoder(key=k2)
        self.pooler = BertPooler(key=k3)

    def __call__(
        self, input_ids: Int[Array, "batch seq"], attention_mask: Int[Array, "batch seq"]
    ) -> BaseModelOutputWithPoolingAndCrossAttentions:
        if input_ids.shape[1] > 40:
            raise ValueError("translated for input_ids.shape[1] <= 40")
        attention_mask = attention_mask.astype(bool)[:, None, None]
        encoder_outputs = self.encoder(self.embeddings(input_ids), attention_mask)
        return BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=encoder_outputs, pooler_output=self.pooler(encoder_outputs)
        )


UNUSED = ("embeddings.position_ids", "embeddings.token_type_ids")


def bind(tensors: Mapping[str, np.ndarray]) -> BertModel:
    """Fill a BertModel with tensors under their torch names. ValueError lists all that does not fit."""
    used = (n for n in tensors if not any(fnmatchcase(n, p) for p in UNUSED))
    tensors, problems = {name: tensors[name] for name in used}, []

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

    skeleton = eqx.filter_eval_shape(BertModel, key=jax.random.key(0))
    model = jax.tree_util.tree_map_with_path(fill, skeleton)
    if problems or tensors:
        raise ValueError("\n".join([*problems, *(f"{name} is unexpected" for name in tensors)]))
    return model


def load(path: str | Path) -> BertModel:
    """Fill a BertModel from a safetensors file, or from a folder that holds one, whole or sharded."""
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
