"""Numbers that forward takes out of tensors: they stay arrays, and the emitted module runs under jax.jit."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import translator

torch.manual_seed(0)
X, MASK = torch.randn(3, 5), torch.tensor([True, True, False])


class Of(nn.Module):
    """A function of x, a mask and the module's own tensors."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("scale", torch.tensor(2.5))
        self.register_buffer("place", torch.tensor([2]))

    def forward(self, x, mask):
        return self.function(self, x, mask)


def written(x, place):
    x = x * 1
    x[place].mul_(2)
    return x


CASES = {
    "an index": lambda s, x, m: x[m.sum() - 1],
    "an index from the end": lambda s, x, m: x[:, x.shape[1] - m.sum()] + x[-m.sum().item()].sum(),
    "an index that is a buffer": lambda s, x, m: x[:, s.place.item()],
    "a place to write to": lambda s, x, m: written(x, m.sum()),
    "a place to begin at": lambda s, x, m: x.narrow(1, m.sum().item(), 2),
    "a shift": lambda s, x, m: x.roll(m.sum().item(), 1).roll((m.sum().item(), 2), (0, 1)),
    "a factor": lambda s, x, m: x * s.scale.item() + s.weight.item() - x.max().item(),
    "a factor of integers": lambda s, x, m: torch.arange(5) * s.scale.item() + torch.arange(5) * m.sum().item(),
    "arithmetic": lambda s, x, m: x + (3 - m.sum().item() * 7) / 2 + (m.sum().item() + 5) // -3 + -m.sum().item() % 5,
    "powers": lambda s, x, m: x.abs() ** s.scale.item() + x ** m.sum().item(),
    "a length and a number": lambda s, x, m: x * (x.shape[0] - m.sum().item()) / (x.shape[1] * m.sum().item()),
    "comparisons": lambda s, x, m: (x > m.sum().item(), x <= x.mean().item(), torch.where(x > 0, x, x.min().item())),
    "bounds": lambda s, x, m: x.clamp(max=x.mean().item()).clamp(-s.scale.item(), 1.0).clamp_min(x.min().item() / 2),
    "fillings": lambda s, x, m: torch.full((3,), x.max().item()) + x.masked_fill(x > 0, -s.scale.item())[:, 0],
    "an integer filling": lambda s, x, m: torch.full((2,), m.sum().item()),
    "of half precision": lambda s, x, m: x.half() * x.half().max().item() + x.bfloat16() * s.scale.half().item(),
    "of half precision without axes": lambda s, x, m: (
        x.half().sum() - x.max().item(), torch.stack([v.half() > v.item() for v in (x[0, 0], x[0, 1], x[1, 0], x[1, 1])]), x.half().sum() ** s.scale.item(),
        torch.clamp(x.bfloat16().mean(), min=x.mean().item()), x[0, 0].half() * s.scale.item() + x.bfloat16().sum(),
    ),
    "a remainder": lambda s, x, m: x % s.scale.item() + torch.fmod(x, s.scale.item()),
    "returned": lambda s, x, m: (x.sum().item(), x.sum().item() + 1, m.sum().item() * 2, x.half().max().item()),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_agrees_with_torch(name):
    module = Of(CASES[name]).eval()
    translation = translator.translate(module, (X, MASK))
    assert "Not for jax.jit" not in translation.source
    assert translation.verify(random=1, sizes=1).ok
    found = eqx.filter_jit(translation.model)(jnp.asarray(X.numpy()), jnp.asarray(MASK.numpy()))
    expected = module(X, MASK)
    several = isinstance(expected, tuple)
    for ours, theirs in zip(found if several else [found], expected if several else [expected], strict=True):
        theirs = theirs.detach().float().numpy() if isinstance(theirs, torch.Tensor) else theirs
        np.testing.assert_allclose(np.asarray(ours, np.float32), theirs, rtol=1e-2 if "half" in name else 1e-5)


def test_a_number_has_no_gradient():
    module = Of(lambda s, x, m: x * s.weight + x.square() * s.weight.item() * x.mean().item()).eval()
    translation = translator.translate(module, (X, MASK))
    assert translation.verify(gradients=True).ok


def test_a_length_needs_a_number():
    with pytest.raises(translator.TranslationError, match="depends on the values"):
        translator.translate(Of(lambda s, x, m: x.sum() * torch.ones(m.sum().item())).eval(), (X, MASK))
