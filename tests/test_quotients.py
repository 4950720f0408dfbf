"""Quotients that are rounded come out as torch's, where XLA would multiply by a reciprocal."""

import jax
import numpy as np
import pytest
import torch
from torch import nn

import translator
from tests.function import Function
from tests.ops.harness import to_array

S = torch.arange(1.0, 500.0)
X = S[:, None] * torch.arange(1.0, 8.0)  # each quotient is whole

ROUNDED = {
    "floor": lambda x, s: (x / s[:, None]).floor(),
    "ceil": lambda x, s: (x / s[:, None]).ceil(),
    "integer": lambda x, s: (x / s[:, None]).long(),
    "trunc": lambda x, s: torch.div(x, s[:, None], rounding_mode="trunc"),
    "floor of division": lambda x, s: torch.div(x, s[:, None], rounding_mode="floor"),
    "by its own column": lambda x, s: (x / x[:, :1]).trunc(),
    "remainder": lambda x, s: x % s[:, None],
    "both broadcast": lambda x, s: (s[:50, None] / s[None, :50]).floor(),
    "by a constant": lambda x, s: torch.stack([(x * n / n).floor() for n in (3, 5, 7.0, 41, 49, 0.1)]),
    "integers by a constant": lambda x, s: torch.stack([(x.int() * n / n).long() for n in (3, 41, 49)]),
    "truncated by a constant": lambda x, s: torch.stack(
        [torch.div(x * n, n, rounding_mode="trunc") for n in (3, 41.0)]
    ),
    "by a size": lambda x, s: (s * s.shape[0] / s.shape[0]).floor(),
    "in half precision": lambda x, s: torch.stack([(s[:40].bfloat16() * n / n).int() for n in (3.0, 5.0)]),
    "by an array without axes": lambda x, s: torch.stack([(x * s[n] / s[n]).floor() for n in (4, 40)]),
    "without axes": lambda x, s: torch.stack([(s[n] * 41 / 41).floor() for n in (0, 2, 30)]),
    "a number divided": lambda x, s: torch.stack([(41 * s / s / 41).floor(), (1.0 / (1 / s)).round()]),
    "half a step more": lambda x, s: torch.stack([(x * n / n + 1).floor() for n in (3, 41)]),
    "rounded twice": lambda x, s: torch.stack(
        [torch.div(x * 41, 41, rounding_mode=mode).long() for mode in ("floor", "trunc", None)]
    ),
    "moved before": lambda x, s: torch.cat([(x * 41 / 41).T.reshape(7, -1), (x * 3 / 3).T.chunk(7)[0]]).trunc(),
    "scaled before": lambda x, s: torch.stack([(x * n / n * 8 + 0.5).floor() for n in (3, 41)]),
    "compared": lambda x, s: torch.stack([x * n / n >= x for n in (3, 41)]),
    "a channel's share": lambda x, s: torch.arange(256.0) / 255 > 0.2,
    "by a root": lambda x, s: (x / (s * s)[:, None].expand(-1, 7).contiguous().sqrt()).floor(),
    "by a norm": lambda x, s: (s * 3 / torch.stack([s, 0 * s]).norm(dim=0)).floor(),
    "by a power": lambda x, s: (s[:200] ** 3 * 3 / torch.pow(s[:200], 3.0)).floor(),
    "by what is expanded": lambda x, s: (x / s[:, None].expand(-1, 7)).floor(),
    "by what is repeated": lambda x, s: (x / s[:, None].repeat(1, 7)).floor(),
    "divided again": lambda x, s: torch.stack([(x * 41 / 41) // 1, (x * 41 / 41) % 1, (x * 41 / 41).fmod(1)]),
    "divided again, with a mode": lambda x, s: torch.stack(
        [torch.div(x * 41 / 41, 1.0, rounding_mode=mode) for mode in ("floor", "trunc")]
    ),
    "less than the greatest": lambda x, s: (x / s[7] - (x / s[7]).max()) // -3,
    "sorted": lambda x, s: torch.stack([(s * 41 / 41).sort()[0], (s * 41 / 41).topk(499)[0]]).floor(),
    "sorted into": lambda x, s: torch.stack([torch.bucketize(s * 41 / 41, s), torch.searchsorted(s, s * 41 / 41)]),
    "of the sign": lambda x, s: torch.stack([torch.sgn(s * 41 / 41 - s), torch.heaviside(s * 41 / 41 - s, s)]),
    "one of": lambda x, s: torch.isin(s * 41 / 41, s),
    "twice": lambda x, s: (s * s * 3 / s / s.flip(0).flip(0)).floor(),
    "by a constant array": lambda x, s: (s * 41 / torch.full_like(s, 41.0)).floor(),
    "one axis more": lambda x, s: (x[:7] / x[0]).int(),
}


@pytest.mark.parametrize("name", ROUNDED)
def test_rounded(name):
    module = Function(ROUNDED[name]).eval()
    translation = translator.translate(module, (X, S))
    found = jax.jit(lambda x, s: translation.model(x, s))(X.numpy(), S.numpy())
    np.testing.assert_array_equal(found, module(X, S))


@pytest.mark.parametrize("function", [
    lambda x, s: x / s[:, None],
    lambda x, s: (x / 4).floor(),
    lambda x, s: (x / x.flip(1)).floor(),
])  # fmt: skip
def test_what_is_not_rounded_or_does_not_broadcast_is_plain(function):
    translation = translator.translate(Function(function).eval(), (X, S))
    assert "exact_divide" not in translation.source and translation.verify().ok


def test_other_sizes_and_gradients():
    class Straight(nn.Module):
        """Rounds forward, and lets gradients pass as if it did not."""

        def forward(self, x, s):
            y = x / s[:, None]
            return y + (y.round() - y).detach()

    translation = translator.translate(Straight().train(), (X.clone().requires_grad_(), S))
    assert "exact_divide" in translation.source and translation.verify(gradients=True).ok


def test_images_stay_channels_last():
    class Quantized(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x):
            y = self.first(x)
            return self.second((y / 0.3).round() * 0.3 + (y / y.amax((2, 3), keepdim=True)).floor())

    translation = translator.translate(Quantized().eval(), (torch.randn(2, 3, 5, 4),), layout="nhwc")
    assert translation.verify().ok
    assert translation.source.count("exact_divide(") == 3 and translation.source.count("moveaxis(") == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mode", ["floor", "trunc"])
def test_halves_are_divided_by_numbers_as_they_are(dtype, mode):
    """torch rounds neither the number to a half nor the quotient before it is rounded to a whole one."""
    numbers = [0.3, 0.7, -0.7, 3, 7, 0.1]
    x = torch.stack([torch.arange(-200, 200) * torch.tensor(float(n), dtype=dtype) for n in numbers]).to(dtype)

    def by_all(x):
        by_numbers = [torch.div(x, n, rounding_mode=mode) for n in numbers]
        return torch.stack([*by_numbers, *(torch.div(x, torch.tensor(n), rounding_mode=mode) for n in numbers)])

    translation = translator.translate(Function(by_all), (x,))
    found = jax.jit(translation.model)(to_array(x))
    np.testing.assert_array_equal(np.asarray(found, np.float32), by_all(x).float().numpy())
