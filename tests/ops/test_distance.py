import jax
import jax.numpy as jnp
import pytest
import torch
import torch.nn.functional as F

import translator
from op_table.prelude import distance
from tests.function import Function
from tests.ops.harness import check
from tests.ops.nn_checks import check_both

PS = [0.0, 1.0, 2.0, 3.5, float("inf")]


@pytest.mark.parametrize("p", PS)
def test_distances(p):
    x, y = torch.randn(2, 5, 4), torch.randn(2, 3, 4)
    check_both(lambda x, y: torch.cdist(x, y, p), x, y, op="aten.cdist.default")
    check(lambda x: F.pdist(x, p), x[0], op="aten.pdist.default")
    if p:
        check_both(lambda x, y: F.pairwise_distance(x, y, p), x[:, :3], y, op="aten.pairwise_distance.default")
        check(lambda x: torch.renorm(x, p, 1, 2.0), x, op="aten.renorm.default")


def test_cdist_of_many_rows_broadcasts_over_batches():
    check_both(torch.cdist, torch.randn(3, 1, 30, 4), torch.randn(2, 31, 4), op="aten.cdist.default")


MODES = {"use_mm_for_euclid_dist": "euclidean_distance", "donot_use_mm_for_euclid_dist": "difference_norm"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rows", [5, 30])
def test_cdist_takes_a_product_where_torch_does(mode, rows):
    x, y = torch.randn(rows, 4), torch.randn(3, 4)

    def distances(x, y):
        return torch.cdist(x, y, compute_mode=mode)

    check_both(distances, x, y, op="aten.cdist.default")
    assert f"return {MODES[mode]}(" in translator.translate(Function(distances), (x, y)).source


def test_pairwise_distance_of_a_vector_and_rows():
    op = "aten.pairwise_distance.default"
    check(lambda x, y: F.pairwise_distance(x, y, eps=1e-3, keepdim=True), torch.randn(5, 4), torch.randn(4), op=op)


@pytest.mark.parametrize("shapes, dim", [([(3, 4), (3, 4)], 1), ([(2, 3, 4), (3, 1)], -2), ([(4,), (4,)], 0)])
def test_cosine_similarity(shapes, dim):
    x, y = (torch.randn(s) for s in shapes)
    check_both(lambda x, y: F.cosine_similarity(x, y, dim), x, y, op="aten.cosine_similarity.default")


def test_similarity_to_nothing_is_zero():
    check(lambda x, y: F.cosine_similarity(x, y, eps=1e-2), torch.zeros(3, 4), torch.randn(3, 4) * 1e-3)


@pytest.mark.parametrize("function", [distance.euclidean_distance, distance.difference_norm])
def test_gradient_of_the_distance_to_oneself_is_zero(function):
    x = torch.randn(4, 3, requires_grad=True)
    torch.cdist(x, x.detach()).sum().backward()
    fixed = jnp.asarray(x.detach().numpy())
    gradient = jax.grad(lambda x: jnp.sum(function(x, fixed)))(fixed)
    assert jnp.allclose(gradient, x.grad.numpy(), atol=1e-6)
