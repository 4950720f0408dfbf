"""Single modules and ops at sizes that networks have them at, to be translated and timed one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch import randn as normal

from tests.function import Function


class Case(NamedTuple):
    """A module and its arguments."""

    name: str
    module: nn.Module
    args: tuple[Tensor, ...]


def op(name: str, function: Callable[..., Any], *args: Tensor) -> Case:
    return Case(name, Function(function), args)


def layer(kind: Callable[..., nn.Module], *args: Tensor, **options: Any) -> Case:
    """A layer, named by the options of its constructor."""
    module = kind(**options)
    shown = ", ".join(f"{name.partition('_')[0]} {value}" for name, value in options.items())
    return Case(f"{module._get_name()} {shown}".strip(), module, args)


def cases() -> Iterator[Case]:
    """All cases."""
    yield from convolutions()
    yield from windows()
    yield from layers()
    yield from running()
    yield from indexing()
    yield from products()
    yield from elements()


def convolutions() -> Iterator[Case]:
    sizes = {1: (2, 64, 1000), 2: (4, 64, 56, 56), 3: (1, 32, 16, 32, 32)}
    windows: dict[int, list[tuple[Any, int, Any, int, int]]] = {
        1: [(3, 1, 1, 1, 1), (3, 2, 1, 1, 1), (15, 1, 7, 1, 64), (3, 1, 27, 27, 1), (3, 1, 1, 1, 16), (16, 1, 8, 1, 1)],
        2: [
            (3, 1, 1, 1, 1),
            (3, 2, 1, 1, 1),
            (7, 2, 3, 1, 1),
            (1, 2, 0, 1, 1),
            (3, 1, 2, 2, 1),
            (3, 1, 1, 1, 4),
            (3, 2, 1, 1, 16),
            (5, 2, 2, 1, 64),
            (4, 1, 2, 1, 1),
            (2, 2, 0, 1, 1),
            ((1, 7), 1, (0, 3), 1, 1),
            ((7, 1), 1, (3, 0), 1, 1),
        ],
        3: [
            (3, 1, 1, 1, 1),
            (3, 2, 1, 1, 1),
            (2, 2, 0, 1, 1),
            (3, 1, 1, 1, 32),
            ((1, 3, 3), 1, (0, 1, 1), 1, 1),
            ((3, 1, 1), 1, (1, 0, 0), 1, 1),
            (3, 1, 1, 1, 4),
        ],
    }
    for axes, options in windows.items():
        conv, x = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1], normal(sizes[axes])
        for kernel, stride, padding, dilation, groups in options:
            module = conv(x.shape[1], x.shape[1], kernel, stride, padding, dilation, groups)
            yield Case(
                f"Conv{axes}d {kernel}, stride {stride}, padding {padding}, dilation {dilation}, groups {groups}",
                module,
                (x,),
            )
    transposed = {
        1: ((2, 64, 500), [(16, 8, 4, 1), (4, 2, 1, 64)]),
        2: ((2, 64, 28, 28), [(4, 2, 1, 1), (2, 2, 0, 1), (3, 1, 1, 1), (4, 2, 1, 4), (4, 2, 1, 64)]),
        3: ((1, 32, 8, 16, 16), [(2, 2, 0, 1), (4, 2, 1, 1), (3, 1, 1, 1)]),
    }
    for axes, (size, all_options) in transposed.items():
        conv, x = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[axes - 1], normal(size)
        for kernel, stride, padding, groups in all_options:
            module = conv(x.shape[1], x.shape[1], kernel, stride, padding, groups=groups)
            yield Case(
                f"ConvTranspose{axes}d {kernel}, stride {stride}, padding {padding}, groups {groups}", module, (x,)
            )


def windows() -> Iterator[Case]:
    image, volume = normal(4, 64, 56, 56), normal(1, 32, 16, 32, 32)
    for kind in (nn.MaxPool2d, nn.AvgPool2d):
        yield from (
            layer(kind, image, kernel_size=k, stride=s, padding=p) for k, s, p in ((2, 2, 0), (3, 2, 1), (7, 1, 3))
        )
    yield from (layer(kind, volume, kernel_size=3, stride=2, padding=1) for kind in (nn.MaxPool3d, nn.AvgPool3d))
    yield layer(nn.MaxPool1d, normal(2, 64, 1000), kernel_size=3, stride=2)
    yield from (layer(kind, image, output_size=5) for kind in (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d))
    for mode in ("nearest", "bilinear", "bicubic", "area"):
        yield op(
            f"interpolate {mode}", lambda x, mode=mode: F.interpolate(x, size=50, mode=mode), normal(2, 32, 28, 28)
        )
    smooth = lambda x: F.interpolate(x, size=20, mode="bilinear", antialias=True)
    yield op("interpolate bilinear, antialias", smooth, normal(2, 32, 56, 56))
    yield op(
        "interpolate trilinear", lambda x: F.interpolate(x, scale_factor=2, mode="trilinear"), normal(1, 16, 8, 16, 16)
    )
    for mode in ("reflect", "replicate", "circular"):
        yield op(f"pad {mode}", lambda x, mode=mode: F.pad(x, (3, 3, 3, 3), mode), image)
    for mode in ("bilinear", "bicubic"):
        sample = lambda x, grid, mode=mode: F.grid_sample(x, grid, mode=mode, align_corners=False)
        yield op(f"grid_sample {mode}", sample, normal(2, 32, 56, 56), torch.rand(2, 56, 56, 2) * 2 - 1)
    yield op("unfold", lambda x: F.unfold(x, 3, padding=1), normal(2, 64, 56, 56))
    yield op("fold", lambda x: F.fold(x, (56, 56), 3, padding=1), normal(2, 288, 3136))
    yield op("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), image)


def layers() -> Iterator[Case]:
    image, tokens = normal(4, 64, 56, 56), normal(8, 128, 768)
    for norm in (nn.GroupNorm(8, 64), nn.InstanceNorm2d(64, affine=True), nn.BatchNorm2d(64), nn.LocalResponseNorm(5)):
        yield Case(norm._get_name(), norm, (image,))
    for norm in (nn.LayerNorm(768), nn.RMSNorm(768)):
        yield Case(norm._get_name(), norm, (tokens,))
    yield Case("Linear", nn.Linear(768, 3072), (tokens,))
    yield Case("Bilinear", nn.Bilinear(64, 64, 64), (normal(128, 64), normal(128, 64)))
    yield Case("Embedding", nn.Embedding(8192, 512), (torch.randint(0, 8192, (8, 128)),))
    yield Case("EmbeddingBag", nn.EmbeddingBag(8192, 256), (torch.randint(0, 8192, (64, 50)),))
    yield Case("MultiheadAttention", nn.MultiheadAttention(256, 8, batch_first=True), (normal(8, 128, 256),) * 3)
    for kind in (nn.LSTM, nn.GRU, nn.RNN):
        yield Case(kind.__name__, kind(128, 128, batch_first=True), (normal(32, 64, 128),))
    yield Case("LSTM, both ways", nn.LSTM(128, 128, batch_first=True, bidirectional=True), (normal(4, 64, 128),))


def running() -> Iterator[Case]:
    x = normal(64, 2000)
    for name in ("cumsum", "cumprod", "logcumsumexp"):
        yield op(name, lambda x, name=name: getattr(torch, name)(x, -1), x)
    yield op("cummax", lambda x: torch.cummax(x, -1)[0], x)
    yield op("sort", lambda x: torch.sort(x, -1)[0], x)
    yield op("topk", lambda x: torch.topk(x, 10)[0], x)
    yield op("median", lambda x: x.median(-1)[0], x)
    yield op("kthvalue", lambda x: x.kthvalue(5, -1)[0], x)
    yield op("quantile", lambda x: x.quantile(0.3, -1), x)
    yield op("prod", lambda x: x.prod(-1), normal(64, 200))
    yield op("var", lambda x: x.var((2, 3)), normal(4, 64, 56, 56))
    yield op("logsumexp", lambda x: torch.logsumexp(x, 1), normal(4, 64, 56, 56))
    yield op("softmax", lambda x: F.softmax(x, -1), normal(8, 12, 128, 128))
    target, lengths = torch.randint(0, 1000, (256,)), torch.full((8,), 20)
    yield op("cross_entropy", lambda x: F.cross_entropy(x, target), normal(256, 1000))
    loss = lambda x: F.ctc_loss(x.log_softmax(-1), torch.ones(8, 20, dtype=torch.long), 5 * lengths, lengths)
    yield op("ctc_loss", loss, normal(100, 8, 50))


def indexing() -> Iterator[Case]:
    columns, rows = torch.randint(0, 2000, (64, 500)), torch.randint(0, 1000, (5000,))
    yield op("gather", lambda x: x.gather(1, columns), normal(64, 2000))
    yield op("index_select", lambda x: x.index_select(0, rows), normal(1000, 64))
    yield op("index_add", lambda x: torch.zeros(1000, 64).index_add(0, rows, x), normal(5000, 64))
    yield op("scatter", lambda x: torch.zeros(64, 2000).scatter(1, columns, x), normal(64, 500))
    yield op("scatter_reduce", lambda x: torch.zeros(64, 2000).scatter_reduce(1, columns, x, "amax"), normal(64, 500))
    yield op("repeat_interleave", lambda x: x.repeat_interleave(3, 1), normal(4, 64, 56, 56))
    yield op("roll", lambda x: x.roll((3, 3), (2, 3)), normal(4, 64, 56, 56))


def products() -> Iterator[Case]:
    heads, square = normal(8, 12, 128, 64), normal(16, 32, 32)
    positive = square @ square.mT + 32 * torch.eye(32)
    yield op("bmm", torch.bmm, normal(96, 128, 64), normal(96, 64, 128))
    for causal in (False, True):
        attend = lambda q, k, v, causal=causal: F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        yield op(f"attention, causal {causal}", attend, heads, heads, heads)
    yield op("cdist", torch.cdist, normal(4, 200, 64), normal(4, 300, 64))
    yield op("cosine_similarity", lambda a, b: F.cosine_similarity(a, b, -1), normal(8, 128, 768), normal(8, 128, 768))
    for name in ("cholesky", "inv", "eigvalsh", "svdvals"):
        yield op(name, lambda x, name=name: getattr(torch.linalg, name)(x), positive)
    yield op("solve", torch.linalg.solve, positive, normal(16, 32, 4))
    yield op("rfft", lambda x: torch.fft.rfft(x).abs(), normal(2, 64, 1000))
    window = torch.hann_window(400)
    yield op("stft", lambda x: torch.stft(x, 400, 160, window=window, return_complex=True).abs(), normal(2, 16000))


def elements() -> Iterator[Case]:
    x = normal(4, 64, 56, 56)
    for name in ("gelu", "silu", "mish", "softplus", "elu", "hardswish", "logsigmoid", "softsign"):
        yield op(name, getattr(F, name), x)
    for name in ("tanh", "erf", "sin", "exp", "sigmoid"):
        yield op(name, getattr(torch, name), x)
    yield op("pow", lambda x: x.abs() ** 2.5, x)
    yield op("lgamma", lambda x: torch.lgamma(x.abs() + 1), x)
    yield op("atan2", torch.atan2, x, x + 1)
