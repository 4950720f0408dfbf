"""Arrays from sizes and numbers at their edges: every dtype and likeness, numbers without an end, no elements, dynamic sizes."""

import numpy as np
import pytest
import sympy
import torch

from op_table.expr import Size, evaluate
from op_table.registry import Unsupported, lookup
from tests.ops.harness import check, lowered
from tests.ops.tables import check_table

aten = torch.ops.aten
X = torch.randn(2, 3)
INTS = torch.arange(6).reshape(2, 3)
HALF = torch.randn(2, 3, dtype=torch.float16)
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "dtype", [None, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.bool]
)
def test_filled(dtype):
    check_table(
        [
            ("aten.zeros.default", lambda x: torch.zeros(2, 3, dtype=dtype), [X]),
            ("aten.zeros.default", lambda x: torch.zeros((), dtype=dtype), [X]),
            ("aten.ones.default", lambda x: torch.ones(4, dtype=dtype), [X]),
            ("aten.ones.default", lambda x: torch.ones(0, 2, dtype=dtype), [X]),
            ("aten.full.default", lambda x: torch.full((2,), 2.5, dtype=dtype), [X]),
            ("aten.full.default", lambda x: torch.full((2,), -3, dtype=dtype), [X]),
            ("aten.full.default", lambda x: torch.full((2,), True, dtype=dtype), [X]),
            ("aten.full.default", lambda x: torch.full((), 1.5, dtype=dtype), [X]),
            ("aten.scalar_tensor.default", lambda x: aten.scalar_tensor(2, dtype=dtype), [X]),
        ]
    )


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16, torch.int64, torch.bool])
@pytest.mark.parametrize("x", [X, INTS, HALF, X > 0], ids=lambda x: str(x.dtype))
def test_in_the_likeness_of_another(x, dtype):
    check_table(
        [
            ("aten.zeros_like.default", lambda x: torch.zeros_like(x, dtype=dtype), [x]),
            ("aten.ones_like.default", lambda x: torch.ones_like(x, dtype=dtype), [x]),
            ("aten.full_like.default", lambda x: torch.full_like(x, 2.5, dtype=dtype), [x]),
            ("aten.full_like.default", lambda x: torch.full_like(x, 3, dtype=dtype), [x]),
            ("aten.new_zeros.default", lambda x: x.new_zeros(2, 4, dtype=dtype), [x]),
            ("aten.new_zeros.default", lambda x: x.new_zeros((), dtype=dtype), [x]),
            ("aten.new_ones.default", lambda x: x.new_ones(5, dtype=dtype), [x]),
            ("aten.new_full.default", lambda x: x.new_full((5,), 2.0, dtype=dtype), [x]),
            ("aten.new_full.default", lambda x: x.new_full((), 2.0, dtype=dtype), [x]),
        ]
    )


def test_fill():
    check_table(
        [
            ("aten.fill.Scalar", lambda x: aten.fill(x, 2.5), [X]),
            ("aten.fill.Scalar", lambda x: aten.fill(x, 0), [INTS]),
            ("aten.fill.Tensor", aten.fill, [X, torch.tensor(3)]),
            ("aten.fill.Tensor", aten.fill, [INTS, torch.tensor(3.7)]),
            ("aten.zero.default", aten.zero, [X]),
        ]
    )


def test_numbers_without_an_end():
    check_table(
        [("aten.full.default", lambda x, v=v: torch.full((2,), v), [X]) for v in (INF, -INF, NAN, -0.0)]
        + [("aten.full.default", lambda x: torch.full((2, 2), torch.finfo(torch.float32).min), [X])]
    )
    output, _ = lowered(lambda x: torch.full((2,), -0.0), X)
    assert 1 / output[0][0] == -INF


def test_empty_is_zeros():
    def shapes_of_empty(x):
        return (
            torch.empty(2, 3) * 0,
            torch.empty_like(x) * 0,
            x.new_empty(4) * 0,
            aten.empty_strided([2, 3], [3, 1]) * 0,
        )

    output, ops = lowered(shapes_of_empty, X)
    assert {"aten.empty.memory_format", "aten.empty_like.default", "aten.new_empty.default"} <= set(ops)
    assert [o.shape for o in output] == [(2, 3), (2, 3), (4,), (2, 3)]


ARANGES = [
    (5,), (0,), (5.0,), (2.5,), (2, 7), (2.0, 7), (-3, 3), (0, 10, 3), (10, 0, -3), (0, 1, 0.1), (0.5, 3), (0, 5, 1.0),
    (0.0, 5, 1), (1, 2, 0.25), (3, -2.5, -0.5),
]  # fmt: skip


@pytest.mark.parametrize("ends", ARANGES, ids=str)
def test_arange(ends):
    dtypes = [None, torch.float32, torch.float16, torch.bfloat16]
    if all(end == int(end) for end in ends):
        dtypes += [torch.int64, torch.int32, torch.int16]
    op = {1: "default", 2: "start", 3: "start_step"}[len(ends)]
    check_table([(f"aten.arange.{op}", lambda x, d=d: torch.arange(*ends, dtype=d), [X]) for d in dtypes])


def test_arange_of_long_narrow_floats():
    check(lambda x: torch.arange(1000, dtype=torch.bfloat16), X, tolerance=0)
    check(lambda x: torch.arange(1, 1000, 3, dtype=torch.float16), X, tolerance=0)


def test_arange_of_integers_between_fractions_is_refused():
    with pytest.raises(Unsupported, match="fractions"):
        lowered(lambda x: torch.arange(0, 2.5, dtype=torch.int32), X)


@pytest.mark.parametrize("length", [2, 5])
def test_dynamic_sizes(length):
    symbol = sympy.Symbol("n", positive=True, integer=True)
    n = Size(symbol, 5)

    def run(op, *args):
        return evaluate(
            lookup(op).function(*args), {}, lambda size: int(size.expr.xreplace({symbol: sympy.Integer(length)}))
        )

    assert run("aten.arange.default", n).tolist() == list(range(length))
    assert run("aten.arange.start", n, n * 2).tolist() == list(range(length, 2 * length))
    assert run("aten.zeros.default", [n, 2]).shape == (length, 2)
    assert run("aten.eye.m", n, n).shape == (length, length)
    full = run("aten.full.default", [2], n)
    assert full.tolist() == [length] * 2 and full.dtype == "int32" and not full.weak_type


@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16])
def test_spaced(dtype):
    a, b = torch.tensor(-1.0), torch.tensor(2.5)
    check_table(
        [
            ("aten.linspace.default", lambda x: torch.linspace(0, 1, 7, dtype=dtype), [X]),
            ("aten.linspace.default", lambda x: torch.linspace(3, -2, 50, dtype=dtype), [X]),
            ("aten.linspace.default", lambda x: torch.linspace(3, 5, 1, dtype=dtype), [X]),
            ("aten.linspace.default", lambda x: torch.linspace(3, 5, 0, dtype=dtype), [X]),
            ("aten.linspace.Tensor_Tensor", lambda a, b: torch.linspace(a, b, 9, dtype=dtype), [a, b]),
            ("aten.linspace.Tensor_Scalar", lambda a: torch.linspace(a, 4, 9, dtype=dtype), [a]),
            ("aten.linspace.Scalar_Tensor", lambda b: torch.linspace(-2, b, 9, dtype=dtype), [b]),
            ("aten.logspace.default", lambda x: torch.logspace(0, 2, 7, dtype=dtype), [X]),
            ("aten.logspace.default", lambda x: torch.logspace(0, 2, 7, base=2, dtype=dtype), [X]),
            ("aten.logspace.Tensor_Tensor", lambda a, b: torch.logspace(a, b, 5, dtype=dtype), [a, b]),
        ]
    )


def test_spaced_integers_are_those_that_torch_makes():
    """torch's vector unit decides where it cuts an inexact step."""
    check_table(
        [
            ("aten.linspace.default", lambda x: torch.linspace(-3, 50, 33, dtype=torch.int64), [X]),
            ("aten.logspace.default", lambda x: torch.logspace(0, 3, 29, base=2, dtype=torch.int32), [X]),
        ]
    )
    with pytest.raises(Unsupported, match="evenly spaced integers"):
        lowered(lambda a: torch.linspace(a, 9, 5, dtype=torch.int64), torch.tensor(1))


def test_the_limits_of_int64_are_those_of_jax_integers():
    """Masks are filled with them, as with what no integer is beyond."""
    least, greatest = torch.iinfo(torch.int64).min, torch.iinfo(torch.int64).max
    mask = INTS > 2
    check_table(
        [
            ("aten.masked_fill.Scalar", lambda x, m: x.masked_fill(m, least).amax(0), [INTS, mask]),
            ("aten.where.ScalarSelf", lambda x, m: torch.where(m, greatest, x).amin(0), [INTS, mask]),
            ("aten.clamp.default", lambda x: x.clamp(least, 2), [INTS]),
            ("aten.full.default", lambda x: torch.minimum(x, torch.full((2,), greatest)[0]), [INTS]),
        ]
    )
    assert np.array_equal(lowered(lambda x: torch.full((2,), least), INTS)[0][0], [np.iinfo(np.int32).min] * 2)


def test_matrices():
    v = torch.tensor([1.0, 2.0, 3.0, 5.0])
    check_table(
        [
            ("aten.eye.default", lambda x: torch.eye(3), [X]),
            ("aten.eye.default", lambda x: torch.eye(3, dtype=torch.bool), [X]),
            ("aten.eye.m", lambda x: torch.eye(3, 4, dtype=torch.int64), [X]),
            ("aten.eye.m", lambda x: torch.eye(3, 3), [X]),
            ("aten.tril_indices.default", lambda x: torch.tril_indices(3, 3), [X]),
            ("aten.tril_indices.default", lambda x: torch.tril_indices(3, 5, 1), [X]),
            ("aten.tril_indices.default", lambda x: torch.tril_indices(4, 2, -1, dtype=torch.int32), [X]),
            ("aten.triu_indices.default", lambda x: torch.triu_indices(3, 3), [X]),
            ("aten.triu_indices.default", lambda x: torch.triu_indices(3, 5, 1), [X]),
            ("aten.triu_indices.default", lambda x: torch.triu_indices(5, 3, -2), [X]),
        ]
    )
    check(lambda v: aten.vander(v), v, op="aten.vander.default")
    check(lambda v: aten.vander(v, 3, True), v, op="aten.vander.default")


# Not 2: a symmetric Blackman window of two points is rounding alone, as both are 0.
@pytest.mark.parametrize("length", [0, 1, 3, 9])
def test_windows(length):
    names = "bartlett hann hamming blackman kaiser".split()
    rows = [
        (f"aten.{n}_window.{o}", lambda x, f=getattr(torch, f"{n}_window"), args=args: f(length, *args), [X])
        for n in names
        for o, args in (("default", ()), ("periodic", (False,)), ("periodic", (True,)))
    ]
    rows += [
        ("aten.hamming_window.periodic_alpha", lambda x: torch.hamming_window(length, True, 0.6), [X]),
        ("aten.hamming_window.periodic_alpha_beta", lambda x: torch.hamming_window(length, False, 0.6, 0.3), [X]),
        ("aten.kaiser_window.beta", lambda x: torch.kaiser_window(length, False, 5.0), [X]),
    ]
    check_table(rows)
