"""Modules with arrays whose lengths depend on values: they run on arrays, and say that they are not for jax.jit."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import translator

torch.manual_seed(0)
X = torch.randn(4, 5)
INTS = torch.tensor([3, 1, 1, 2, 2, 2, 0, 3])
NAN = torch.tensor([1.0, float("nan"), 1.0, float("nan"), 0.0])

CASES = {
    "mask": (lambda x: x[x > 0] * 2, X),
    "mask_of_rows": (lambda x: x[x[:, 0] > 0].sum(0), X),
    "masked_select": (lambda x: torch.masked_select(x, x[:1] > 0).view(-1, 1), X),
    "nonzero": (lambda x: torch.nonzero(x > 0.5) + 1, X),
    "nonzero_as_tuple": (lambda x: x[torch.nonzero(x > 0.5, as_tuple=True)], X),
    "argwhere": (lambda x: torch.argwhere(x < 0), X),
    "nonzero_of_no_axes": (lambda x: torch.nonzero(x), torch.tensor(2.0)),
    "unique": (lambda x: torch.unique(x), INTS),
    "unique_with_all": (lambda x: torch.unique(x, return_inverse=True, return_counts=True), INTS),
    "unique_of_nan": (lambda x: torch.unique(x), NAN),
    "unique_rows": (lambda x: torch.unique(x, dim=0, return_counts=True), INTS.reshape(4, 2)),
    "unique_consecutive": (lambda x: torch.unique_consecutive(x, return_inverse=True, return_counts=True), INTS),
    "bincount": (lambda x: torch.bincount(x, minlength=6), INTS),
    "bincount_weighted": (lambda x: torch.bincount(x, x * 0.5), INTS),
    "repeat_interleave": (lambda x: torch.repeat_interleave(x), INTS),
    "repeat_interleave_of": (lambda x: torch.repeat_interleave(x + 1, x), INTS),
    "of_what_was_written_to": (lambda x: torch.nonzero(x.clone().index_fill_(0, torch.tensor([1]), 0)), X),
    "then_a_layer_over_them": (lambda x: torch.softmax(x[x > 0], 0).cumsum(0), X),
}


class Of(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("name", CASES)
def test_it_agrees_with_torch(name):
    function, x = CASES[name]
    translation = translator.translate(Of(function).eval(), (x,))
    verification = translation.verify(sizes=1)  # each length is compiled op by op
    assert verification.ok, str(verification)
    assert "Not for jax.jit" in translation.source and "filter_jit" not in translation.source.split('"""')[1]


def test_another_number_of_hits():
    translation = translator.translate(Of(CASES["mask"][0]).eval(), (X,))
    for x in (X.abs(), -X.abs(), torch.ones(7, 2)):
        ours = translation.model(jnp.asarray(x.numpy()))
        np.testing.assert_allclose(np.asarray(ours), CASES["mask"][0](x).numpy(), rtol=1e-6)


def test_it_runs_through_a_class_of_its_own():
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(5, 3)

        def forward(self, rows):
            return self.linear(rows).relu() * rows.shape[0]

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def forward(self, x):
            return self.inner(x[x[:, 0] > 0])

    translation = translator.translate(Outer().eval(), (X,))
    assert translation.verify().ok


def test_under_jit_jax_says_why_not():
    model = translator.translate(Of(CASES["nonzero"][0]).eval(), (X,)).model
    with pytest.raises(jax.errors.ConcretizationTypeError):
        jax.jit(lambda x: model(x))(X.numpy())


def test_without_weights_there_is_nothing_to_measure_by():
    with torch.device("meta"):
        module, x = Of(CASES["mask"][0]).eval(), torch.empty(4, 5)
    with pytest.raises(translator.TranslationError, match="depends on the values"):
        translator.translate(module, (x,))
