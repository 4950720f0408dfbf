"""Views, the order of axes, and the identities."""

import numpy as np
import pytest
import sympy
import torch

from op_table.expr import Size, Value, evaluate
from op_table.registry import lookup
from tests.ops.harness import check, lowered
from tests.ops.tables import check_table

torch.manual_seed(0)
aten = torch.ops.aten
X = torch.arange(24.0).reshape(2, 3, 4)
SCALAR = torch.tensor(2.0)


def test_views():
    one = X[:, :1]
    check_table(
        [
            ("aten.view.default", lambda x: x.view(6, -1), [X]),
            ("aten.view.default", lambda x: x.view(2, 3, 4), [X]),
            ("aten.reshape.default", lambda x: x.reshape(()), [X[0, 0, :1]]),
            ("aten.reshape.default", lambda x: x.reshape(torch.Size([4, 6])), [X]),
            ("aten.view_as.default", lambda x, y: x.view_as(y), [X, X.reshape(4, 6)]),
            ("aten.reshape_as.default", lambda x, y: x.reshape_as(y), [X, X.reshape(4, 6)]),
            ("aten.flatten.using_ints", lambda x: x.flatten(1), [X]),
            ("aten.flatten.using_ints", lambda x: x.flatten(-3, -2), [X]),
            ("aten.flatten.using_ints", lambda x: x.flatten(), [SCALAR]),
            ("aten.flatten.using_ints", lambda x: x.flatten(1, 1), [X]),
            ("aten.ravel.default", torch.ravel, [X]),
            ("aten.unflatten.int", lambda x: x.unflatten(-1, (2, -1)), [X]),
            ("aten.unflatten.int", lambda x: x.unflatten(0, (2, 1)), [X]),
            ("aten.unflatten.int", lambda x: x.unflatten(-1, (2, -1)), [X[:0]]),
            ("aten.squeeze.default", lambda x: x.squeeze(), [one[..., None]]),
            ("aten.squeeze.default", lambda x: x.squeeze(), [X]),
            ("aten.squeeze.dim", lambda x: x.squeeze(-2), [one]),
            ("aten.squeeze.dim", lambda x: x.squeeze(0), [X]),
            ("aten.squeeze.dims", lambda x: x.squeeze((1, -1)), [one[..., None]]),
            *[("aten.unsqueeze.default", lambda x, d=d: x.unsqueeze(d), [X]) for d in (0, 1, 2, 3, -1, -2, -4)],
            ("aten.unsqueeze.default", lambda x: x.unsqueeze(0), [SCALAR]),
            ("aten.unsqueeze.default", lambda x: x.unsqueeze(-1), [X[0, 0]]),
            ("aten.atleast_1d.default", torch.atleast_1d, [SCALAR]),
            ("aten.atleast_2d.default", torch.atleast_2d, [X[0, 0]]),
            ("aten.atleast_3d.default", torch.atleast_3d, [X[0]]),
            ("aten.alias.default", aten.alias, [X]),
            ("aten.clone.default", torch.clone, [X]),
            ("aten.detach.default", lambda x: x.detach(), [X]),
            ("aten.contiguous.default", lambda x: x.mT.contiguous(), [X]),
        ]
    )


def test_order_of_axes():
    z = torch.randn(2, 3, 4, dtype=torch.complex64)
    check_table(
        [
            ("aten.transpose.int", lambda x: x.transpose(0, -1), [X]),
            ("aten.transpose.int", lambda x: x.transpose(-2, -1), [X]),
            ("aten.transpose.int", lambda x: x.transpose(0, 1), [X[0]]),
            ("aten.transpose.int", lambda x: x.transpose(1, -2), [X]),
            ("aten.swapaxes.default", lambda x: x.swapaxes(0, 1), [X]),
            ("aten.t.default", torch.t, [X[0]]),
            ("aten.t.default", torch.t, [X[0, 0]]),
            ("aten.numpy_T.default", lambda x: x.T, [X[0]]),
            ("aten.mT.default", lambda x: x.mT, [X]),
            ("aten.mH.default", lambda x: x.mH, [z]),
            ("aten.adjoint.default", lambda x: x.adjoint(), [z]),
            *[
                ("aten.permute.default", lambda x, order=order: x.permute(order), [X])
                for order in ((2, 0, 1), (0, 2, 1), (0, 1, 2), (-1, 0, 1), (2, 1, 0), (1, 2, 0))
            ],
            ("aten.movedim.int", lambda x: x.movedim(0, -1), [X]),
            ("aten.movedim.intlist", lambda x: x.movedim((0, 1), (-1, 0)), [X]),
            ("aten.moveaxis.int", lambda x: x.moveaxis(-1, 1), [X]),
        ]
    )


def test_broadcasts():
    check_table(
        [
            ("aten.expand.default", lambda x: x.expand(5, -1, 3, 4), [X]),
            ("aten.expand.default", lambda x: x.expand(-1, 6, -1), [X[:, :1]]),
            ("aten.expand.default", lambda x: x.expand(X.shape), [X]),
            ("aten.expand.default", lambda x: x.expand(2, 2), [SCALAR]),
            ("aten.expand_as.default", lambda x, y: x.expand_as(y), [X[0], X]),
            ("aten.broadcast_to.default", lambda x: x.broadcast_to(2, 3, 4), [X[0, 0]]),
            ("aten.broadcast_tensors.default", torch.broadcast_tensors, [X[:, :1], X[0]]),
            ("aten.meshgrid.indexing", lambda a, b: torch.meshgrid(a, b, indexing="ij"), [X[0, 0], X[0, 1, :3]]),
            ("aten.meshgrid.indexing", lambda a, b: torch.meshgrid(a, b, indexing="xy"), [X[0, 0], X[0, 1, :3]]),
        ]
    )


@pytest.mark.parametrize("shape", [(1, 8, 2, 3), (8, 2, 3), (2, 2, 8, 2, 3)])
def test_pixel_shuffle(shape):
    x = torch.randn(shape)
    check(lambda x: torch.pixel_shuffle(x, 2), x, op="aten.pixel_shuffle.default")
    check(lambda x: torch.pixel_unshuffle(torch.pixel_shuffle(x, 2), 2), x, op="aten.pixel_unshuffle.default")


def test_channel_shuffle():
    check(lambda x: torch.channel_shuffle(x, 3), torch.randn(2, 6, 3, 3))


def test_zero_length_axes():
    check(lambda x: (x.reshape(0, 4), x.flatten(1), x.transpose(0, 1), torch.cat([x, x], 1)), torch.empty(3, 0, 4))


BATCH = Size(sympy.Symbol("s0", integer=True, positive=True), 2)
LENGTH = Size(sympy.Symbol("s1", integer=True, positive=True), 6)

# On an array of (BATCH, LENGTH, 4), where the sizes of the example must not stay behind.
DYNAMIC = [
    ("aten.flatten.using_ints", lambda x: (x, 0, 1), lambda x: x.flatten(0, 1)),
    ("aten.flatten.using_ints", lambda x: (x, 1), lambda x: x.flatten(1)),
    ("aten.view.default", lambda x: (x, [BATCH * LENGTH, 4]), lambda x: x.view(-1, 4)),
    ("aten.view.default", lambda x: (x, [BATCH, LENGTH, 2, 2]), lambda x: x.view(*x.shape[:2], 2, 2)),
    ("aten.expand.default", lambda x: (x, [3, -1, LENGTH, 4]), lambda x: x.expand(3, *x.shape)),
    ("aten.unflatten.int", lambda x: (x, -1, [2, -1]), lambda x: x.unflatten(-1, (2, 2))),
    ("aten.squeeze.default", lambda x: (x,), lambda x: x),
    ("aten.slice.Tensor", lambda x: (x, 1, 1, 2**63 - 1), lambda x: x[:, 1:]),
    ("aten.slice.Tensor", lambda x: (x, 1, 0, LENGTH - 1), lambda x: x[:, :-1]),
    ("aten.slice.Tensor", lambda x: (x, 1, -3, 2**63 - 1), lambda x: x[:, -3:]),
    ("aten.slice.Tensor", lambda x: (x, 1, 0, 5), lambda x: x[:, :5]),
    ("aten.slice.Tensor", lambda x: (x, 1, 0, LENGTH), lambda x: x),
    ("aten.narrow.default", lambda x: (x, 1, -2, 2), lambda x: x.narrow(1, -2, 2)),
    ("aten.select.int", lambda x: (x, 1, -1), lambda x: x[:, -1]),
    ("aten.chunk.default", lambda x: (x, 2, -1), lambda x: x.chunk(2, -1)),
    ("aten.split.Tensor", lambda x: (x, LENGTH // 2, 1), lambda x: x.split(x.shape[1] // 2, 1)),
    ("aten.split_with_sizes.default", lambda x: (x, [2, LENGTH - 2], 1), lambda x: x.split([2, x.shape[1] - 2], 1)),
    ("aten.repeat.default", lambda x: (x, [1, LENGTH, 1]), lambda x: x.repeat(1, x.shape[1], 1)),
    ("aten.full.default", lambda x: ([BATCH, LENGTH], 2.5), lambda x: torch.full(x.shape[:2], 2.5)),
    ("aten.arange.start", lambda x: (1, LENGTH + 1), lambda x: torch.arange(1, x.shape[1] + 1)),
    ("aten.pad.default", lambda x: (x, [0, 0, 1, LENGTH]), lambda x: torch.nn.functional.pad(x, (0, 0, 1, x.shape[1]))),
]


@pytest.mark.parametrize("row", DYNAMIC, ids=lambda row: row[0])
def test_dynamic_sizes_follow_the_array(row):
    op, arguments, truth = row
    expression = lookup(op).function(*arguments(Value("x", (BATCH, LENGTH, 4), np.dtype("float32"))))
    for batch, length in ((2, 6), (3, 8), (1, 10)):
        x = torch.randn(batch, length, 4)
        sizes = {BATCH.expr: batch, LENGTH.expr: length}
        found = evaluate(expression, {"x": x.numpy()}, lambda size, s=sizes: int(size.expr.xreplace(s)))
        expected = truth(x)
        for ours, theirs in zip(
            found if isinstance(expected, tuple) else [found],
            expected if isinstance(expected, tuple) else [expected],
            strict=True,
        ):
            np.testing.assert_array_equal(np.asarray(ours), theirs.numpy())


def test_nothing_is_emitted_for_what_changes_nothing():
    output, ops = lowered(lambda x: x.contiguous().view(2, 3, 4)[:, :, :].expand(-1, 3, 4).float(), X)
    assert ops and np.array_equal(output[0], X.numpy())
