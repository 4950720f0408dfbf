import pytest
import torch

from tests.ops.harness import check

X = torch.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x.view(6, 4), x.reshape(-1, 2), x.reshape(24), x[0, 0, 0].reshape(()), x.flatten(1), x.flatten(), x.unflatten(2, (2, -1))),
        lambda x: (x[:1].squeeze(), x[:1].squeeze(0), x.squeeze(1), x.unsqueeze(-1), x.unsqueeze(0), x.unsqueeze(2)),
        lambda x: (x.transpose(0, -1), x[0].t(), x.permute(2, 0, 1), x.permute(0, 2, 1), x.mT, x.movedim(0, 2)),
        lambda x: (x[:1].expand(5, 3, 4), x[0].expand(2, -1, -1), x[0, 0].expand_as(x), x[..., :1].broadcast_to(2, 3, 6)),
        lambda x: (torch.cat([x, x[:, :1]], 1), torch.cat([x, torch.empty(0)]), torch.stack([x, x], -1), torch.cat([x, x.int()])),
        lambda x: (x[1], x[:, -1], x[..., 2], x[:, 1:], x[:, -2:], x[:, :-1], x[:, ::2], x[:, 5:], x[:, :100], x.narrow(2, -3, 2)),
        lambda x: (*x.split(2, 2), *x.split([1, 2], 1), *x.chunk(3, -1), *x.unbind(1), *x.split(2, 1)),
        lambda x: (x.repeat(2, 1, 1), x.repeat(2, 1, 1, 3), x.tile(2), x.repeat_interleave(2, 1), x.repeat_interleave(2)),
        lambda x: (x.flip(0), x.flip(-1, 1), x.roll(1), x.roll(1, 2), x.roll((1, -2), (0, 2)), x.diagonal(0, 1, 2), x.diagonal(1)),
        lambda x: (x.int(), x.to(torch.float16), x.bool(), x.type_as(x.int()), x.clone(), x.contiguous(), x.detach()),
    ],
)  # fmt: skip
def test_shapes(function):
    check(function, X)


@pytest.mark.parametrize("shape", [(1, 8, 2, 3), (8, 2, 3), (2, 2, 8, 2, 3)])
def test_pixel_shuffle(shape):
    x = torch.randn(shape)
    check(lambda x: torch.pixel_shuffle(x, 2), x, op="aten.pixel_shuffle.default")
    check(lambda x: torch.pixel_unshuffle(torch.pixel_shuffle(x, 2), 2), x, op="aten.pixel_unshuffle.default")


def test_channel_shuffle():
    check(lambda x: torch.channel_shuffle(x, 3), torch.randn(2, 6, 3, 3))


def test_zero_length_axes():
    check(lambda x: (x.reshape(0, 4), x.flatten(1), x.transpose(0, 1), torch.cat([x, x], 1)), torch.empty(3, 0, 4))
