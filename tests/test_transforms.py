"""torch.func's transforms within forward."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import translator

torch.manual_seed(0)


class Of(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.function = function

    def forward(self, *inputs):
        return self.function(self, *inputs)


X, Y = torch.randn(2, 5, 4), torch.randn(3, 2)
CASES = {
    "vmap": (lambda s, x: torch.vmap(lambda row: s.linear(row).relu().cumsum(0))(x[0]), X),
    "vmap in vmap": (
        lambda s, x, y: torch.vmap(torch.vmap(lambda a, b: s.linear(a) * b.sum(), (0, None)), (0, 1))(x, y), X, Y,
    ),
    "jvp": (lambda s, x: torch.func.jvp(lambda y: (s.linear(y) ** 2).sum(-1), (x,), (torch.ones_like(x),)), X),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_agrees_with_torch(name):
    function, *inputs = CASES[name]
    verification = translator.translate(Of(function).eval(), tuple(inputs)).verify(random=1, sizes=1, gradients=True)
    assert verification.ok, str(verification)


def test_gradients_in_forward():
    module = Of(lambda s, x: torch.autograd.grad((x.requires_grad_() ** 3).sum(), x)[0]).eval()
    assert translator.translate(module, (X,)).verify(random=1, sizes=1).ok


@pytest.mark.parametrize(
    "function",
    [
        lambda s, x: torch.func.grad(lambda y: s.linear(y).square().sum())(x),
        lambda s, x: torch.func.jacrev(lambda y: s.linear(y).sum(0))(x[0]),
        lambda s, x: torch.autograd.grad(s.linear(x.requires_grad_()).square().sum(), x)[0],
    ],
)
def test_gradients_that_torch_export_takes_at_the_example_are_refused(function):
    with pytest.raises(translator.CaptureError, match="and use jax.grad"):
        translator.translate(Of(function).eval(), (X,))
