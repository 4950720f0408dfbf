"""Parts of arrays along an axis, and joining them."""

import pytest
import torch

from tests.ops.tables import check_table

torch.manual_seed(0)
aten = torch.ops.aten
X = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
Y = X[0, 0]
INTS = torch.arange(6).reshape(2, 3)
EMPTY = torch.empty(0)


def test_select_and_slice():
    slices = [
        lambda x: x[:, 1:],
        lambda x: x[:, :-1],
        lambda x: x[..., -2:],
        lambda x: x[:, :, ::2],
        lambda x: x[..., 1:5:2],
        lambda x: x[:, 5:],
        lambda x: x[:, :100],
        lambda x: x[:, -100:2],
        lambda x: x[1:],
        lambda x: x[..., 3:1],
        lambda x: aten.slice.Tensor(x, 1),
        lambda x: aten.slice.Tensor(x, -2, None, 3, 2),
    ]
    selects = [
        lambda x: x[0],
        lambda x: x[:, -1],
        lambda x: x[:, :, 2],
        lambda x: x[..., 2],
        lambda x: x.select(-2, -1),
    ]
    check_table(
        [("aten.slice.Tensor", f, [X]) for f in slices]
        + [("aten.select.int", f, [X]) for f in selects]
        + [
            ("aten.narrow.default", lambda x: x.narrow(1, 1, 2), [X]),
            ("aten.narrow.default", lambda x: x.narrow(-1, -3, 2), [X]),
            ("aten.narrow.default", lambda x: x.narrow(0, 0, 2), [X]),
            ("aten.slice_scatter.default", lambda x, y: x.slice_scatter(y, 1, 0, 2), [X, X[:, 1:] * 2]),
            ("aten.slice_scatter.default", lambda x, y: x.slice_scatter(y, -1, 1, step=2), [X, -X[..., :2]]),
            ("aten.slice_scatter.default", lambda x, y: x.slice_scatter(y), [X, -X]),
            ("aten.select_scatter.default", lambda x, y: x.select_scatter(y, 2, -1), [X, X[:, :, 0] * 3]),
        ]
    )


def test_splits():
    check_table(
        [
            ("aten.split.Tensor", lambda x: x.split(2, 2), [X]),
            ("aten.split.Tensor", lambda x: x.split(2, -1), [X]),
            ("aten.split.Tensor", lambda x: x.split(7, 0), [X]),
            ("aten.split_with_sizes.default", lambda x: x.split([1, 2, 2], -1), [X]),
            ("aten.split_with_sizes.default", lambda x: x.split([1, 1]), [X]),
            ("aten.split_with_sizes.default", lambda x: x.split([3, 0], 1), [X]),
            ("aten.chunk.default", lambda x: x.chunk(2, 2), [X]),
            ("aten.chunk.default", lambda x: x.chunk(3, -1), [X]),
            ("aten.chunk.default", lambda x: x.chunk(4, 2), [X]),
            ("aten.chunk.default", lambda x: x.chunk(4, 1), [X]),
            ("aten.chunk.default", lambda x: x.chunk(4, 0), [torch.arange(6)]),
            ("aten.tensor_split.sections", lambda x: x.tensor_split(3, -1), [X]),
            ("aten.tensor_split.sections", lambda x: x.tensor_split(4, 0), [X]),
            ("aten.tensor_split.indices", lambda x: x.tensor_split((1, 3), 2), [X]),
            ("aten.hsplit.int", lambda x: x.hsplit(3), [X]),
            ("aten.hsplit.array", lambda x: x.hsplit((1, 2)), [Y[0]]),
            ("aten.vsplit.int", lambda x: x.vsplit(2), [X]),
            ("aten.dsplit.int", lambda x: x.dsplit(2), [X]),
            ("aten.unbind.int", lambda x: x.unbind(1), [X]),
            ("aten.unbind.int", lambda x: x.unbind(-1), [X]),
            ("aten.unbind.int", lambda x: x.unbind(), [Y]),
        ]
    )


def test_joins_promote_like_torch():
    half = Y.half()
    check_table(
        [
            ("aten.cat.default", lambda x: torch.cat([x, x[:, :1]], 1), [X]),
            ("aten.cat.default", lambda x: torch.cat([x, x], -1), [X]),
            ("aten.cat.default", lambda x: torch.cat([x]), [X]),
            ("aten.cat.default", lambda x, y: torch.cat([y, x, y]), [X, EMPTY]),
            ("aten.cat.default", lambda x, y: torch.cat([y, x], 1), [half, EMPTY]),
            ("aten.cat.default", lambda x, y: torch.cat([y, x]), [EMPTY, EMPTY]),
            ("aten.cat.default", lambda x, y: torch.cat([x, y]), [half, Y]),
            ("aten.cat.default", lambda x, y: torch.cat([x, y]), [INTS, INTS.float()]),
            ("aten.cat.default", lambda x, y: torch.cat([x, y]), [INTS, INTS.bool()]),
            ("aten.concat.default", lambda x, y: aten.concat([x, y], 1), [INTS, INTS]),
            ("aten.stack.default", lambda x: torch.stack([x, x * 2], -1), [X]),
            ("aten.stack.default", lambda x: torch.stack([x, x * 2]), [torch.tensor(1.0)]),
            ("aten.stack.default", lambda x, y: torch.stack([x, y], 1), [Y, Y.int()]),
            ("aten.hstack.default", lambda x, y: torch.hstack([x, y]), [Y, Y]),
            ("aten.vstack.default", lambda x, y: torch.vstack([x, y]), [Y[0], Y[1]]),
            ("aten.dstack.default", lambda x, y: torch.dstack([x, y]), [Y, Y]),
            ("aten.column_stack.default", lambda x, y: torch.column_stack([x, y]), [Y[:, 0], Y]),
        ]
    )


@pytest.mark.parametrize("function", [lambda x: x[0], lambda x: x[:, 0]])
def test_select_of_integers(function):
    check_table([("aten.select.int", function, [INTS])])
