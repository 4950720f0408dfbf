"""Reading and writing at indices: None entries, masks, separated index arrays, repeated places."""

import pytest
import torch

from tests.ops.tables import check_table

torch.manual_seed(0)
aten = torch.ops.aten
X = torch.randn(3, 4, 5)
INTS = torch.randint(-9, 9, (3, 4))
I, J = torch.tensor([0, 2, -1]), torch.tensor([[1], [3]])  # noqa: E741
MASK = torch.tensor([[True, False, True, False], [False] * 4, [True] * 4])


def test_index():
    op = "aten.index.Tensor"
    check_table(
        [
            (op, lambda x, i: x[i], [X, I]),
            (op, lambda x, i: x[:, i], [X, I]),
            (op, lambda x, i: x[..., i], [X, I]),
            (op, lambda x, i, j: x[i, j], [X, I, J]),
            (op, lambda x, i, j: x[i, :, j], [X, I, J]),
            (op, lambda x, i, j: x[:, i, j], [X, I, J]),
            (op, lambda x, i, j: x[:, i][:, :, j], [X, I, J]),
            (op, lambda x, i: x[None, i], [X, I]),
            ("aten._unsafe_index.Tensor", lambda x, i: aten._unsafe_index(x, [None, i]), [X, I]),
            ("aten.index_select.default", lambda x, i: x.index_select(1, i), [X, I.abs()]),
            ("aten.index_select.default", lambda x, i: x.index_select(-1, i), [X, torch.tensor(2)]),
            ("aten.take.default", torch.take, [X, J]),
        ]
    )


def test_gather():
    index = torch.randint(0, 3, (3, 4, 5))
    check_table(
        [
            ("aten.gather.default", lambda x, i: x.gather(1, i), [X, index]),
            ("aten.gather.default", lambda x, i: x.gather(0, i), [X, index]),
            ("aten.gather.default", lambda x, i: x.gather(-1, i), [X, index[:2, :3, :1]]),
            ("aten.gather.default", lambda x, i: x.gather(1, i), [X, index[:1, :, :1]]),
            ("aten.take_along_dim.default", lambda x, i: torch.take_along_dim(x, i, 1), [X, index[:, :1]]),
            ("aten.take_along_dim.default", torch.take_along_dim, [X, index[0]]),
        ]
    )


def test_scatter():
    index = torch.tensor([[0, 2, 1], [3, 1, 0]])
    src = torch.randn(3, 4, 5)
    repeated = torch.tensor([[0, 0, 1], [2, 2, 2]])
    deep = torch.stack([index] * 2, -1)
    check_table(
        [
            ("aten.scatter.src", lambda x, i, s: x.scatter(1, i, s), [X, deep, src]),
            ("aten.scatter.src", lambda x, i, s: x.scatter(-1, i, s), [X[0], index, src[0]]),
            ("aten.scatter.value", lambda x, i: x.scatter(1, i, 2.5), [X, deep]),
            ("aten.scatter.value", lambda x, i: x.scatter(1, i, 1), [torch.zeros(2, 4, dtype=torch.int64), index]),
            ("aten.scatter.value", lambda x, i: x.scatter(1, i, True), [MASK, index]),
            ("aten.scatter_add.default", lambda x, i, s: x.scatter_add(1, i, s), [X[0], repeated, src[0]]),
            ("aten.scatter_add.default", lambda x, i, s: x.scatter_add(0, i, s), [X[0], repeated, src[0]]),
            ("aten.scatter.reduce", lambda x, i, s: x.scatter(1, i, s, reduce="add"), [X[0], repeated, src[0]]),
            ("aten.scatter.reduce", lambda x, i, s: x.scatter(1, i, s, reduce="multiply"), [X[0], repeated, src[0]]),
            ("aten.scatter.value_reduce", lambda x, i: x.scatter(1, i, 2.0, reduce="multiply"), [X[0], repeated]),
        ]
    )


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce(reduce, include_self):
    repeated = torch.tensor([[0, 0, 1], [2, 2, 2]])
    options = dict(reduce=reduce, include_self=include_self)
    rows = [
        ("aten.scatter_reduce.two", lambda x, i, s: x.scatter_reduce(1, i, s, **options), [X[0], repeated, X[1]]),
        ("aten.scatter_reduce.two", lambda x, i, s: x.scatter_reduce(0, i, s, **options), [INTS, repeated, INTS * 2]),
    ]
    if reduce != "sum":
        rows += [
            (
                "aten.index_reduce.default",
                lambda x, i, s: x.index_reduce(1, i, s, **options),
                [X, torch.tensor([1, 1, 3]), torch.randn(3, 3, 5)],
            )
        ]
    check_table(rows)


def test_index_put():
    op = "aten.index_put.default"
    values = torch.randn(2, 3, 5)
    repeated = torch.tensor([0, 0, 2])
    put = lambda x, i, v: x.index_put((i,), v)
    check_table(
        [
            (op, put, [X, torch.tensor([2, 0]), torch.randn(2, 4, 5)]),
            (op, put, [X, I, torch.tensor(1.5)]),
            (op, lambda x, i, j, v: x.index_put((i, j), v), [X, I, J, values]),
            (op, lambda x, i, v: aten.index_put(x, [None, i], v), [X, I, torch.randn(3, 1)]),
            (op, lambda x, i, v: x.index_put((i,), v, accumulate=True), [X, repeated, torch.randn(3, 4, 5)]),
            (op, put, [INTS, I, torch.tensor(2)]),
            (op, put, [X, MASK[:, 0], torch.tensor(0.0)]),
            (op, put, [X, MASK, torch.tensor(-1.0)]),
            (op, put, [X, MASK, torch.randn(5)]),
            (op, put, [X, MASK, torch.randn(1, 5)]),
            (op, put, [X, MASK, torch.randn(6, 5)]),
            (op, put, [INTS, MASK, torch.arange(6)]),
            (op, lambda x, i, v: x.index_put((i,), v, accumulate=True), [X, MASK, torch.tensor(2.0)]),
            (op, lambda x, i, v: aten.index_put(x, [None, i], v), [X, torch.tensor([True, False] * 2), torch.tensor(3.0)]),
        ]
    )  # fmt: skip


def test_index_writes():
    rows = torch.randn(3, 3, 5)
    check_table(
        [
            ("aten.index_add.default", lambda x, i, s: x.index_add(1, i, s), [X, torch.tensor([1, 1, 3]), rows]),
            ("aten.index_add.default", lambda x, i, s: x.index_add(1, i, s, alpha=2), [X, torch.tensor([1, 1, 3]), rows]),
            ("aten.index_copy.default", lambda x, i, s: x.index_copy(1, i, s), [X, torch.tensor([1, 0, 3]), rows]),
            ("aten.index_fill.int_Scalar", lambda x, i: x.index_fill(-1, i, -1.5), [X, torch.tensor([1, 3])]),
            ("aten.index_fill.int_Scalar", lambda x, i: x.index_fill(0, i, 7), [INTS, torch.tensor([1])]),
            ("aten.index_fill.int_Scalar", lambda x, i: x.index_fill(0, i, -3), [INTS.byte(), torch.tensor([1])]),
            ("aten.index_fill.int_Tensor", lambda x, i, v: x.index_fill(0, i, v), [X, torch.tensor([1]), torch.tensor(2.0)]),
            ("aten.put.default", lambda x, i, s: x.put(i, s), [X, J, torch.tensor([[1.0], [2.0]])]),
            ("aten.put.default", lambda x, i, s: x.put(i, s, True), [X, J * 0, torch.tensor([[1.0], [2.0]])]),
            ("aten.nonzero_static.default", lambda x: torch.nonzero_static(x, size=8), [MASK]),
        ]
    )  # fmt: skip


def test_zero_dimensional():
    x, zero, one = torch.tensor(2.5), torch.tensor(0), torch.tensor([0])
    y = torch.tensor(4.0)
    check_table(
        [
            *(("aten.gather.default", lambda x, i: x.gather(0, i), [x, i]) for i in (zero, one)),
            ("aten.gather.default", lambda x, i: x.gather(0, i), [X[0, 0], zero]),
            ("aten.gather.default", lambda x, i: x.gather(0, i), [X[0, 0], torch.zeros(2, 0, dtype=torch.long)]),
            *(("aten.index_add.default", lambda x, i, y: x.index_add(0, i, y), [x, i, y]) for i in (zero, one)),
            ("aten.index_copy.default", lambda x, i, y: x.index_copy(0, i, y), [x, zero, y]),
            ("aten.index_fill.int_Scalar", lambda x, i: x.index_fill(0, i, 3), [x, one]),
            ("aten.index_reduce.default", lambda x, i, y: x.index_reduce(0, i, y, "mean"), [x, zero, y]),
            ("aten.scatter.src", lambda x, i, y: x.scatter(0, i, y), [x, zero, y]),
            ("aten.scatter.value", lambda x, i: x.scatter(0, i, 3.0), [x, zero]),
            ("aten.scatter_add.default", lambda x, i, y: x.scatter_add(0, i, y), [x, zero, y]),
            ("aten.scatter_reduce.two", lambda x, i, y: x.scatter_reduce(0, i, y, "prod"), [x, zero, y]),
            ("aten.topk.default", lambda x: x.topk(1), [x]),
            ("aten.unfold.default", lambda x: x.unfold(0, 1, 1), [x]),
        ]
    )


def test_unsafe_masked_index():
    indices, mask = torch.tensor([-7, 1, 9]), torch.tensor([False, True, False])
    read, put = aten._unsafe_masked_index, aten._unsafe_masked_index_put_accumulate
    check_table(
        [
            ("aten._unsafe_masked_index.default", lambda x, m, i: read(x, m, [i], 2), [X[0, :, 0], mask, indices]),
            ("aten._unsafe_masked_index_put_accumulate.default", lambda x, m, i, v: put(x, m, [i], v),
             [X[0, :, 0], mask, indices, torch.ones(3)]),
        ]
    )  # fmt: skip
