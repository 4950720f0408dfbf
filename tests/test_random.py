"""Modules that draw random numbers take a key, split for each use, and draw what torch draws."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import torch
from torch import nn

import translator
from tests.function import Function
from tests.opinfo import statistics

X = torch.linspace(-1, 1, 12).reshape(3, 4)


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x):
        return self.dropout(self.linear(x)) + torch.rand_like(x)


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Noisy() for _ in range(3))
        self.last = Noisy()

    def forward(self, x, key):
        for layer in self.layers:
            x = layer(x)
        return self.last(x) * key + torch.randn(4)


class Silent(nn.Module):
    def forward(self, x):
        torch.rand(3)
        return x + 1


@pytest.fixture(scope="module")
def stack() -> translator.Translation:
    torch.manual_seed(0)
    return translator.translate(Stack().train(), (X, X))


def test_a_loop_splits_a_key_for_each_round(stack):
    lines = [line.strip() for line in stack.source.splitlines()]
    at = lines.index("for layer in self.layers:")
    assert lines[at + 1 : at + 3] == ["key, subkey = jax.random.split(key)", "x = layer(x, key=subkey)"]
    assert stack.source.count("class Noisy") == 1
    assert "key1, key2 = jax.random.split(key)" in stack.source
    assert "(training mode)" in stack.source and "key=jax.random.key(0)" in stack.source


def test_a_class_within_a_list_splits_its_key_at_once_and_names_nothing_after_it():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    module = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).train()
    source = translator.translate(module, (torch.randn(2, 3, 8),)).source
    assert "key1, key2, key3, key4 = jax.random.split(key, 4)" in source
    assert "key = dropout" not in source


def test_an_argument_called_key_makes_room(stack):
    assert "key_: Float" in stack.source and "*, key: PRNGKeyArray" in stack.source


def test_draws_are_torchs(stack):
    model, module = stack.model, stack.captured.module
    found = statistics.draws(lambda key: [model(X.numpy(), X.numpy(), key=key)])
    with torch.no_grad():
        assert not statistics.problem(found[0], lambda: module(X, X))


def test_the_same_key_gives_the_same_and_another_another(stack):
    run = jax.jit(lambda key: stack.model(X.numpy(), X.numpy(), key=key))
    first, again, other = (np.asarray(run(jax.random.key(seed))) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    many = jax.vmap(run)(jax.random.split(jax.random.key(2), 3))
    assert len(np.unique(np.asarray(many)[:, 0, 0])) == 3


def test_evaluation_needs_no_key():
    translation = translator.translate(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).eval(), (X,))
    assert "PRNGKeyArray" not in translation.source.split("def __call__")[1].split("def bind")[0]


def test_what_is_drawn_and_not_read_needs_no_key():
    assert translator.translate(Silent().eval(), (X,)).verify().ok


def test_what_is_random_is_verified_with_nothing_left_to_chance(stack):
    verification = stack.verify()
    assert verification.ok
    assert any("not left to chance" in note for note in verification.notes)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: nn.functional.gumbel_softmax(x, tau=0.5),
        lambda x: nn.functional.gumbel_softmax(x, hard=True),
        lambda x: x + torch.empty_like(x).exponential_(2.0) + torch.empty_like(x).cauchy_(0.5, 2.0),
        lambda x: torch.multinomial(x.softmax(-1), 2) * 3,
        lambda x: torch.multinomial(x.softmax(-1), 5, replacement=True),
        lambda x: torch.multinomial(x[0].softmax(-1), 3) + 1,
    ],
)
def test_what_draws_is_verified_without_chance(function):
    verification = translator.translate(Function(function).eval(), (X,)).verify(sizes=1)
    assert verification.ok, str(verification)
