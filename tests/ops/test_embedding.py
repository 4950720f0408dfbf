import pytest
import torch
import torch.nn.functional as F

from tests.ops.harness import check
from tests.ops.nn_checks import check_both

WEIGHT = torch.randn(7, 3)
INDICES = torch.tensor([1, 2, 4, 5, 0, 0, 1])
OFFSETS = torch.tensor([0, 2, 2, 5])


@pytest.mark.parametrize("shape, padding_idx", [((), None), ((4,), -1), ((2, 3), 0), ((0, 3), None)])
def test_embedding(shape, padding_idx):
    indices = torch.randint(7, shape)
    check(lambda i, w: F.embedding(i, w, padding_idx), indices, WEIGHT, op="aten.embedding.default")


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 0])
@pytest.mark.parametrize("last", [False, True])
def test_embedding_bag(mode, padding_idx, last):
    def bags(i, w, o):
        return F.embedding_bag(i, w, o, mode=mode, padding_idx=padding_idx, include_last_offset=last)

    offsets = torch.tensor([0, 2, 2, 7]) if last else OFFSETS
    run = check_both if padding_idx == 0 else check
    run(bags, INDICES, WEIGHT, offsets, op="aten.embedding_bag.padding_idx")


def test_embedding_bag_with_weights():
    weights = torch.randn(7)

    def bags(i, w, o, s):
        return F.embedding_bag(i, w, o, mode="sum", per_sample_weights=s, padding_idx=1)

    check_both(bags, INDICES, WEIGHT, OFFSETS, weights, op="aten.embedding_bag.padding_idx")


@pytest.mark.parametrize("mode", [1, 2])
@pytest.mark.parametrize("padding_idx", [None, 0])
def test_what_embedding_bag_keeps_for_backward(mode, padding_idx):
    op = torch.ops.aten.embedding_bag.padding_idx
    check(lambda w, i, o: op(w, i, o, False, mode, False, None, False, padding_idx), WEIGHT, INDICES, OFFSETS)
