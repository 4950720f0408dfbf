"""UNet2DConditionModel, translated from diffusers.models.unets.unet_2d_condition.UNet2DConditionModel (evaluation mode).

sample: float32[batch, 4, height, width], timestep: int64[batch], encoder_hidden_states:
float32[batch, seq, 24]
    ->  sample: float32[batch, 4, _, _]

    model = load("model.safetensors")
    outputs = eqx.filter_jit(model)(sample, timestep, encoder_hidden_states)
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray
from safetensors.numpy import load_file


def product_of_each(
    factor: Float[Array, "rows inner"], x: Float[Array, "batch inner columns"]
) -> Float[Array, "batch rows columns"]:
    """factor @ x. Where x has many columns, XLA multiplies faster by a copy of factor for each."""
    if x.shape[2] >= min(factor.shape):
        factor = jnp.broadcast_to(factor, (len(x), *factor.shape))
    return factor @ x


def small_conv(
    x: Float[Array, "batch in_channels *size"],
    weight: Float[Array, "out_channels in_channels *kernel"],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> Float[Array, "batch out_channels *new_size"]:
    """A convolution. On a CPU, XLA computes few results, or of few inputs each, faster as a product."""

    def whole(x: Array, weight: Array) -> Array:
        return lax.conv_general_dilated(x, weight, stride, padding, rhs_dilation=dilation)

    def product(x: Array, weight: Array) -> Array:
        x = jnp.pad(x, [(0, 0), (0, 0), *padding])
        for at, (k, step, gap) in enumerate(zip(weight.shape[2:], stride, dilation, strict=True)):
            axis = 2 + 2 * at
            length = x.shape[axis] - gap * (k - 1)
            starts = range(0, gap * k, gap)
            met = [lax.slice_in_dim(x, n, n + length, step, axis) for n in starts]
            x = jnp.stack(met, axis)
        new_size = x.shape[3::2]
        x = jnp.moveaxis(x, range(2, x.ndim, 2), range(2, weight.ndim))
        x = x.reshape(len(x), weight[0].size, math.prod(new_size))
        return product_of_each(lax.collapse(weight, 1), x).reshape(len(x), len(weight), *new_size)

    if weight[0].size > 48 and math.prod(jax.eval_shape(whole, x, weight).shape[2:]) > 64:
        return whole(x, weight)
    return lax.platform_dependent(x, weight, cpu=product, default=whole)


def pointwise_conv(
    x: Float[Array, "batch in_channels *size"],
    weight: Float[Array, "out_channels in_channels *ones"],
    stride: Sequence[int],
) -> Float[Array, "batch out_channels *new_size"]:
    """A convolution with a kernel of one element as a matrix product, which XLA computes faster."""
    x = x[:, :, *(slice(None, None, step) for step in stride)]
    y = product_of_each(weight.reshape(weight.shape[:2]), lax.collapse(x, 2))
    return y.reshape(*y.shape[:2], *x.shape[2:])


def convolve_any(
    layer: eqx.nn.Conv, x: Float[Array, "batch in_channels *size"]
) -> Float[Array, "batch out_channels *new_size"]:
    """jax.vmap(layer)(x), as a matrix product where the kernel, the input or the result is small."""
    assert not isinstance(layer.padding, str)
    if math.prod(layer.kernel_size) > 1:
        y = small_conv(x, layer.weight, layer.stride, layer.padding, layer.dilation)
    else:
        y = pointwise_conv(x, layer.weight, layer.stride)
    return y if layer.bias is None else y + layer.bias


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


class UNet2DConditionOutput(NamedTuple):
    """diffusers.models.unets.unet_2d_condition.UNet2DConditionOutput."""

    sample: Float[Array, "batch 4 _ _"]


class TimestepEmbedding(eqx.Module):
    """diffusers.models.embeddings.TimestepEmbedding: time_embedding."""

    linear_1: eqx.nn.Linear
    linear_2: eqx.nn.Linear

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.linear_1 = eqx.nn.Linear(16, 64, key=k1)
        self.linear_2 = eqx.nn.Linear(64, 64, key=k2)

    def __call__(self, sample: Float[Array, "batch 16"]) -> Float[Array, "batch 64"]:
        return jax.vmap(self.linear_2)(jax.nn.silu(jax.vmap(self.linear_1)(sample)))


class ResnetBlock2D(eqx.Module):
    """down_blocks.*.resnets.*, mid_block.resnets.*, up_blocks.*.resnets.* (x8)."""

    norm1: eqx.nn.GroupNorm
    conv1: eqx.nn.Conv2d
    time_emb_proj: eqx.nn.Linear
    norm2: eqx.nn.GroupNorm
    conv2: eqx.nn.Conv2d
    conv_shortcut: eqx.nn.Conv2d | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        has_conv_shortcut: bool = False,
        *,
        key: PRNGKeyArray,
    ):
        k1, k2, k3, k4 = jax.random.split(key, 4)
        self.norm1 = eqx.nn.GroupNorm(8, in_channels)
        self.conv1 = eqx.nn.Conv2d(in_channels, out_channels, 3, padding=1, key=k1)
        self.time_emb_proj = eqx.nn.Linear(64, out_channels, key=k2)
        self.norm2 = eqx.nn.GroupNorm(8, out_channels)
        self.conv2 = eqx.nn.Conv2d(out_channels, out_channels, 3, padding=1, key=k3)
        self.conv_shortcut = None
        if has_conv_shortcut:
            self.conv_shortcut = eqx.nn.Conv2d(in_channels, out_channels, 1, key=k4)

    def __call__(
        self, input_tensor: Float[Array, "batch _ _ _"], temb: Float[Array, "batch 64"]
    ) -> Float[Array, "batch _ _ _"]:
        hidden_states = convolve_any(self.conv1, jax.nn.silu(jax.vmap(self.norm1)(input_tensor)))
        temb = jax.vmap(self.time_emb_proj)(jax.nn.silu(temb))[..., None, None]
        hidden_states = jax.nn.silu(jax.vmap(self.norm2)(hidden_states + temb))
        hidden_states = convolve_any(self.conv2, hidden_states)
        conv_shortcut = input_tensor
        if self.conv_shortcut is not None:
            conv_shortcut = convolve_any(self.conv_shortcut, input_tensor)
        return conv_shortcut + hidden_states


class Downsample2D(eqx.Module):
    """diffusers.models.downsampling.Downsample2D: down_blocks.0.downsamplers.0."""

    conv: eqx.nn.Conv2d

    def __init__(self, *, key: PRNGKeyArray):
        self.conv = eqx.nn.Conv2d(16, 16, 3, stride=2, padding=1, key=key)

    def __call__(
        self, hidden_states: Float[Array, "batch 16 height width"]
    ) -> Float[Array, "batch 16 _ _"]:
        return convolve_any(self.conv, hidden_states)


class DownBlock2D(eqx.Module):
    """diffusers.models.unets.unet_2d_blocks.DownBlock2D: down_blocks.0."""

    resnets: tuple[ResnetBlock2D]
    downsamplers: tuple[Downsample2D]

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.resnets = (ResnetBlock2D(16, 16, key=k1),)
        self.downsamplers = (Downsample2D(key=k2),)

    def __call__(
        self, hidden_states: Float[Array, "batch 16 height width"], temb: Float[Array, "batch 64"]
    ) -> tuple[Float[Array, "batch 16 _ _"], Float[Array, "batch 16 height width"]]:
        hidden_states = self.resnets[0](hidden_states, temb)
        return self.downsamplers[0](hidden_states), hidden_states


class Attention(eqx.Module):
    """down_blocks.*.attentions.*.transformer_blocks.*.attn1 and 2 more (x4)."""

    to_q: eqx.nn.Linear
    to_k: eqx.nn.Linear
    to_v: eqx.nn.Linear
    to_out: tuple[eqx.nn.Linear]

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2, k3, k4 = jax.random.split(key, 4)
        self.to_q = eqx.nn.Linear(32, 32, use_bias=False, key=k1)
        self.to_k = eqx.nn.Linear(32, 32, use_bias=False, key=k2)
        self.to_v = eqx.nn.Linear(32, 32, use_bias=False, key=k3)
        self.to_out = (eqx.nn.Linear(32, 32, key=k4),)

    def __call__(self, hidden_states: Float[Array, "batch _ 32"]) -> Float[Array, "batch _ 32"]:
        batch = hidden_states.shape[0]
        query = batched(self.to_q)(hidden_states).reshape(batch, -1, 8, 4).swapaxes(1, 2)
        key = batched(self.to_k)(hidden_states).reshape(batch, -1, 8, 4).swapaxes(1, 2)
        value = batched(self.to_v)(hidden_states).reshape(batch, -1, 8, 4).swapaxes(1, 2)
        attended = scaled_dot_product_attention(query, key, value).swapaxes(1, 2)
        return batched(self.to_out[0])(attended.reshape(batch, -1, 32))


class Attention2(eqx.Module):
    """down_blocks.*.attentions.*.transformer_blocks.*.attn2 and 2 more (x4)."""

    to_q: eqx.nn.Linear
    to_k: eqx.nn.Linear
    to_v: eqx.nn.Linear
    to_out: tuple[eqx.nn.Linear]

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2, k3, k4 = jax.random.split(key, 4)
        self.to_q = eqx.nn.Linear(32, 32, use_bias=False, key=k1)
        self.to_k = eqx.nn.Linear(24, 32, use_bias=False, key=k2)
        self.to_v = eqx.nn.Linear(24, 32, use_bias=False, key=k3)
        self.to_out = (eqx.nn.Linear(32, 32, key=k4),)

    def __call__(
        self,
        hidden_states: Float[Array, "batch _ 32"],
        encoder_hidden_states: Float[Array, "batch seq 24"],
    ) -> Float[Array, "batch _ 32"]:
        batch = hidden_states.shape[0]
        query = batched(self.to_q)(hidden_states).reshape(batch, -1, 8, 4).swapaxes(1, 2)
        hidden_states = batched(self.to_k)(encoder_hidden_states).reshape(batch, -1, 8, 4)
        value = batched(self.to_v)(encoder_hidden_states).reshape(batch, -1, 8, 4)
        value = value.swapaxes(1, 2)
        hidden_states = scaled_dot_product_attention(query, hidden_states.swapaxes(1, 2), value)
        return batched(self.to_out[0])(hidden_states.swapaxes(1, 2).reshape(batch, -1, 32))


class GEGLU(eqx.Module):
    """down_blocks.*.attentions.*.transformer_blocks.*.ff.net.* and 2 more (x4)."""

    proj: eqx.nn.Linear

    def __init__(self, *, key: PRNGKeyArray):
        self.proj = eqx.nn.Linear(32, 256, key=key)

    def __call__(self, hidden_states: Float[Array, "batch _ 32"]) -> Float[Array, "batch _ 128"]:
        hidden_states, gate = jnp.split(batched(self.proj)(hidden_states), 2, axis=-1)
        return hidden_states * gelu(gate)


class FeedForward(eqx.Module):
    """down_blocks.*.attentions.*.transformer_blocks.*.ff and 2 more (x4)."""

    net: tuple[GEGLU, None, eqx.nn.Linear]

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.net = (GEGLU(key=k1), None, eqx.nn.Linear(128, 32, key=k2))

    def __call__(self, hidden_states: Float[Array, "batch _ 32"]) -> Float[Array, "batch _ 32"]:
        return batched(self.net[2])(self.net[0](hidden_states))


class BasicTransformerBlock(eqx.Module):
    """down_blocks.*.attentions.*.transformer_blocks.* and 2 more (x4)."""

    norm1: eqx.nn.LayerNorm
    attn1: Attention
    norm2: eqx.nn.LayerNorm
    attn2: Attention2
    norm3: eqx.nn.LayerNorm
    ff: FeedForward

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2, k3 = jax.random.split(key, 3)
        self.norm1 = eqx.nn.LayerNorm(32)
        self.attn1 = Attention(key=k1)
        self.norm2 = eqx.nn.LayerNorm(32)
        self.attn2 = Attention2(key=k2)
        self.norm3 = eqx.nn.LayerNorm(32)
        self.ff = FeedForward(key=k3)

    def __call__(
        self,
        hidden_states: Float[Array, "batch _ 32"],
        encoder_hidden_states: Float[Array, "batch seq 24"],
    ) -> Float[Array, "batch _ 32"]:
        hidden_states = self.attn1(batched(self.norm1)(hidden_states)) + hidden_states
        attn_output = self.attn2(batched(self.norm2)(hidden_states), encoder_hidden_states)
        hidden_states = attn_output + hidden_states
        return self.ff(batched(self.norm3)(hidden_states)) + hidden_states


class Transformer2DModel(eqx.Module):
    """down_blocks.*.attentions.*, mid_block.attentions.*, up_blocks.*.attentions.* (x4)."""

    norm: eqx.nn.GroupNorm
    proj_in: eqx.nn.Conv2d
    transformer_blocks: tuple[BasicTransformerBlock]
    proj_out: eqx.nn.Conv2d

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2, k3 = jax.random.split(key, 3)
        self.norm = eqx.nn.GroupNorm(8, 32, eps=1e-06)
        self.proj_in = eqx.nn.Conv2d(32, 32, 1, key=k1)
        self.transformer_blocks = (BasicTransformerBlock(key=k2),)
        self.proj_out = eqx.nn.Conv2d(32, 32, 1, key=k3)

    def __call__(
        self,
        hidden_states: Float[Array, "batch 32 _ _"],
        encoder_hidden_states: Float[Array, "batch seq 24"],
    ) -> Float[Array, "batch 32 _ _"]:
        batch, _, height, width = hidden_states.shape
        proj_in = convolve_any(self.proj_in, jax.vmap(self.norm)(hidden_states))
        hidden_states_2 = proj_in.transpose(0, 2, 3, 1).reshape(batch, height * width, 32)
        transformer_blocks = self.transformer_blocks[0](hidden_states_2, encoder_hidden_states)
        hidden_states_2 = transformer_blocks.reshape(batch, height, width, 32).transpose(0, 3, 1, 2)
        return convolve_any(self.proj_out, hidden_states_2) + hidden_states


class CrossAttnDownBlock2D(eqx.Module):
    """diffusers.models.unets.unet_2d_blocks.CrossAttnDownBlock2D: down_blocks.1."""

    attentions: tuple[Transformer2DModel]
    resnets: tuple[ResnetBlock2D]

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.attentions = (Transformer2DModel(key=k1),)
        self.resnets = (ResnetBlock2D(16, 32, has_conv_shortcut=True, key=k2),)

    def __call__(
        self,
        hidden_states: Float[Array, "batch 16 _ _"],
        temb: Float[Array, "batch 64"],
        encoder_hidden_states: Float[Array, "batch seq 24"],
    ) -> Float[Array, "batch 32 _ _"]:
        return self.attentions[0](self.resnets[0](hidden_states, temb), encoder_hidden_states)


class Upsample2D(eqx.Module):
    """diffusers.models.upsampling.Upsample2D: up_blocks.0.upsamplers.0."""

    conv: eqx.nn.Conv2d

    def __init__(self, *, key: PRNGKeyArray):
        self.conv = eqx.nn.Conv2d(32, 32, 3, padding=1, key=key)

    def __call__(self, hidden_states: Float[Array, "batch 32 _ _"]) -> Float[Array, "batch 32 _ _"]:
        return convolve_any(self.conv, jnp.repeat(jnp.repeat(hidden_states, 2, axis=2), 2, axis=3))


class CrossAttnUpBlock2D(eqx.Module):
    """diffusers.models.unets.unet_2d_blocks.CrossAttnUpBlock2D: up_blocks.0."""

    attentions: tuple[Transformer2DModel, ...]
    resnets: tuple[ResnetBlock2D, ...]
    upsamplers: tuple[Upsample2D]

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2, k3, k4 = jax.random.split(key, 4)
        self.attentions = tuple(Transformer2DModel(key=k) for k in jax.random.split(k1, 2))
        self.resnets = (
            ResnetBlock2D(64, 32, has_conv_shortcut=True, key=k2),
            ResnetBlock2D(48, 32, has_conv_shortcut=True, key=k3),
        )
        self.upsamplers = (Upsample2D(key=k4),)

    def __call__(
        self,
        res_hidden_states_tuple: Float[Array, "batch 16 _ _"],
        temb: Float[Array, "batch 64"],
        encoder_hidden_states: Float[Array, "batch seq 24"],
        sample: Float[Array, "batch 64 _ _"],
    ) -> Float[Array, "batch 32 _ _"]:
        hidden_states = self.attentions[0](self.resnets[0](sample, temb), encoder_hidden_states)
        hidden_states = jnp.concatenate([hidden_states, res_hidden_states_tuple], axis=1)
        hidden_states = self.resnets[1](hidden_states, temb)
        return self.upsamplers[0](self.attentions[1](hidden_states, encoder_hidden_states))


class UpBlock2D(eqx.Module):
    """diffusers.models.unets.unet_2d_blocks.UpBlock2D: up_blocks.1."""

    resnets: tuple[ResnetBlock2D, ...]

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.resnets = (
            ResnetBlock2D(48, 16, has_conv_shortcut=True, key=k1),
            ResnetBlock2D(32, 16, has_conv_shortcut=True, key=k2),
        )

    def __call__(
        self,
        sample: Float[Array, "batch 16 height width"],
        temb: Float[Array, "batch 64"],
        x: Float[Array, "batch 48 _ _"],
    ) -> Float[Array, "batch 16 _ _"]:
        return self.resnets[1](jnp.concatenate([self.resnets[0](x, temb), sample], axis=1), temb)


class UNetMidBlock2DCrossAttn(eqx.Module):
    """diffusers.models.unets.unet_2d_blocks.UNetMidBlock2DCrossAttn: mid_block."""

    attentions: tuple[Transformer2DModel]
    resnets: tuple[ResnetBlock2D, ...]

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2 = jax.random.split(key)
        self.attentions = (Transformer2DModel(key=k1),)
        self.resnets = tuple(ResnetBlock2D(32, 32, key=k) for k in jax.random.split(k2, 2))

    def __call__(
        self,
        hidden_states: Float[Array, "batch 32 _ _"],
        temb: Float[Array, "batch 64"],
        encoder_hidden_states: Float[Array, "batch seq 24"],
    ) -> Float[Array, "batch 32 _ _"]:
        hidden_states = self.resnets[0](hidden_states, temb)
        return self.resnets[1](self.attentions[0](hidden_states, encoder_hidden_states), temb)


class Timesteps(eqx.Module):
    """diffusers.models.embeddings.Timesteps: time_proj."""

    def __call__(self, timesteps: Int[Array, " batch"]) -> Float[Array, "batch 16"]:
        emb = jnp.exp(jnp.arange(8, dtype=jnp.float32) * -9.210340371976184 / 8)
        emb = timesteps[:, None].astype(jnp.float32) * emb
        emb = jnp.concatenate([jnp.sin(emb), jnp.cos(emb)], axis=-1)
        return jnp.concatenate([emb[:, 8:], emb[:, :8]], axis=-1)


class UNet2DConditionModel(eqx.Module):
    """diffusers.models.unets.unet_2d_condition.UNet2DConditionModel."""

    conv_in: eqx.nn.Conv2d
    time_embedding: TimestepEmbedding
    down_blocks: tuple[DownBlock2D, CrossAttnDownBlock2D]
    up_blocks: tuple[CrossAttnUpBlock2D, UpBlock2D]
    mid_block: UNetMidBlock2DCrossAttn
    conv_norm_out: eqx.nn.GroupNorm
    conv_out: eqx.nn.Conv2d
    time_proj: Timesteps

    def __init__(self, *, key: PRNGKeyArray):
        keys = iter(jax.random.split(key, 8))
        self.conv_in = eqx.nn.Conv2d(4, 16, 3, padding=1, key=next(keys))
        self.time_embedding = TimestepEmbedding(key=next(keys))
        self.down_blocks = (DownBlock2D(key=next(keys)), CrossAttnDownBlock2D(key=next(keys)))
        self.up_blocks = (CrossAttnUpBlock2D(key=next(keys)), UpBlock2D(key=next(keys)))
        self.mid_block = UNetMidBlock2DCrossAttn(key=next(keys))
        self.conv_norm_out = eqx.nn.GroupNorm(8, 16)
        self.conv_out = eqx.nn.Conv2d(16, 4, 3, padding=1, key=next(keys))
        self.time_proj = Timesteps()

    def __call__(
        self,
        sample: Float[Array, "batch 4 height width"],
        timestep: Int[Array, " batch"],
        encoder_hidden_states: Float[Array, "batch seq 24"],
    ) -> UNet2DConditionOutput:
        if sample.shape[2] % 2 != 0:
            raise ValueError("translated for sample.shape[2] % 2 == 0")
        if sample.shape[3] % 2 != 0:
            raise ValueError("translated for sample.shape[3] % 2 == 0")
        if sample.shape[0] >= 64:
            raise ValueError("translated for sample.shape[0] < 64")
        if (
            64
            * sample.shape[0]
            * ((sample.shape[2] - 1) // 2 + 1)
            * ((sample.shape[3] - 1) // 2 + 1)
            > 2147483648
        ):
            raise ValueError(
                "translated for 64 * sample.shape[0] * ((sample.shape[2] - 1) // 2 + 1) * ((sample.shape[3] - 1) // 2 + 1) <= 2147483648"
            )
        emb = self.time_embedding(self.time_proj(timestep))
        sample = convolve_any(self.conv_in, sample)
        hidden_states, hidden_states_2 = self.down_blocks[0](sample, emb)
        down_blocks = self.down_blocks[1](hidden_states, emb, encoder_hidden_states)
        mid_block = self.mid_block(down_blocks, emb, encoder_hidden_states)
        sample_2 = jnp.concatenate([mid_block, down_blocks], axis=1)
        hidden_states = self.up_blocks[0](hidden_states, emb, encoder_hidden_states, sample_2)
        sample = self.up_blocks[1](
            sample, emb, jnp.concatenate([hidden_states, hidden_states_2], axis=1)
        )
        return UNet2DConditionOutput(
            sample=convolve_any(self.conv_out, jax.nn.silu(jax.vmap(self.conv_norm_out)(sample)))
        )


def bind(tensors: Mapping[str, np.ndarray]) -> UNet2DConditionModel:
    """Fill a UNet2DConditionModel with tensors under their torch names. ValueError lists all that does not fit."""
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

    skeleton = eqx.filter_eval_shape(UNet2DConditionModel, key=jax.random.key(0))
    model = jax.tree_util.tree_map_with_path(fill, skeleton)
    if problems or tensors:
        raise ValueError("\n".join([*problems, *(f"{name} is unexpected" for name in tensors)]))
    return model


def load(path: str | Path) -> UNet2DConditionModel:
    """Fill a UNet2DConditionModel from a safetensors file, or from a folder that holds one, whole or sharded."""
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
