"""Order: ties keep theirs, NaN counts as the largest."""

import jax
import pytest
import torch
from torch.nn import functional as F

from op_table.registry import Unsupported
from tests.ops.harness import lowered
from tests.ops.tables import check_table

torch.manual_seed(0)
NAN, INF = float("nan"), float("inf")
X = torch.randn(3, 4, 5)
TIES = torch.tensor([[2.0, 1, 2, NAN, 1], [INF, NAN, -INF, 0, NAN]])
INTS = torch.randint(0, 4, (3, 6))


def test_sort():
    inputs = [X, TIES, INTS]
    check_table(
        [("aten.sort.stable", lambda x, d=d: torch.sort(x, stable=True, descending=d), [x]) for x in inputs for d in (False, True)]
        + [("aten.sort.default", lambda x: torch.sort(x, 0, True), [X])]
        + [("aten.sort.stable", lambda x: torch.sort(x, dim=1, stable=True), [X])]
        + [("aten.argsort.default", lambda x: torch.argsort(x, 1), [X])]
        + [("aten.argsort.stable", lambda x: torch.argsort(x, descending=True, stable=True), [TIES])]
        + [("aten.msort.default", torch.msort, [X]), ("aten.sort.default", torch.sort, [torch.tensor(1.0)])]
    )  # fmt: skip


def test_topk():
    check_table(
        [
            ("aten.topk.default", lambda x: torch.topk(x, 2), [X]),
            ("aten.topk.default", lambda x: torch.topk(x, 2, 1), [X]),
            ("aten.topk.default", lambda x: torch.topk(x, 3, 0, largest=False), [X]),
            ("aten.topk.default", lambda x: torch.topk(x, 2, largest=False), [X]),
            ("aten.topk.default", lambda x: torch.topk(x, 3)[0], [TIES]),
            ("aten.topk.default", lambda x: torch.topk(x, 3, largest=False)[0], [TIES]),
            ("aten.topk.default", lambda x: torch.topk(x, 3)[0], [INTS]),
            ("aten.kthvalue.default", lambda x: torch.kthvalue(x, 2), [X]),
            ("aten.kthvalue.default", lambda x: torch.kthvalue(x, 3, 1, True), [X]),
        ]
    )
    with jax.enable_x64(True):
        check_table([("aten.topk.default", lambda x: torch.topk(x, 3)[0], [x]) for x in (INTS, TIES, TIES.double())])


def test_search():
    row = torch.tensor([1.0, 2, 2, 4])
    rows = torch.stack([row, row + 0.5])
    x = torch.tensor([[0.0, 2, 2.5], [4, 5, 1]])
    shuffled = torch.tensor([2.0, 4, 1, 2])
    check_table(
        [
            ("aten.searchsorted.Tensor", torch.searchsorted, [row, x]),
            ("aten.searchsorted.Tensor", lambda a, b: torch.searchsorted(a, b, right=True), [row, x]),
            ("aten.searchsorted.Tensor", lambda a, b: torch.searchsorted(a, b, side="right", out_int32=True), [rows, x]),
            ("aten.searchsorted.Tensor", torch.searchsorted, [rows, x]),
            ("aten.searchsorted.Tensor", lambda a, b, c: torch.searchsorted(a, b, sorter=c), [shuffled, x, shuffled.argsort()]),
            ("aten.searchsorted.Scalar", lambda a: torch.searchsorted(a, 2), [row]),
            ("aten.bucketize.Tensor", torch.bucketize, [x, row]),
            ("aten.bucketize.Tensor", lambda a, b: torch.bucketize(a, b, right=True), [x, row]),
            ("aten.bucketize.Tensor", torch.bucketize, [x.long(), torch.tensor([1, 3])]),
        ]
    )  # fmt: skip


def test_one_hot():
    check_table([("aten.one_hot.default", lambda x: F.one_hot(x, 5), [INTS])])


def test_one_hot_of_unknown_width_is_refused():
    with pytest.raises((Unsupported, RuntimeError, Exception), match="values|data-dependent|num_classes|dynamic"):
        lowered(lambda x: F.one_hot(x), INTS)
