"""Running sums, products and extremes, and differences."""

import torch

from tests.ops.harness import check
from tests.ops.tables import check_both, check_table

torch.manual_seed(0)
NAN = float("nan")
X = torch.randn(3, 5)
Y = X.masked_fill(X > 1, NAN)
INTS = torch.randint(-3, 3, (3, 5))


def test_running():
    check_both(
        [
            ("aten.cumsum.default", lambda x: x.cumsum(-1), [X]),
            ("aten.cumsum.default", lambda x: x.cumsum(0), [INTS]),
            ("aten.cumsum.default", lambda x: x.cumsum(1), [X > 0]),
            ("aten.cumprod.default", lambda x: x.cumprod(0), [X]),
            ("aten.cumprod.default", lambda x: x.cumprod(1), [INTS]),
            ("aten.logcumsumexp.default", lambda x: x.logcumsumexp(-1), [X]),
        ]
    )
    check_table(
        [
            ("aten.cumsum.default", lambda x: x.cumsum(1), [INTS.to(torch.int8)]),
            ("aten.cumsum.default", lambda x: x.cumsum(1, dtype=torch.int32), [X > 0]),
            ("aten.cumsum.default", lambda x: x.cumsum(1, dtype=torch.float32), [INTS]),
            ("aten.cumsum.default", lambda x: x.cumsum(0), [torch.tensor(2.0)]),
        ]
    )


def test_running_extremes_with_ties_and_nan():
    ties = torch.tensor([[1.0, 3, 2, 3, 0], [2, 2, 1, 1, 5]])
    check_table(
        [
            (f"aten.cum{n}.default", lambda x, f=f, d=d: f(x, d), [x])
            for n, f in (("max", torch.cummax), ("min", torch.cummin))
            for x in (X, Y, INTS, ties)
            for d in (0, -1)
        ]
    )


def test_diff():
    check_table(
        [
            ("aten.diff.default", torch.diff, [X]),
            ("aten.diff.default", lambda x: torch.diff(x, 2, 0), [X]),
            ("aten.diff.default", lambda x, y: torch.diff(x, prepend=y), [X, X[:, :1]]),
            ("aten.diff.default", torch.diff, [INTS]),
        ]
    )


def test_complex_logcumsumexp():
    z = torch.randn(3, 5, dtype=torch.complex64) * 3
    check(lambda z: z.logcumsumexp(1), z, op="aten.logcumsumexp.default", tolerance=1e-4)
