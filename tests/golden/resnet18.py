"""ResNet, translated from torchvision.models.resnet.ResNet (evaluation mode).

x: float32[batch, 3, height, width]
    ->  float32[batch, 10]

    model = load("model.safetensors")
    outputs = eqx.filter_jit(model)(x)
"""

import json
import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray
from safetensors.numpy import load_file


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


class BasicBlock(eqx.Module):
    """layer1.*, layer2.*, layer3.* and 1 more (x8)."""

    conv1: eqx.nn.Conv2d
    bn1: BatchNorm
    conv2: eqx.nn.Conv2d
    bn2: BatchNorm
    downsample: tuple[eqx.nn.Conv2d, BatchNorm] | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        has_downsample: bool = False,
        *,
        key: PRNGKeyArray,
    ):
        k1, k2, k3 = jax.random.split(key, 3)
        self.conv1 = eqx.nn.Conv2d(
            in_channels, out_channels, 3, stride=stride, padding=1, use_bias=False, key=k1
        )
        self.bn1 = BatchNorm(out_channels)
        self.conv2 = eqx.nn.Conv2d(out_channels, out_channels, 3, padding=1, use_bias=False, key=k2)
        self.bn2 = BatchNorm(out_channels)
        self.downsample = None
        if has_downsample:
            self.downsample = (
                eqx.nn.Conv2d(in_channels, out_channels, 1, stride=stride, use_bias=False, key=k3),
                BatchNorm(out_channels),
            )

    def __call__(self, x: Float[Array, "batch _ _ _"]) -> Float[Array, "batch _ _ _"]:
        out = convolve_any(self.conv2, jax.nn.relu(self.bn1(convolve_any(self.conv1, x))))
        out = self.bn2(out)
        identity = x
        if self.downsample is not None:
            identity = self.downsample[1](convolve_any(self.downsample[0], x))
        return jax.nn.relu(out + identity)


class ResNet(eqx.Module):
    """torchvision.models.resnet.ResNet."""

    conv1: eqx.nn.Conv2d
    bn1: BatchNorm
    layer1: tuple[BasicBlock, ...]
    layer2: tuple[BasicBlock, ...]
    layer3: tuple[BasicBlock, ...]
    layer4: tuple[BasicBlock, ...]
    fc: eqx.nn.Linear

    def __init__(self, *, key: PRNGKeyArray):
        keys = iter(jax.random.split(key, 9))
        self.conv1 = eqx.nn.Conv2d(3, 64, 7, stride=2, padding=3, use_bias=False, key=next(keys))
        self.bn1 = BatchNorm(64)
        self.layer1 = tuple(BasicBlock(64, 64, key=k) for k in jax.random.split(next(keys), 2))
        self.layer2 = (
            BasicBlock(64, 128, stride=2, has_downsample=True, key=next(keys)),
            BasicBlock(128, 128, key=next(keys)),
        )
        self.layer3 = (
            BasicBlock(128, 256, stride=2, has_downsample=True, key=next(keys)),
            BasicBlock(256, 256, key=next(keys)),
        )
        self.layer4 = (
            BasicBlock(256, 512, stride=2, has_downsample=True, key=next(keys)),
            BasicBlock(512, 512, key=next(keys)),
        )
        self.fc = eqx.nn.Linear(512, 10, key=next(keys))

    def __call__(self, x: Float[Array, "batch 3 height width"]) -> Float[Array, "batch 10"]:
        x = jax.nn.relu(self.bn1(convolve_any(self.conv1, x)))
        x = jax.vmap(eqx.nn.MaxPool2d(3, stride=2, padding=1))(x)
        for block in self.layer1 + self.layer2 + self.layer3 + self.layer4:
            x = block(x)
        return jax.vmap(self.fc)(jnp.mean(x, axis=(2, 3)))


UNUSED = ("*.num_batches_tracked",)


def bind(tensors: Mapping[str, np.ndarray]) -> ResNet:
    """Fill a ResNet with tensors under their torch names. ValueError lists all that does not fit."""
    used = (n for n in tensors if not any(fnmatchcase(n, p) for p in UNUSED))
    tensors, problems = {name: tensors[name] for name in used}, []

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

    skeleton = eqx.filter_eval_shape(ResNet, key=jax.random.key(0))
    model = jax.tree_util.tree_map_with_path(fill, skeleton)
    if problems or tensors:
        raise ValueError("\n".join([*problems, *(f"{name} is unexpected" for name in tensors)]))
    return model


def load(path: str | Path) -> ResNet:
    """Fill a ResNet from a safetensors file, or from a folder that holds one, whole or sharded."""
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
