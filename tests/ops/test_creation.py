"""Arrays from sizes and numbers."""

import jax
import pytest
import torch

from op_table.registry import Unsupported
from tests.ops.harness import check, lowered
from tests.ops.tables import check_table

aten = torch.ops.aten
X = torch.randn(2, 3)
INTS = torch.arange(6).reshape(2, 3)
NONE = torch.zeros(())


def made(op, function):
    """A row for a function of no tensor: torch.export wants one input, which is passed over."""
    return (f"aten.{op}", lambda _: function(), [NONE])


def test_filled():
    minimum = torch.finfo(torch.float32).min
    check_table(
        [
            made("zeros.default", lambda: torch.zeros(2, 3)),
            made("zeros.default", lambda: torch.zeros(2, dtype=torch.int64)),
            made("ones.default", lambda: torch.ones(2, 3, dtype=torch.bool)),
            made("ones.default", lambda: torch.ones((), dtype=torch.float16)),
            made("full.default", lambda: torch.full((2, 3), 2.5)),
            made("full.default", lambda: torch.full((2, 3), minimum)),
            made("full.default", lambda: torch.full((2,), float("-inf"), dtype=torch.bfloat16)),
            made("full.default", lambda: torch.full((2, 3), 7)),
            made("full.default", lambda: torch.full((2, 3), 1.0)),
            made("full.default", lambda: torch.full((2, 3), True)),
            made("full.default", lambda: torch.full((), 3, dtype=torch.float32)),
            made("scalar_tensor.default", lambda: torch.scalar_tensor(2.5)),
            made("scalar_tensor.default", lambda: aten.scalar_tensor(3, dtype=torch.int64)),
            ("aten.zeros_like.default", torch.zeros_like, [X]),
            ("aten.zeros_like.default", lambda x: torch.zeros_like(x, dtype=torch.bool), [INTS]),
            ("aten.ones_like.default", torch.ones_like, [INTS]),
            ("aten.ones_like.default", lambda x: torch.ones_like(x, dtype=torch.float32), [INTS]),
            ("aten.full_like.default", lambda x: torch.full_like(x, 2.5), [X]),
            ("aten.full_like.default", lambda x: torch.full_like(x, 2.5, dtype=torch.float16), [INTS]),
            ("aten.full_like.default", lambda x: torch.full_like(x, 3.0), [INTS]),
            ("aten.full_like.default", lambda x: torch.full_like(x, 0), [X]),
            ("aten.fill.Scalar", lambda x: aten.fill.Scalar(x, -1.5), [X]),
            ("aten.fill.Tensor", lambda x, v: aten.fill.Tensor(x, v), [X.half(), torch.tensor(2.0)]),
            ("aten.copy.default", lambda x, y: aten.copy(x, y), [X, INTS]),
            ("aten.copy.default", lambda x, y: aten.copy(x, y), [X, INTS[0]]),
            ("aten.zero.default", lambda x: aten.zero(x), [X]),
            ("aten.new_zeros.default", lambda x: x.new_zeros(4), [INTS]),
            ("aten.new_zeros.default", lambda x: x.new_zeros((4, 1), dtype=torch.float16), [INTS]),
            ("aten.new_ones.default", lambda x: x.new_ones(4, 2), [X.half()]),
            ("aten.new_full.default", lambda x: x.new_full((2,), 3.5), [X]),
        ]
    )


@pytest.mark.parametrize("dtype", [None, torch.float16, torch.int64])
def test_empty_is_zeros(dtype):
    functions = {
        "empty.memory_format": lambda x: torch.empty(2, 3, dtype=dtype),
        "empty_like.default": lambda x: torch.empty_like(x, dtype=dtype),
        "new_empty.default": lambda x: x.new_empty(4, dtype=dtype),
        "new_empty_strided.default": lambda x: x.new_empty_strided((2, 2), (2, 1), dtype=dtype),
        "empty_strided.default": lambda x: torch.empty_strided((2, 2), (2, 1), dtype=dtype),
    }
    for op, function in functions.items():
        output, ops = lowered(function, X)
        assert f"aten.{op}" in ops and not output[0].any() and output[0].shape == function(X).shape


def test_ranges():
    check_table(
        [
            made("arange.default", lambda: torch.arange(5)),
            made("arange.default", lambda: torch.arange(5.0)),
            made("arange.default", lambda: torch.arange(5, dtype=torch.float32)),
            made("arange.default", lambda: torch.arange(5, dtype=torch.int32)),
            made("arange.default", lambda: torch.arange(300, dtype=torch.bfloat16)),
            made("arange.start", lambda: torch.arange(2, 7)),
            made("arange.start", lambda: torch.arange(0, 7, dtype=torch.float16)),
            made("arange.start_step", lambda: torch.arange(0, 10, 3)),
            made("arange.start_step", lambda: torch.arange(7, 0, -2)),
            made("arange.start_step", lambda: torch.arange(0, 1, 0.1)),
            made("arange.start_step", lambda: torch.arange(1, 2.05, 0.25)),
            made("arange.start_step", lambda: torch.arange(0, 10, 2, dtype=torch.float32)),
            made("linspace.default", lambda: torch.linspace(-1, 1, 7)),
            made("linspace.default", lambda: torch.linspace(0, 1, 1)),
            made("linspace.default", lambda: torch.linspace(0.5, 31.5, 32, dtype=torch.float64)),
            made("logspace.default", lambda: torch.logspace(-1, 1, 5)),
            made("logspace.default", lambda: torch.logspace(0, 4, 5, base=2.0)),
            made("eye.default", lambda: torch.eye(3)),
            made("eye.m", lambda: torch.eye(3, 4, dtype=torch.bool)),
            made("tril_indices.default", lambda: torch.tril_indices(3, 4, -1)),
            made("triu_indices.default", lambda: torch.triu_indices(4, 4, 1)),
        ]
    )


def test_integer_range_of_floats_is_refused():
    with pytest.raises(Unsupported, match="truncates"):
        lowered(lambda _: torch.arange(0.5, 5.5, dtype=torch.int32), NONE)


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman", "bartlett", "kaiser"])
def test_windows(name):
    window = getattr(torch, f"{name}_window")
    check_table(
        [
            made(f"{name}_window.default", lambda: window(10)),
            made(f"{name}_window.periodic", lambda: window(9, periodic=False)),
            made(f"{name}_window.default", lambda: window(10, dtype=torch.float64)),
        ]
    )


def test_counting_between_fractions_and_bools():
    check(lambda: torch.arange(0.5, 4.7, dtype=torch.int64), op="aten.arange.start")
    check(lambda: torch.arange(False, True, True, dtype=torch.int64), op="aten.arange.start_step")


def test_floats_stay_narrow_in_64_bit_mode():
    with jax.enable_x64(True):
        check(lambda: torch.ones(3), op="aten.ones.default")
        check(lambda: torch.eye(3), op="aten.eye.default")
        check(lambda x: x.new_zeros(2), torch.ones(2), op="aten.new_zeros.default")
