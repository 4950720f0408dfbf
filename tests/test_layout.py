"""`translate(..., layout="nhwc")`: images have their channels last within, weights and arguments stay as torch has them."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import translator
from tests import linters
from tests.function import Function
from tests.zoo import models
from tests.zoo.case import perturb_norms
from translator.errors import TranslationError


def last(module: nn.Module, *args: torch.Tensor, **options) -> translator.Translation:
    return translator.translate(module, args, layout="nhwc", **options)


def transposes(translation: translator.Translation) -> int:
    """How many transposes of its own an emitted file has, those within functions that are copied into it aside."""
    classes = re.findall(r"^class (?!BatchNorm|ConvTranspose).*?(?=^\S)", translation.source, re.DOTALL | re.MULTILINE)
    return len(re.findall(r"moveaxis\(|transpose\(|swapaxes\(|\.T\b", "\n".join(classes)))


def image(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator)


class Sandwich(nn.Module):
    """A layer between two convolutions over as many axes as an image has."""

    def __init__(self, inner: nn.Module, axes: int, before: int, after: int):
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
        self.first, self.inner, self.second = conv(3, before, 1), inner, conv(after, 4, 1)

    def forward(self, x):
        return self.second(self.inner(self.first(x)))


SIZES = {1: (17,), 2: (12, 9), 3: (7, 6, 8)}

# A layer, over how many axes, and its channels before and after.
CASES = {
    "conv1d": (nn.Conv1d(6, 8, 3, stride=2, padding=2, dilation=2), 1, 6, 8),
    "conv2d asymmetric": (nn.Conv2d(6, 8, (3, 5), stride=(1, 2), padding=(2, 1), bias=False), 2, 6, 8),
    "conv2d same": (nn.Conv2d(6, 8, (2, 3), padding="same"), 2, 6, 8),
    "conv2d valid": (nn.Conv2d(6, 8, 3, padding="valid"), 2, 6, 8),
    "conv2d reflected": (nn.Conv2d(6, 8, 3, padding=1, padding_mode="reflect"), 2, 6, 8),
    "conv2d replicated": (nn.Conv2d(6, 8, 3, padding=1, padding_mode="replicate"), 2, 6, 8),
    "conv2d circular": (nn.Conv2d(6, 8, 3, padding=1, padding_mode="circular"), 2, 6, 8),
    "conv2d groups": (nn.Conv2d(6, 8, 3, padding=1, groups=2), 2, 6, 8),
    "conv2d many groups": (nn.Conv2d(130, 260, 3, padding=1, groups=65), 2, 130, 260),
    "conv2d depthwise": (nn.Conv2d(6, 6, (3, 5), stride=2, padding=(1, 2), dilation=(2, 1), groups=6), 2, 6, 6),
    "conv2d pointwise": (nn.Conv2d(6, 8, 1, stride=2), 2, 6, 8),
    "conv2d patches": (nn.Conv2d(6, 8, (2, 3), stride=(2, 3)), 2, 6, 8),
    "conv3d": (nn.Conv3d(6, 8, (1, 2, 3), stride=(1, 2, 1), padding=(0, 1, 1)), 3, 6, 8),
    "conv3d depthwise": (nn.Conv3d(6, 6, 3, padding=1, groups=6), 3, 6, 6),
    "conv3d patches": (nn.Conv3d(6, 8, 2, stride=2), 3, 6, 8),
    "transposed conv1d": (nn.ConvTranspose1d(6, 8, 4, stride=3, padding=1, output_padding=2), 1, 6, 8),
    "transposed conv2d": (nn.ConvTranspose2d(6, 8, (3, 2), stride=2, padding=1, groups=2, dilation=(1, 2)), 2, 6, 8),
    "transposed conv3d": (nn.ConvTranspose3d(6, 8, 2, stride=2, bias=False), 3, 6, 8),
    "batch norm 1d": (nn.BatchNorm1d(6), 1, 6, 6),
    "batch norm 2d": (nn.BatchNorm2d(6, eps=1e-3, affine=False), 2, 6, 6),
    "batch norm 3d": (nn.BatchNorm3d(6), 3, 6, 6),
    "batch norm of the batch": (nn.BatchNorm2d(6, track_running_stats=False), 2, 6, 6),
    "group norm": (nn.GroupNorm(3, 6), 2, 6, 6),
    "group norm without weights": (nn.GroupNorm(2, 6, affine=False), 1, 6, 6),
    "instance norm": (nn.InstanceNorm2d(6, affine=True), 2, 6, 6),
    "instance norm tracked": (nn.InstanceNorm3d(6, track_running_stats=True), 3, 6, 6),
    "layer norm": (nn.LayerNorm((6, 12, 9)), 2, 6, 6),
    "max pool 1d": (nn.MaxPool1d(3, 2, 1), 1, 6, 6),
    "max pool 2d": (nn.MaxPool2d((3, 2), (2, 1), (1, 0)), 2, 6, 6),
    "max pool 2d, overhanging": (nn.MaxPool2d(3, 2, ceil_mode=True), 2, 6, 6),
    "max pool 2d, dilated": (nn.MaxPool2d(2, 1, dilation=2), 2, 6, 6),
    "max pool 3d": (nn.MaxPool3d(2), 3, 6, 6),
    "average pool 1d": (nn.AvgPool1d(3, 2, 1), 1, 6, 6),
    "average pool 2d": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), 2, 6, 6),
    "average pool 2d, overhanging": (nn.AvgPool2d(3, 2, ceil_mode=True), 2, 6, 6),
    "average pool 3d": (nn.AvgPool3d(2, divisor_override=5), 3, 6, 6),
    "adaptive average pool 1d": (nn.AdaptiveAvgPool1d(5), 1, 6, 6),
    "adaptive average pool 2d": (nn.AdaptiveAvgPool2d((5, 4)), 2, 6, 6),
    "adaptive average pool 3d": (nn.AdaptiveAvgPool3d((1, None, 3)), 3, 6, 6),
    "adaptive max pool": (nn.AdaptiveMaxPool2d(3), 2, 6, 6),
    "nearest 1d": (nn.Upsample(scale_factor=2), 1, 6, 6),
    "nearest 2d": (nn.Upsample(size=(7, 20)), 2, 6, 6),
    "nearest exact": (nn.Upsample(scale_factor=1.5, mode="nearest-exact"), 2, 6, 6),
    "nearest 3d": (nn.Upsample(scale_factor=(1, 2, 4)), 3, 6, 6),
    "linear 1d": (nn.Upsample(scale_factor=1.7, mode="linear"), 1, 6, 6),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), 2, 6, 6),
    "trilinear": (nn.Upsample(size=(5, 9, 4), mode="trilinear"), 3, 6, 6),
    "bicubic": (nn.Upsample(scale_factor=2, mode="bicubic"), 2, 6, 6),
    "pixel shuffle": (nn.PixelShuffle(2), 2, 8, 2),
    "pixel unshuffle": (nn.PixelUnshuffle(3), 2, 2, 18),
    "channel shuffle": (nn.ChannelShuffle(3), 2, 6, 6),
    "zero pad": (nn.ZeroPad2d((1, 2, 0, 3)), 2, 6, 6),
    "constant pad": (nn.ConstantPad1d((2, 1), 3.5), 1, 6, 6),
    "pad the channels": (Function(lambda x: F.pad(x, (0, 0, 1, 0, 2, 1))), 2, 6, 9),
    "cut": (Function(lambda x: F.pad(x, (-1, 1))), 2, 6, 6),
    "reflection pad": (nn.ReflectionPad2d((1, 2, 3, 0)), 2, 6, 6),
    "replication pad": (nn.ReplicationPad3d(1), 3, 6, 6),
    "prelu": (nn.PReLU(6, init=0.3), 2, 6, 6),
    "dropout": (nn.Dropout2d(), 2, 6, 6),
    "softmax over channels": (nn.Softmax(1), 2, 6, 6),
    "glu over channels": (nn.GLU(1), 2, 6, 3),
    "chunks": (Function(lambda x: torch.cat([part.exp() for part in x.chunk(3, 1)][::-1], 1)), 2, 6, 6),
    "slices": (Function(lambda x: x[:, 1:, ::2, 1:-1]), 2, 6, 5),
    "flips and rolls": (Function(lambda x: x.flip(1, -1).roll((1, 2), (2, 1))), 2, 6, 6),
    "a mean over channels": (Function(lambda x: x * x.mean(1, keepdim=True) + x.amax((2, 3), keepdim=True)), 2, 6, 6),
    "statistics": (Function(lambda x: (x - x.mean()) / torch.var(x, dim=(1, 2, 3), keepdim=True).sqrt()), 2, 6, 6),
    "a place": (Function(lambda x: x[:, :, 2].unsqueeze(2) + x[:, 3:4]), 2, 6, 6),
    "a norm of channels": (Function(lambda x: F.normalize(x, dim=1)), 2, 6, 6),
    "a cumulative sum": (Function(lambda x: x.cumsum(1).cumsum(2)), 2, 6, 6),
    "channels apart": (Function(lambda x: x.unflatten(1, (2, 3)).transpose(1, 2).flatten(1, 2)), 2, 6, 6),
    "folded": (Function(lambda x: x.flatten(2).relu().unflatten(2, (12, 9))), 2, 6, 6),
    "a mask of places": (Function(lambda x: torch.where(torch.arange(9) > 4, x, -x)), 2, 6, 6),
    "a mask of rows": (Function(lambda x: x * torch.arange(12.0)[:, None]), 2, 6, 6),
    "unbound": (Function(lambda x: torch.stack(x.unbind(1)[::-1], 1)), 2, 6, 6),
    "repeated": (Function(lambda x: x.repeat_interleave(2, 1)), 2, 6, 12),
    "chosen": (Function(lambda x: x[:, torch.tensor([4, 0, 1])]), 2, 6, 3),
}


# What has no form of its own on channels-last arrays stands between two transposes; a channel shuffle is one in any layout.
FURTHER = {
    "layer norm": 2,
    "max pool 2d, dilated": 2,
    "adaptive max pool": 2,
    "channels apart": 1,
    "channel shuffle": 1,
    "unbound": 1,
}


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    inner, axes, before, after = CASES[name]
    module = perturb_norms(Sandwich(inner, axes, before, after)).eval()
    translation = last(module, image(2, 3, *SIZES[axes]), dynamic_shapes=None)
    assert translation.verify(random=0, sizes=0).ok
    assert transposes(translation) == 2 + FURTHER.get(name, 0)


class Block(nn.Module):
    """A residual block as ResNet's, with a squeeze and excitation of its depthwise convolution."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.expand, self.norm = nn.Conv2d(before, after, 1), nn.BatchNorm2d(after)
        self.depthwise = nn.Conv2d(after, after, 3, stride, 1, groups=after)
        self.squeeze, self.excite = nn.Linear(after, 4), nn.Linear(4, after)
        self.downsample = nn.Conv2d(before, after, 1, stride)

    def forward(self, x):
        y = self.depthwise(torch.relu(self.norm(self.expand(x))))
        batch, channels, _, _ = y.shape
        scale = self.excite(torch.relu(self.squeeze(y.mean((2, 3)))))
        return y * torch.sigmoid(scale).view(batch, channels, 1, 1) + self.downsample(x)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(Block(3, 8, 1), Block(8, 16, 2), Block(16, 16, 1))
        self.pool, self.drop, self.head = nn.AdaptiveAvgPool2d(1), nn.Dropout2d(0.2), nn.Linear(16, 5)

    def forward(self, x):
        return self.head(torch.flatten(self.pool(self.drop(self.layers(x))), 1))


class UNet(nn.Module):
    """Down, up by a transposed convolution, and joined with what was there before, as an image again."""

    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU())
        self.middle = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.InstanceNorm2d(16))
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.out = nn.Conv2d(16, 3, 1)

    def forward(self, x):
        down = self.down(x)
        return torch.sigmoid(self.out(torch.cat([self.up(self.middle(down)), down], dim=1)))


class ConvNeXtBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 8, 4, stride=4), nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm, self.wide, self.narrow = nn.LayerNorm(8), nn.Linear(8, 32), nn.Linear(32, 8)
        self.scale = nn.Parameter(torch.rand(8, 1, 1))

    def forward(self, x):
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.narrow(F.gelu(self.wide(y))).permute(0, 3, 1, 2)
        return (x + self.scale * y).mean((-2, -1))


class Tokens(nn.Module):
    """Patches of an image as a sequence, with attention."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, stride=4)
        self.attention = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.attention(tokens).mean(1)


class Flattened(nn.Module):
    """All of an image into one linear layer, whose weights count its channels first."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4 * 6 * 5, 7)

    def forward(self, x):
        return self.linear(torch.relu(self.conv(x)).flatten(1))


class Wave(nn.Module):
    """Samples of a sound, features last at the end."""

    def __init__(self):
        super().__init__()
        self.convs = nn.Sequential(nn.Conv1d(1, 8, 5, 2), nn.GELU(), nn.Conv1d(8, 8, 3, groups=8), nn.BatchNorm1d(8))
        self.norm, self.linear = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x):
        return self.linear(self.norm(self.convs(x[:, None]).transpose(1, 2)))


NETS = {
    "residual": (Residual, (2, 3, 16, 16), 1),
    "unet": (UNet, (2, 3, 16, 12), 2),
    "convnext": (ConvNeXtBlock, (2, 3, 16, 24), 1),
    "flattened": (Flattened, (2, 3, 8, 7), 2),
    "wave": (Wave, (2, 40), 0),
}


@pytest.mark.parametrize("name", NETS)
def test_nets(name):
    build, shape, count = NETS[name]
    translation = last(perturb_norms(build()).eval(), image(*shape))
    assert translation.verify(sizes=1).ok
    assert transposes(translation) == count


def test_tokens_are_not_transposed():
    module, x = Tokens().eval(), image(2, 3, 16, 16)
    translation = last(module, x)
    assert translation.verify(sizes=1).ok
    attention = transposes(translator.translate(module.attention, (image(2, 16, 16),)))
    assert transposes(translation) == 1 + attention


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "convnext_tiny"])
def test_models_have_one_transpose_at_the_entry(name):
    case = models.build(name, shallow=True)
    translation = last(case.module, *case.args)
    assert translation.verify(random=0, sizes=1).ok
    assert transposes(translation) == 1
    case.module.load_state_dict(translator.state_dict(translation.model), strict=False)


def test_how_it_reads():
    source = last(Residual().eval(), image(2, 3, 16, 16)).source
    assert 'def __call__(self, x: Float[Array, "batch 3 height width"])' in source
    assert "x = jnp.moveaxis(x, 1, -1)\n        for layer in self.layers:\n            x = layer(x)\n" in source
    assert "return jax.vmap(self.head)(jnp.mean(x, axis=(1, 2)))" in source
    assert "_last" not in source and "Last" not in source


def test_files_pass_the_linters(tmp_path):
    for build in (Residual, UNet):
        (tmp_path / f"{build.__name__}.py").write_text(last(build().train(), image(4, 3, 8, 8)).source)
    linters.ruff(tmp_path)
    linters.pyright(tmp_path)


class Volumes(nn.Module):
    """Convolutions of every form that is not XLA's own."""

    def __init__(self):
        super().__init__()
        self.stem, self.groups = nn.Conv3d(4, 8, 3, padding=1), nn.Conv3d(8, 32, 3, padding=1, groups=4)
        self.up, self.wide = nn.ConvTranspose3d(32, 32, 2, 2, groups=32), nn.Conv2d(32, 8, 4, padding=2)
        self.pairs, self.last = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.Conv2d(8, 8, 3, padding=2)
        self.more = nn.Conv2d(4, 8, 3, groups=4)

    def forward(self, x):
        x = self.up(self.groups(self.stem(x)))
        y = self.pairs(self.wide(x.reshape(len(x), x.shape[1], -1, x.shape[-1])))
        return F.conv2d(self.last(y), self.last.weight, padding=3), self.more(y[:, :4])


@pytest.mark.parametrize("layout", [None, "nhwc"])
def test_files_with_other_forms_of_convolutions(layout, tmp_path):
    translation = translator.translate(Volumes().eval(), (torch.randn(2, 4, 4, 6, 6),), layout=layout)
    assert translation.verify(random=1, sizes=1).ok
    forms = (
        "conv_of_each_group",
        "convolve_groups",
        "convolve_padded",
        "convolve_scan",
        "convolve_volume",
        "convolve_volume_of_groups",
        "padded_conv",
        "transpose_convolve_volume",
    )
    assert all(f"def {form}(" in translation.source for form in forms)
    (tmp_path / "model.py").write_text(translation.source)
    linters.ruff(tmp_path)
    linters.pyright(tmp_path)


def test_layers_that_are_alike_are_scanned():
    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(Block(4, 4, 1) for _ in range(3))

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    translation = last(perturb_norms(Stack()).eval(), image(2, 4, 8, 8), scan_layers=True)
    assert translation.model.layers.expand.weight.shape == (3, 4, 4, 1, 1)
    assert translation.verify(sizes=1).ok and transposes(translation) == 2


def test_weights_are_as_torch_has_them():
    module = Residual().eval()
    translation = last(module, image(2, 3, 16, 16))
    weights = translation.model.layers[0].depthwise.weight
    assert np.array_equal(weights, module.layers[0].depthwise.weight.detach())
    back = translator.state_dict(translation.model)
    assert all(torch.equal(back[name], tensor) for name, tensor in module.state_dict().items() if name in back)
    module.load_state_dict(back, strict=False)


def test_a_model_without_convolutions_is_the_same():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool, self.norm, self.attention = nn.AvgPool2d(2), nn.BatchNorm2d(4), nn.MultiheadAttention(4, 2)

        def forward(self, x):
            y = self.norm(self.pool(x)).permute(0, 2, 3, 1).flatten(1, 2).permute(0, 2, 1).mean(-1)
            return self.attention(y, y, y)[0]

    module, x = Plain().eval(), image(2, 4, 8, 8)
    assert last(module, x).source == translator.translate(module, (x,)).source


def test_a_batchless_image_stays_as_it_is():
    module, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), image(3, 8, 8)
    translation = last(module, x)
    assert translation.verify(sizes=1).ok and transposes(translation) == 0


def test_a_batch_of_one():
    module, x = perturb_norms(UNet()).eval(), image(1, 3, 16, 12)
    assert last(module, x, dynamic_shapes=None).verify(random=0).ok


def test_what_is_done_to_an_image_first_is_done_channels_last():
    class Normalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.rand(3, 1, 1))
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(F.pad((x - self.mean) / 0.2, (0, 1, 0, 1), mode="reflect")).amax((2, 3))

    translation = last(Normalised().eval(), image(2, 3, 8, 8))
    assert translation.verify(sizes=1).ok and transposes(translation) == 1
    assert "jnp.moveaxis(x, 1, -1) - self.mean.squeeze((1, 2))" in translation.source


def test_parts_that_all_leave_the_order_are_transposed_before_they_are_apart():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.out = nn.Conv2d(3, 24, 1), nn.Conv2d(8, 3, 1)

        def forward(self, x):
            q, k, v = (part.flatten(2).softmax(-1) for part in self.qkv(x).chunk(3, 1))
            return self.out((v @ (k.transpose(1, 2) @ q)).view(len(x), 8, *x.shape[2:]))

    module, x = Attention().eval(), image(2, 3, 6, 5)
    translation, plain = last(module, x), translator.translate(module, (x,))
    assert translation.verify(sizes=1).ok
    assert transposes(translation) <= transposes(plain) + 4


def test_a_sum_of_products_takes_any_order():
    class Attended(nn.Module):
        def __init__(self):
            super().__init__()
            self.keys, self.values = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 1)

        def forward(self, x):
            return torch.einsum("bkhw,bvhw->bkv", self.keys(x).softmax(1), self.values(x))

    translation = last(Attended().eval(), image(2, 3, 6, 5))
    assert translation.verify(sizes=1).ok and transposes(translation) == 1
    assert 'jnp.einsum("bhwk,bhwv->bkv"' in translation.source


def test_both_layouts_in_one_file():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.many = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.many(x), self.one(x[0])

    translation = last(Both().eval(), image(2, 3, 8, 8))
    assert translation.verify(sizes=1).ok


def test_control_flow_takes_images_as_torch_has_them():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.out = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x, flag):
            y = self.conv(x)
            return self.out(torch.cond(flag, lambda a: a * 2, lambda a: a.flip(1), (y,)))

    translation = last(Branching().eval(), image(2, 3, 8, 8), torch.tensor(True))
    assert translation.verify(sizes=1).ok


@pytest.mark.parametrize("build", [Residual, UNet])
def test_training(build):
    module = build().train()
    translation = last(module, image(4, 3, 8, 8))
    assert translation.verify(sizes=0, gradients=True).ok
    assert transposes(translation) == transposes(last(module.eval(), image(4, 3, 8, 8)))


def test_state_is_updated():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    x = image(4, 3, 8, 8)
    translation = last(module, x)
    y, state = translation.model(jnp.asarray(x.numpy()), state=translation.state)
    assert np.allclose(y, module(x).detach(), atol=1e-5)
    module.load_state_dict(translator.state_dict(translation.model, state), strict=True)


def test_each_module_agrees_with_the_nodes_it_stands_for():
    from translator.divergence import diverging_modules
    from translator.inputs import example
    from translator.runtime import Runner

    translation = last(perturb_norms(Residual()).eval(), image(2, 3, 16, 16))
    captured, emitted = translation.captured, translation.emitted
    runner = Runner(emitted.source, emitted.constants, captured.state, wide=True, takes_key=emitted.takes_key)
    found = diverging_modules(captured, emitted, runner, example(captured))
    assert len(found.rows) == 4 and all(row.inputs_ok and row.output_ok for row in found.rows)


def test_layouts_by_name():
    module, x = Flattened().eval(), image(2, 3, 8, 7)
    assert translator.translate(module, (x,), layout="torch").source == translator.translate(module, (x,)).source
    with pytest.raises(TranslationError, match='layout is "torch" or "nhwc"'):
        translator.translate(module, (x,), layout="nchw")


def test_the_report_says_which(tmp_path):
    folder = last(Flattened().eval(), image(2, 3, 8, 7)).save(tmp_path / "flattened")
    assert '"layout": "nhwc"' in (folder / "report.json").read_text()
