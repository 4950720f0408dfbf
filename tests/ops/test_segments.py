"""Reductions of segments: empty ones, with and without an initial value, by lengths and by offsets."""

import pytest
import torch

from op_table.prelude.segments import segment_reduce
from tests.ops.gradients import check_gradient
from tests.ops.harness import to_array
from tests.ops.tables import check_table

X = torch.randn(6, 3)
LENGTHS = torch.tensor([2, 0, 3, 1])
OFFSETS = torch.tensor([0, 2, 2, 5, 6])


@pytest.mark.parametrize("reduce", ["sum", "mean", "prod", "max", "min"])
def test_segments(reduce):
    op = "aten.segment_reduce.default"
    check_table(
        [
            (op, lambda x, n: torch.segment_reduce(x, reduce, lengths=n), [X, LENGTHS]),
            (op, lambda x, n: torch.segment_reduce(x, reduce, lengths=n, initial=2), [X, LENGTHS]),
            (op, lambda x, n: torch.segment_reduce(x, reduce, offsets=n, initial=1.5), [X, OFFSETS]),
            (
                op,
                lambda x, n: torch.segment_reduce(x, reduce, lengths=n, axis=1, initial=1),
                [X.T, LENGTHS.repeat(3, 1)],
            ),
        ]
    )


def test_gradient_of_a_product_with_zeros():
    x = torch.tensor([2.0, 3.0, 0.0, 4.0, 0.0, 0.0])
    check_gradient(
        lambda a: segment_reduce(a, to_array(OFFSETS), "prod", initial=1.0),
        lambda a: torch.segment_reduce(a, "prod", lengths=LENGTHS, initial=1.0),
        x[[0, 1, 3, 3, 1, 0]],
    )
