"""Comparisons, logic, and what picks one value or another."""

import pytest
import torch

from tests.ops.harness import check, lowered
from tests.ops.tables import check_both, check_table

torch.manual_seed(0)
aten = torch.ops.aten
NAN, INF = float("nan"), float("inf")
X = torch.tensor([[1.0, -2.0, NAN], [0.5, INF, -0.5]])
INTS = torch.arange(-3, 3).reshape(2, 3)
MASK = torch.tensor([[True, False, True], [False, False, True]])
HALF = torch.randn(2, 3, dtype=torch.float16)


def test_comparisons():
    names = "eq ne lt le gt ge not_equal less less_equal greater greater_equal".split()
    rows = []
    for name in names:
        f = getattr(torch, name)
        rows += [(f"aten.{name}.Tensor", f, [X, torch.tensor([0.5, -2.0, 1.0])])]
        rows += [(f"aten.{name}.Tensor", f, [INTS, torch.tensor([0.5, -2.0, 1.0])])]
        rows += [(f"aten.{name}.Scalar", lambda x, f=f: f(x, 0.5), [x]) for x in (X, INTS, HALF)]
    rows += [("aten.eq.Tensor", torch.eq, [HALF, torch.tensor(0.1)]), ("aten.ne.Scalar", lambda x: x != 1, [MASK])]
    check_table(rows)


def test_logic_and_bits():
    rows = []
    for name in ("and", "or", "xor"):
        logical, bitwise = getattr(torch, f"logical_{name}"), getattr(torch, f"bitwise_{name}")
        rows += [(f"aten.logical_{name}.default", logical, pair) for pair in ([MASK, ~MASK], [X, MASK], [INTS, X])]
        rows += [(f"aten.bitwise_{name}.Tensor", bitwise, pair) for pair in ([MASK, ~MASK], [INTS, INTS.flip(1)])]
        rows += [(f"aten.bitwise_{name}.Tensor", bitwise, [INTS.to(torch.int8), INTS])]
        dunder = getattr(aten, f"__{name}__")
        rows += [
            (f"aten.bitwise_{name}.Scalar", lambda x, f=getattr(aten, f"bitwise_{name}"): f.Scalar(x, 5), [INTS]),
            (f"aten.bitwise_{name}.Scalar_Tensor", lambda x, f=bitwise: f(5, x), [INTS]),
            (f"aten.__{name}__.Scalar", lambda x, f=dunder: f.Scalar(x, 5), [INTS]),
            (f"aten.__{name}__.Tensor", lambda x, f=dunder: f.Tensor(x, x), [MASK]),
        ]
    places = torch.tensor([0, 1, 2])
    rows += [
        ("aten.logical_not.default", torch.logical_not, [MASK]),
        ("aten.logical_not.default", torch.logical_not, [X]),
        ("aten.bitwise_not.default", torch.bitwise_not, [INTS]),
        ("aten.bitwise_not.default", torch.bitwise_not, [MASK]),
        ("aten.bitwise_left_shift.Tensor", torch.bitwise_left_shift, [INTS.abs(), places]),
        ("aten.bitwise_right_shift.Tensor", torch.bitwise_right_shift, [INTS, places]),
        ("aten.__rshift__.Scalar", lambda x: x >> 1, [INTS]),
        ("aten.__lshift__.Scalar", lambda x: x << 2, [INTS]),
    ]
    check_table(rows)


def test_isclose_and_isin():
    y = X + torch.tensor([1e-9, 0.1, 0.0])
    check_table(
        [
            ("aten.isclose.default", torch.isclose, [X, y]),
            ("aten.isclose.default", lambda x, y: torch.isclose(x, y, 0.2, 0.1, True), [X, y]),
            ("aten.isin.Tensor_Tensor", torch.isin, [INTS, torch.tensor([1, 2])]),
            ("aten.isin.Tensor_Scalar", lambda x: torch.isin(x, 1, invert=True), [INTS]),
        ]
    )


def test_where():
    finfo = torch.finfo(torch.float32)
    check_both(
        [
            ("aten.where.self", torch.where, [MASK, X, X.flip(0)]),
            ("aten.where.self", torch.where, [MASK, X, INTS]),
            ("aten.where.self", torch.where, [MASK, INTS, torch.tensor(1.5)]),
            ("aten.where.self", torch.where, [MASK[0], X, torch.tensor([[2.0], [3.0]])]),
            ("aten.where.ScalarOther", lambda c, x: torch.where(c, x, -INF), [MASK, X]),
            ("aten.where.ScalarOther", lambda c, x: torch.where(c, x, 0.5), [MASK, INTS]),
            ("aten.where.ScalarOther", lambda c, x: torch.where(c, x, 0), [MASK, INTS]),
            ("aten.where.ScalarSelf", lambda c, x: torch.where(c, 2, x), [MASK, X]),
        ]
    )
    check_table(
        [
            ("aten.where.ScalarSelf", lambda c, x: torch.where(c, finfo.min, x), [MASK, X]),
            ("aten.where.Scalar", lambda c: torch.where(c, 0.0, -INF), [MASK]),
            ("aten.where.Scalar", lambda c: torch.where(c, 1.0, 0.0), [MASK]),
            ("aten.where.Scalar", lambda c: torch.where(c, 1, 0), [MASK]),
            ("aten.where.Scalar", lambda c: torch.where(c, 3, -1), [MASK]),
        ]
    )


def test_where_of_places_is_refused():
    with pytest.raises(Exception, match="shape depends on values|data-dependent|depends on the values"):
        lowered(lambda c: torch.where(c)[0], MASK)


def test_clamp():
    low, high = torch.tensor([-1.0, 0.0, 0.5]), torch.tensor([[0.7], [NAN]])
    check_both(
        [
            ("aten.clamp.default", lambda x: torch.clamp(x, -1, 1), [X]),
            ("aten.clamp.default", lambda x: torch.clamp(x, min=0.25), [X]),
            ("aten.clamp.default", lambda x: torch.clamp(x, max=0.25), [X]),
            ("aten.clamp.default", lambda x: torch.clamp(x, 2, 1), [X]),
            ("aten.clamp.default", lambda x: torch.clamp(x, -1, 1), [INTS]),
            ("aten.clamp.Tensor", torch.clamp, [X, low, high]),
            ("aten.clamp.Tensor", lambda x, y: torch.clamp(x, max=y), [X, high]),
            ("aten.clamp.Tensor", torch.clamp, [INTS, low]),
            ("aten.clamp_min.default", lambda x: torch.clamp_min(x, 0), [X]),
            ("aten.clamp_max.default", lambda x: torch.clamp_max(x, 0), [X]),
            ("aten.clamp_min.Tensor", torch.clamp_min, [X, low]),
            ("aten.clamp_max.Tensor", torch.clamp_max, [X, high]),
            ("aten.clip.default", lambda x: torch.clip(x, 0, 1), [X]),
        ]
    )
    check_table(
        [
            ("aten.clamp.default", lambda x: torch.clamp(x, -0.5, 1.5), [INTS]),
            ("aten.clamp.default", lambda x: torch.clamp(x, -65504.0, 1e-3), [HALF]),
            ("aten.clamp.default", lambda x: torch.clamp(x, 1), [INTS.to(torch.int8)]),
        ]
    )


def test_masked_fill():
    minimum = torch.finfo(torch.float16).min
    check_table(
        [
            ("aten.masked_fill.Scalar", lambda x, m: x.masked_fill(m, -INF), [X, MASK]),
            ("aten.masked_fill.Scalar", lambda x, m: x.masked_fill(m, -1e4), [X, MASK[0]]),
            ("aten.masked_fill.Scalar", lambda x, m: x.masked_fill(m, minimum), [HALF, MASK]),
            ("aten.masked_fill.Scalar", lambda x, m: x.masked_fill(m, NAN), [HALF, MASK]),
            ("aten.masked_fill.Scalar", lambda x, m: x.masked_fill(m, -100), [INTS, MASK]),
            ("aten.masked_fill.Scalar", lambda x, m: x.masked_fill(m, 2.0), [INTS, MASK]),
            ("aten.masked_fill.Scalar", lambda x, m: x.masked_fill(m, False), [MASK, ~MASK]),
            ("aten.masked_fill.Scalar", lambda x, m: x.masked_fill(m, 1), [X[0], MASK]),
            ("aten.masked_fill.Tensor", lambda x, m, v: x.masked_fill(m, v), [HALF, MASK, torch.tensor(2.5)]),
            ("aten.masked_fill.Tensor", lambda x, m, v: x.masked_fill(m, v), [X, MASK, torch.tensor(3)]),
        ]
    )


def test_masked_scatter():
    rows = torch.randn(2, 3, 4)
    check(torch.masked_scatter, X, MASK, torch.arange(9.0), op="aten.masked_scatter.default")
    check(torch.masked_scatter, rows, MASK[..., None], torch.randn(5, 4), op="aten.masked_scatter.default")
