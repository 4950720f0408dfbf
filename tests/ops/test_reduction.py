"""Reductions along every kind of `dim`, of every dtype, and at NaN."""

import pytest
import torch

from op_table.registry import Unsupported
from tests.ops.harness import lowered
from tests.ops.tables import check_both, check_table

torch.manual_seed(0)
aten = torch.ops.aten
NAN, INF = float("nan"), float("inf")
X = torch.randn(2, 3, 4)
Y = X.masked_fill(X > 1, NAN)
INTS = torch.randint(-5, 5, (2, 3, 4))
BYTES = torch.randint(0, 200, (2, 3, 4), dtype=torch.uint8)
BOOLS = X > 0
SCALAR = torch.tensor(2.5)
DIMS = [(0,), (-1,), (1, 2), (0, -1), (0, 1, 2)]


def along(op, name, x, **options):
    """Rows for a reduction along one and several axes."""
    function = getattr(torch, name)
    return [(op, lambda x, d=d: function(x, d, **options), [x]) for d in DIMS] + [
        (op, lambda x: function(x, (1,), keepdim=True, **options), [x])
    ]


def test_sums_and_means():
    check_both(
        [("aten.sum.default", torch.sum, [x]) for x in (X, INTS, BOOLS, SCALAR)]
        + [row for x in (X, INTS) for row in along("aten.sum.dim_IntList", "sum", x)]
        + [("aten.sum.dim_IntList", lambda x: aten.sum.dim_IntList(x, []), [X])]
        + [("aten.sum.dim_IntList", lambda x: torch.sum(x, 0), [SCALAR])]
        + along("aten.mean.dim", "mean", X)
        + [("aten.mean.default", torch.mean, [X]), ("aten.nansum.default", torch.nansum, [Y])]
        + [("aten.nansum.default", lambda x: torch.nansum(x, -1, keepdim=True), [Y])]
        + [("aten.nanmean.default", lambda x: torch.nanmean(x, 1), [Y])]
        + [("aten.prod.default", torch.prod, [x]) for x in (X, INTS, BOOLS)]
        + [("aten.prod.dim_int", lambda x: torch.prod(x, -1, keepdim=True), [X])]
    )
    check_table(
        [
            ("aten.sum.default", torch.sum, [BYTES]),
            ("aten.sum.default", torch.sum, [INTS.to(torch.int8)]),
            ("aten.sum.dim_IntList", lambda x: x.sum(-1), [BYTES]),
            ("aten.sum.dim_IntList", lambda x: x.sum(-1, dtype=torch.float32), [X.half()]),
            ("aten.sum.dim_IntList", lambda x: x.sum(1), [BOOLS]),
            ("aten.mean.dim", lambda x: x.mean(-1, dtype=torch.float32), [INTS]),
            ("aten.mean.dim", lambda x: x.mean(-1, keepdim=True), [X.bfloat16()]),
            ("aten.mean.default", lambda x: x.mean(dtype=torch.float32), [BOOLS]),
            ("aten.prod.default", torch.prod, [BYTES[0, 0, :2]]),
        ]
    )


def test_extremes():
    rows = []
    for x in (X, Y, INTS):
        rows += along("aten.amax.default", "amax", x) + along("aten.amin.default", "amin", x)
        rows += [("aten.max.default", torch.max, [x]), ("aten.min.default", torch.min, [x])]
        rows += [
            ("aten.max.dim", lambda x: torch.max(x, 1), [x]),
            ("aten.min.dim", lambda x: torch.min(x, -1, True), [x]),
        ]
        rows += [(f"aten.arg{n}.default", getattr(torch, f"arg{n}"), [x]) for n in ("max", "min")]
        rows += [("aten.argmax.default", lambda x: torch.argmax(x, -1, keepdim=True), [x])]
        rows += [("aten.argmin.default", lambda x: torch.argmin(x, 0), [x])]
    rows += [
        ("aten.amax.default", torch.amax, [BOOLS]),
        ("aten.max.default", torch.max, [BOOLS]),
        ("aten.max.dim", lambda x: torch.max(x, 0), [SCALAR]),
        ("aten.argmax.default", torch.argmax, [torch.tensor([1.0, 3.0, 3.0, NAN, NAN])]),
        ("aten.argmax.default", torch.argmax, [torch.tensor([1, 3, 3])]),
        ("aten.argmax.default", lambda x: torch.argmax(x, keepdim=True), [X]),
        ("aten.aminmax.default", torch.aminmax, [X]),
        ("aten.aminmax.default", lambda x: torch.aminmax(x, dim=1, keepdim=True), [X]),
    ]
    check_table(rows)


def test_truth():
    rows = []
    for name in ("any", "all"):
        f = getattr(torch, name)
        rows += [(f"aten.{name}.default", f, [x]) for x in (BOOLS, X, INTS, BYTES)]
        rows += [(f"aten.{name}.dim", lambda x, f=f: f(x, -1, keepdim=True), [BOOLS])]
        rows += [(f"aten.{name}.dims", lambda x, f=f: f(x, (0, 2)), [INTS])]
    rows += [
        ("aten.count_nonzero.default", torch.count_nonzero, [INTS]),
        ("aten.count_nonzero.default", lambda x: torch.count_nonzero(x, 1), [BOOLS]),
        ("aten.count_nonzero.dim_IntList", lambda x: torch.count_nonzero(x, (0, -1)), [INTS]),
    ]
    check_table(rows)


@pytest.mark.parametrize("name", ["var", "std"])
def test_moments(name):
    f, both = getattr(torch, name), getattr(torch, f"{name}_mean")
    op = getattr(aten, name)
    check_both(
        [
            (f"aten.{name}.default", lambda x: op.default(x), [X]),
            (f"aten.{name}.default", lambda x: op.default(x, False), [X]),
            (f"aten.{name}.dim", lambda x: op.dim(x, [-1]), [X]),
            (f"aten.{name}.dim", lambda x: op.dim(x, [0, 2], False, True), [X]),
            (f"aten.{name}.correction", lambda x: op.correction(x), [X]),
            (f"aten.{name}.correction", lambda x: op.correction(x, [1]), [X]),
            (f"aten.{name}.correction", lambda x: f(x, 1, correction=0, keepdim=True), [X]),
            (f"aten.{name}.correction", lambda x: f(x, (-1, 0), correction=2), [X]),
            (f"aten.{name}_mean.correction", lambda x: both(x, -1, correction=1, keepdim=True), [X]),
            (f"aten.{name}_mean.correction", lambda x: both(x, (1, 2), correction=0), [X]),
            (f"aten.{name}_mean.dim", lambda x: getattr(aten, f"{name}_mean").dim(x, [1], False), [X]),
            (f"aten.{name}_mean.default", lambda x: getattr(aten, f"{name}_mean").default(x), [X]),
        ]
    )
    check_table([(f"aten.{name}.dim", lambda x: f(x, -1), [X[..., :1]])])


@pytest.mark.parametrize("order", [2, 1, 0, 3, 1.5, INF, -INF, 2.0])
def test_vector_norm(order):
    norm = torch.linalg.vector_norm
    op = "aten.linalg_vector_norm.default"
    check_both(
        [
            (op, lambda x: norm(x, order), [X]),
            (op, lambda x: norm(x, order, -1), [X]),
            (op, lambda x: norm(x, order, (0, 2), keepdim=True), [X]),
            (op, lambda x: norm(x, order, keepdim=True), [X]),
            (op, lambda x: norm(x, order, 0), [SCALAR]),
            ("aten.norm.ScalarOpt_dim", lambda x: aten.norm.ScalarOpt_dim(x, order, [1], True), [X]),
            ("aten.norm.Scalar", lambda x: aten.norm.Scalar(x, order), [X]),
            ("aten.dist.default", lambda x, y: torch.dist(x, y, order), [X, X.flip(0)]),
        ]
    )


def test_other_norms():
    check_table(
        [
            ("aten.linalg_vector_norm.default", lambda x: torch.linalg.vector_norm(x, dtype=torch.float32), [X.half()]),
            ("aten.norm.ScalarOpt_dim", lambda x: aten.norm.ScalarOpt_dim(x, None, [1]), [X]),
            ("aten.norm.ScalarOpt_dim_dtype", lambda x: aten.norm.ScalarOpt_dim_dtype(x, 2, [1], True, dtype=torch.float32), [X.half()]),
            ("aten.frobenius_norm.dim", lambda x: aten.frobenius_norm.dim(x, [1, 2]), [X]),
        ]
    )  # fmt: skip


def test_logsumexp():
    low = torch.full((2, 3), -INF)
    op = "aten.logsumexp.default"
    check_both(
        [(op, lambda x, d=d: torch.logsumexp(x, d), [X]) for d in DIMS]
        + [(op, lambda x: torch.logsumexp(x, -1, keepdim=True), [x]) for x in (X, low, INTS)]
    )


def test_order_statistics():
    even = torch.randn(3, 6)
    holes = even.masked_fill(even > 0.7, NAN)
    ties = torch.tensor([[1, 2, 2, 3, 1, 2], [3, 3, 1, 1, 2, 0]])
    interpolations = ("linear", "lower", "higher", "midpoint")
    check_table(
        [
            ("aten.median.default", torch.median, [even]),
            ("aten.median.default", torch.median, [holes]),
            ("aten.median.dim", lambda x: torch.median(x, 1), [even]),
            ("aten.median.dim", lambda x: torch.median(x, 0, keepdim=True)[0], [even]),
            ("aten.median.dim", lambda x: torch.median(x, 1), [holes]),
            ("aten.median.default", torch.median, [ties]),
            ("aten.nanmedian.default", torch.nanmedian, [holes]),
            ("aten.nanmedian.dim", lambda x: torch.nanmedian(x, -1), [holes]),
            ("aten.mode.default", lambda x: torch.mode(x)[0], [ties]),
            ("aten.mode.default", lambda x: torch.mode(x, 1, True)[0], [ties]),
            *[
                ("aten.quantile.scalar", lambda x, i=i: torch.quantile(x, 0.3, 1, interpolation=i), [even])
                for i in interpolations
            ],
            ("aten.quantile.default", lambda x, q: torch.quantile(x, q), [even, torch.tensor([0.1, 0.5, 1.0])]),
            ("aten.quantile.scalar", lambda x: torch.quantile(x, 0.4, -1, keepdim=True), [holes]),
            ("aten.nanquantile.scalar", lambda x: torch.nanquantile(x, 0.4, -1), [holes]),
        ]
    )


def test_truth_of_complex_numbers():
    imaginary = torch.tensor([[1j, 2.0, 0], [1j, 1j, 3.0]])
    check_table(
        [
            ("aten.all.default", torch.all, [imaginary[1]]),
            ("aten.all.dim", lambda x: torch.all(x, 1), [imaginary]),
            ("aten.any.default", torch.any, [imaginary[0, :1]]),
        ]
    )


def test_sums_and_products_as_small_integers_and_bools():
    bools = INTS > 2
    check_table(
        [
            ("aten.sum.dim_IntList", lambda x: x.sum(1, dtype=torch.int8), [INTS]),
            ("aten.sum.default", lambda x: x.sum(dtype=torch.int32), [INTS]),
            ("aten.prod.dim_int", lambda x: x.prod(0, dtype=torch.uint8), [INTS]),
            ("aten.sum.default", lambda x: x.sum(dtype=torch.bool), [bools]),
            ("aten.prod.dim_int", lambda x: x.prod(0, dtype=torch.bool), [bools]),
        ]
    )


def test_the_median_of_nothing():
    """torch casts NaN to an integer there, which gives what the machine gives."""
    for function in (torch.median, torch.nanmedian):
        with pytest.raises(Unsupported, match="no integers"):
            lowered(lambda x, f=function: f(x), torch.zeros(0, dtype=torch.int64))
        check_table([(f"aten.{function.__name__}.default", lambda x, f=function: f(x), [torch.zeros(2, 0)])])
