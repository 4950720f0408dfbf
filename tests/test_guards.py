"""What a translation does not stand for is refused: other lengths than the trace was about, and other baked values."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.fx.experimental.symbolic_shapes import sym_and, sym_or

import translator

X = torch.linspace(-1, 1, 24).reshape(6, 4)


class Of(nn.Module):
    """A function as a module, with a parameter so that there is something to bind."""

    def __init__(self, function: Callable):
        super().__init__()
        self.function = function
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, *args, **kwargs):
        return self.function(self.scale, *args, **kwargs)


def translated(function: Callable, *args, **kwargs) -> translator.Translation:
    translation = translator.translate(Of(function).eval(), args, kwargs)
    verification = translation.verify(random=0, sizes=1)
    assert verification.ok, str(verification)
    return translation


LENGTHS = [
    # the module, lengths of the first axis that torch translated for, and those that it did not
    (lambda s, x: x * s * 2 if x.shape[0] > 3 else x * 3, (4, 7, 9), (2, 3)),
    (lambda s, x: x * s + 1 if x.shape[0] % 2 == 0 else x, (2, 8), (3, 7)),
    (lambda s, x: s * x / math.sqrt(x.shape[0]), (6,), (5, 7)),
    (lambda s, x: (s * x).reshape(2, -1, 4), (2, 8, 10), (3, 7)),
    (lambda s, x: s * x.squeeze(0), (2, 5), (1,)),
    (lambda s, x: s * x.sum(1).squeeze(), (2, 5), (1,)),
    (lambda s, x: s * sum(x[i] for i in range(x.shape[0])), (6,), (4, 7)),
    (lambda s, x: s * x if sym_or(x.shape[0] > 5, x.shape[0] == 2) else x, (2, 6, 8), (1, 3, 5)),
    (lambda s, x: s * x if sym_and(x.shape[0] > 3, x.shape[0] % 2 == 0) else x, (4, 8), (2, 3, 5)),
    (lambda s, x: s * x + 1 if sym_and(x.shape[0] > 8, x.shape[0] % 2 == 0) else x, (5, 8, 9), (10, 12)),
]


@pytest.mark.parametrize("number", range(len(LENGTHS)))
def test_lengths_that_take_another_way_through_the_module_are_refused(number):
    function, right, wrong = LENGTHS[number]
    translation = translated(function, X)
    module = Of(function)
    for length in right:
        x = torch.randn(length, 4)
        np.testing.assert_allclose(translation.model(x.numpy()), module(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    for length in wrong:
        with pytest.raises((ValueError, TypeError)):
            translation.model(np.ones((length, 4), np.float32))


class Positions(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.positions = nn.Embedding(10, 4), nn.Embedding(8, 4)

    def forward(self, ids):
        return self.words(ids) + self.positions(torch.arange(ids.shape[1]))


def test_positions_beyond_the_table_are_refused_as_torch_refuses_them():
    translation = translator.translate(Positions().eval(), (torch.randint(0, 10, (2, 5)),))
    assert translation.model(np.zeros((2, 8), np.int32)).shape == (2, 8, 4)
    with pytest.raises(ValueError, match=r"ids.shape\[1\] <= 8"):
        translation.model(np.zeros((2, 9), np.int32))


def test_what_torchs_kernels_note_in_passing_is_no_reason_to_refuse():
    module = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Flatten(2), nn.AdaptiveAvgPool1d(1)).eval()
    translation = translator.translate(module, (torch.randn(2, 3, 16, 16),))
    for size in (1, 2, 3, 40):
        x = torch.randn(1, 3, size, size)
        np.testing.assert_allclose(translation.model(x.numpy()), module(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_fixed_axes_are_checked_together():
    translation = translator.translate(Of(lambda s, x: s * x).eval(), (torch.randn(2, 3, 4, 5),), dynamic_shapes=None)
    assert "x_0.shape != (2, 3, 4, 5)" in translation.source or ".shape != (2, 3, 4, 5)" in translation.source
    with pytest.raises(ValueError, match="must be of shape"):
        translation.model(np.ones((2, 3, 4, 6), np.float32))


BAKED = [
    ((3,), [(3.0,), (4,), ("3",)]),
    ((3.0,), [(3,), (2.0,)]),
    ((0.0,), [(-0.0,), (0,)]),
    ((math.nan,), [(0.0,)]),
    ((math.inf,), [(-math.inf,)]),
    ((True,), [(False,), (1,)]),
    (("mean",), [("sum",), (None,)]),
    (([0, 1],), [([0, 1, 2],), ([0],), ([1, 0],)]),
    (({"a": 1, "b": 2},), [({"a": 1},), ({"a": 1, "b": 3},), ({"a": 1, "b": 2, "c": 3},)]),
]


@pytest.mark.parametrize("number", range(len(BAKED)))
def test_another_baked_value_is_refused(number):
    """A value of another type is another value: it may promote to another dtype."""
    given, others = BAKED[number]
    translation = translator.translate(Of(lambda s, x, value: s * x).eval(), (X, *given))
    assert translation.model(X.numpy(), *given).shape == (6, 4)
    for other in others:
        with pytest.raises((ValueError, TypeError, KeyError)):
            translation.model(X.numpy(), *other)


class Twice(nn.Module):
    def __init__(self, first: float, second: float):
        super().__init__()
        self.inner, self.numbers = Of(lambda s, x, n: torch.tanh(s * x) * n + torch.sin(x) * s - n), (first, second)

    def forward(self, x):
        return self.inner(x, self.numbers[0]) + self.inner(x, self.numbers[1])


@pytest.mark.parametrize("numbers", [(2.0, 3.0), (2.0, 2.0), (0.0, -0.0)])
def test_a_module_called_twice_with_other_numbers(numbers):
    translation = translator.translate(Twice(*numbers).eval(), (X,))
    assert translation.verify().ok


VALUES = [
    lambda s, x: s * x * ((torch.arange(4)[:1] == torch.arange(4)) + 1),
    lambda s, x: s * x + (torch.arange(1) - torch.arange(4)),
    lambda s, x: s * x + torch.full((4,), 2.7, dtype=torch.int64),
    lambda s, x: (s * x).to(torch.int32) + torch.full((4,), True, dtype=torch.bool),
    lambda s, x: torch.cat([half * s for half in x.chunk(2)], 1),
    lambda s, x: s * x * x.shape[0] ** -0.5,
    lambda s, x: (s * x, x.shape[0] / x.shape[1], x.shape[0] // 2),
    lambda s, x: s * x * x.shape[0] + float(x.shape[0]),
    lambda s, x: s * x.to(torch.float64).mean() + torch.zeros(4, dtype=torch.float32).expand(6, 4),
]


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_what_is_folded_gives_the_same_values(number):
    translated(VALUES[number], X)


def test_torchs_own_tuples_keep_their_fields():
    translation = translated(lambda s, x: (torch.max(s * x, 1), torch.sort(s * x)), X)
    largest, ordered = translation.model(X.numpy())
    assert largest._fields == ordered._fields == ("values", "indices") and type(largest).__name__ == "MaxResult"


def test_a_split_into_one_part_is_that_part():
    translated(lambda s, x: [part * s for part in x.split(6)], X)
    translated(lambda s, x: torch.stack((s * x[:1]).unbind(0)), X)


def test_two_bounds_that_meet_are_one_length():
    def window(s, x):
        return s * x * 2 if x.shape[0] <= 6 and x.shape[0] >= 6 else x

    translation = translated(window, X)
    with pytest.raises(ValueError):
        translation.model(np.ones((5, 4), np.float32))
    translated(
        lambda s, x, y: (s * x * 2 if 2 * x.shape[0] <= y.shape[0] <= 2 * x.shape[0] else x, y), X, torch.ones(12)
    )


class Table(nn.Module):
    def __init__(self, function: Callable):
        super().__init__()
        self.function = function
        self.register_buffer("table", torch.tensor([[1.1, 2, 7, -3], [4.25, 5, 6, 1], [0, 9, 8, 2]]), persistent=False)

    def forward(self, *args):
        return self.function(self.table, *args)


LOOKUPS = [
    lambda t, i: t[i],
    lambda t, i: t.index_select(0, i) * 2,
    lambda t, i: t.gather(0, i[None].expand(2, 2)),
    lambda t, i: t.index_add(0, i, torch.ones(2, 4)),
    lambda t, i: t.scatter(0, i[None].expand(2, 2), 5.0),
    lambda t, i: t[torch.arange(3)[:2] + i.min()].reshape(-1)[..., None],
    lambda t, i: t[:, 1:][i] + (t * 2)[:, :3][i] + (-t)[:, 1:][i],
    lambda t, i: (t + 1).index_put((i,), torch.zeros(2, 4)),
]


@pytest.mark.parametrize("number", range(len(LOOKUPS)))
def test_constants_are_looked_up_by_what_jax_traces(number):
    translation = translator.translate(Table(LOOKUPS[number]).eval(), (torch.tensor([0, 1]),))
    assert translation.verify(sizes=0).ok


class Shortcut(nn.Module):
    """Its output width is to be seen in a part that some instances lack, and a fraction of it elsewhere."""

    def __init__(self, width: int, out: int):
        super().__init__()
        self.shortcut = nn.Linear(width, out) if width != out else None
        self.down, self.up = nn.Linear(width, out // 4), nn.Linear(out // 4, out)

    def forward(self, x):
        return self.up(self.down(x)) + (x if self.shortcut is None else self.shortcut(x))


def test_a_number_that_an_instance_does_not_use_is_what_its_others_follow_from():
    widths = [16, 16, 32, 48, 64, 64]
    module = nn.Sequential(*(Shortcut(a, b) for a, b in zip(widths, widths[1:], strict=False))).eval()
    assert translator.translate(module, (torch.randn(3, 16),)).verify(random=0, sizes=0).ok


class Transposed(nn.Module):
    def forward(self, x):
        return x.transpose(-1, -2)


class MaybeSwap(nn.Module):
    """A child without arrays that only some instances have."""

    def __init__(self, swaps: bool):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.swap = Transposed() if swaps else None

    def forward(self, x):
        x = torch.tanh(self.linear(x))
        return (x if self.swap is None else self.swap(x)) * 2


def test_an_optional_child_without_arrays_is_a_switch():
    module = nn.Sequential(*(MaybeSwap(n % 2 == 0) for n in range(4))).eval()
    translation = translator.translate(module, (torch.randn(2, 4, 4),))
    assert translation.verify(random=0, sizes=0).ok
    assert translation.source.count("class MaybeSwap") == 1 and "if self.has_swap:" in translation.source


def test_two_equal_calls_with_several_results():
    def twice(s, x):
        (a, b), (c, d) = torch.topk(s * x, 2), torch.topk(s * x, 2)
        return a + c, b + d

    translated(twice, X)


class Rounded(nn.Module):
    """Constants of which nothing wider than float32 is made until they meet an argument."""

    def forward(self, x):
        low, high = torch.broadcast_tensors(torch.tensor(0.1), torch.tensor(0.7))
        return x * (low + high * 1.1630870719457722)


def test_narrow_constants_keep_their_values_in_float64():
    translation = translator.translate(Rounded().eval(), (X,))
    assert translation.verify(random=0, sizes=0).ok
