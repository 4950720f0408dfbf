"""VisionTransformer, translated from torchvision.models.vision_transformer.VisionTransformer (evaluation mode).

x: float32[batch, 3, 64, 64]
    ->  float32[batch, 10]

    model = load("model.safetensors")
    outputs = eqx.filter_jit(model)(x)
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray
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


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """torch.nn.functional.gelu. jax.nn.gelu calls erfc, which takes several times as long."""
    return 0.5 * x * (1 + jax.lax.erf(x / math.sqrt(2)))


def product_of_each(
    factor: Float[Array, "rows inner"], x: Float[Array, "batch inner columns"]
) -> Float[Array, "batch rows columns"]:
    """factor @ x. Where x has many columns, XLA multiplies faster by a copy of factor for each."""
    if x.shape[2] >= min(factor.shape):
        factor = jnp.broadcast_to(factor, (len(x), *factor.shape))
    return factor @ x


def patch_conv(
    x: Float[Array, "batch in_channels *size"],
    weight: Float[Array, "out_channels in_channels *kernel"],
) -> Float[Array, "batch out_channels *new_size"]:
    """A convolution in steps of its kernel's size, as one matrix product, which XLA computes faster."""
    kernel = weight.shape[2:]
    counts = [n // k for n, k in zip(x.shape[2:], kernel, strict=True)]
    x = x[:, :, *(slice(n * k) for n, k in zip(counts, kernel, strict=True))]
    axes = [part for pair in zip(counts, kernel, strict=True) for part in pair]
    x = jnp.moveaxis(
        x.reshape(*x.shape[:2], *axes), range(2, x.ndim + len(kernel), 2), range(-len(kernel), 0)
    )
    x = x.reshape(len(x), math.prod(weight.shape[1:]), math.prod(counts))
    return product_of_each(lax.collapse(weight, 1), x).reshape(len(x), len(weight), *counts)


def convolve_patches(
    layer: eqx.nn.Conv, x: Float[Array, "batch in_channels *size"]
) -> Float[Array, "batch out_channels *new_size"]:
    """jax.vmap(layer)(x) of a layer in steps of its kernel's size."""
    y = patch_conv(x, layer.weight)
    return y if layer.bias is None else y + layer.bias


class MultiheadAttention(eqx.Module):
    """encoder.layers.encoder_layer_0.self_attention and 11 more (x12)."""

    in_proj_weight: Float[Array, "2304 768"]
    in_proj_bias: Float[Array, "2304"]
    out_proj: eqx.nn.Linear

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.in_proj_weight = jax.nn.initializers.glorot_uniform()(k1, (2304, 768))
        self.in_proj_bias = jnp.zeros(2304)
        self.out_proj = eqx.nn.Linear(768, 768, key=k2)

    def __call__(self, query: Float[Array, "batch 17 768"]) -> Float[Array, "batch 17 768"]:
        batch = query.shape[0]
        q, k, v = jnp.split(query @ self.in_proj_weight.T + self.in_proj_bias, 3, axis=-1)
        q = q.reshape(batch, 17, 12, 64).swapaxes(1, 2)
        k = k.reshape(batch, 17, 12, 64).swapaxes(1, 2)
        v = v.reshape(batch, 17, 12, 64).swapaxes(1, 2)
        attended = scaled_dot_product_attention(q, k, v).swapaxes(1, 2).reshape(batch, 17, 768)
        return batched(self.out_proj)(attended)


class EncoderBlock(eqx.Module):
    """encoder.layers.encoder_layer_0, encoder.layers.encoder_layer_1 and 10 more (x12)."""

    ln_1: eqx.nn.LayerNorm
    self_attention: MultiheadAttention
    ln_2: eqx.nn.LayerNorm
    mlp: tuple[eqx.nn.Linear, None, None, eqx.nn.Linear]

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2, k3 = jax.random.split(key, 3)
        self.ln_1 = eqx.nn.LayerNorm(768, eps=1e-06)
        self.self_attention = MultiheadAttention(key=k1)
        self.ln_2 = eqx.nn.LayerNorm(768, eps=1e-06)
        self.mlp = (eqx.nn.Linear(768, 3072, key=k2), None, None, eqx.nn.Linear(3072, 768, key=k3))

    def __call__(self, input: Float[Array, "batch 17 768"]) -> Float[Array, "batch 17 768"]:
        x = self.self_attention(batched(self.ln_1)(input)) + input
        return x + batched(self.mlp[3])(gelu(batched(self.mlp[0])(batched(self.ln_2)(x))))


class EncoderSequential(eqx.Module):
    """torch.nn.Sequential: encoder.layers."""

    encoder_layer_0: EncoderBlock
    encoder_layer_1: EncoderBlock
    encoder_layer_2: EncoderBlock
    encoder_layer_3: EncoderBlock
    encoder_layer_4: EncoderBlock
    encoder_layer_5: EncoderBlock
    encoder_layer_6: EncoderBlock
    encoder_layer_7: EncoderBlock
    encoder_layer_8: EncoderBlock
    encoder_layer_9: EncoderBlock
    encoder_layer_10: EncoderBlock
    encoder_layer_11: EncoderBlock

    def __init__(self, *, key: PRNGKeyArray):
        keys = iter(jax.random.split(key, 12))
        self.encoder_layer_0 = EncoderBlock(key=next(keys))
        self.encoder_layer_1 = EncoderBlock(key=next(keys))
        self.encoder_layer_2 = EncoderBlock(key=next(keys))
        self.encoder_layer_3 = EncoderBlock(key=next(keys))
        self.encoder_layer_4 = EncoderBlock(key=next(keys))
        self.encoder_layer_5 = EncoderBlock(key=next(keys))
        self.encoder_layer_6 = EncoderBlock(key=next(keys))
        self.encoder_layer_7 = EncoderBlock(key=next(keys))
        self.encoder_layer_8 = EncoderBlock(key=next(keys))
        self.encoder_layer_9 = EncoderBlock(key=next(keys))
        self.encoder_layer_10 = EncoderBlock(key=next(keys))
        self.encoder_layer_11 = EncoderBlock(key=next(keys))

    def __call__(self, input: Float[Array, "batch 17 768"]) -> Float[Array, "batch 17 768"]:
        input = self.encoder_layer_2(self.encoder_layer_1(self.encoder_layer_0(input)))
        input = self.encoder_layer_5(self.encoder_layer_4(self.encoder_layer_3(input)))
        input = self.encoder_layer_8(self.encoder_layer_7(self.encoder_layer_6(input)))
        return self.encoder_layer_11(self.encoder_layer_10(self.encoder_layer_9(input)))


class Encoder(eqx.Module):
    """encoder."""

    pos_embedding: Float[Array, "1 17 768"]
    layers: EncoderSequential
    ln: eqx.nn.LayerNorm

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.pos_embedding = 0.02 * jax.random.normal(k1, (1, 17, 768))
        self.layers = EncoderSequential(key=k2)
        self.ln = eqx.nn.LayerNorm(768, eps=1e-06)

    def __call__(self, input: Float[Array, "batch 17 768"]) -> Float[Array, "batch 17 768"]:
        return batched(self.ln)(self.layers(input + self.pos_embedding))


class HeadsSequential(eqx.Module):
    """torch.nn.Sequential: heads."""

    head: eqx.nn.Linear

    def __init__(self, *, key: PRNGKeyArray):
        self.head = eqx.nn.Linear(768, 10, key=key)

    def __call__(self, input: Float[Array, "batch 768"]) -> Float[Array, "batch 10"]:
        return jax.vmap(self.head)(input)


class VisionTransformer(eqx.Module):
    """torchvision.models.vision_transformer.VisionTransformer."""

    class_token: Float[Array, "1 1 768"]
    conv_proj: eqx.nn.Conv2d
    encoder: Encoder
    heads: HeadsSequential

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2, k3, k4 = jax.random.split(key, 4)
        self.class_token = 0.02 * jax.random.normal(k1, (1, 1, 768))
        self.conv_proj = eqx.nn.Conv2d(3, 768, 16, stride=16, key=k2)
        self.encoder = Encoder(key=k3)
        self.heads = HeadsSequential(key=k4)

    def __call__(self, x: Float[Array, "batch 3 64 64"]) -> Float[Array, "batch 10"]:
        if x.shape[2:] != (64, 64):
            raise ValueError("x must be of shape (batch, 3, 64, 64)")
        batch = x.shape[0]
        x = convolve_patches(self.conv_proj, x).reshape(batch, 768, 16).swapaxes(1, 2)
        batch_class_token = jnp.broadcast_to(self.class_token, (batch, 1, 768))
        return self.heads(self.encoder(jnp.concatenate([batch_class_token, x], axis=1))[:, 0])


def bind(tensors: Mapping[str, np.ndarray]) -> VisionTransformer:
    """Fill a VisionTransformer with tensors under their torch names. ValueError lists all that does not fit."""
    tensors, problems = dict(tensors), []

    def fill(where, leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        name = jax.tree_util.keystr(where, simple=True, separator=".")
        if (tensor := tensors.pop(name, None)) is None:
            return problems.append(f"{name} is missing")
        if name.endswith("bias"):  # eqx.nn.Conv keeps its own as (channels, 1, 1)
            tensor = tensor.reshape(tensor.shape + (1,) * (leaf.ndim - tensor.ndim))
        array = jax.device_put(np.array(tensor))  # of a copy, which JAX may keep
        kinds = (jnp.floating, jnp.complexfloating, jnp.integer, jnp.bool_)
        kind = next(kind for kind in kinds if jnp.issubdtype(leaf.dtype, kind))
        if array.shape != leaf.shape or not jnp.issubdtype(array.dtype, kind):
            return problems.append(f"{name}: {array.dtype}{array.shape} for {leaf}")
        if kind is jnp.integer and not np.array_equal(array, tensor):
            return problems.append(f"{name} holds integers that do not fit in {array.dtype}")
        return array

    skeleton = eqx.filter_eval_shape(VisionTransformer, key=jax.random.key(0))
    model = jax.tree_util.tree_map_with_path(fill, skeleton)
    if problems or tensors:
        raise ValueError("\n".join([*problems, *(f"{name} is unexpected" for name in tensors)]))
    return model


def load(path: str | Path) -> VisionTransformer:
    """Fill a VisionTransformer from a safetensors file, or from a folder that holds one, whole or sharded."""
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
