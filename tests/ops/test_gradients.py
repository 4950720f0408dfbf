"""Functions whose gradients JAX alone would get otherwise than torch."""

import jax.numpy as jnp
import pytest
import torch

from op_table.prelude import gradients, pooling, scatter, select
from op_table.prelude.embedding import embedding_renorm
from tests.ops.gradients import check_gradient
from tests.ops.harness import to_array
from tests.ops.tables import check_table

X = torch.tensor([-30.0, -8.5, -1.5, -1.0, -0.1, 0.0, 0.3, 9.0])
INF = float("inf")


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (gradients.elu, torch.nn.functional.elu),
        (lambda x: gradients.elu(x, 2.0, 0.5), lambda x: torch.nn.functional.celu(x, 2.0)),
        (gradients.i0, torch.special.i0),
        (gradients.digamma, torch.digamma),
        (lambda x: gradients.polygamma(2, x), lambda x: torch.polygamma(2, x)),
    ],
)
def test_of_one(ours, theirs):
    check_gradient(ours, theirs, X[torch.tensor([1, 2, 4, 6, 7])])


@pytest.mark.parametrize(
    "ours, theirs", [(gradients.logaddexp, torch.logaddexp), (gradients.nextafter, torch.nextafter)]
)
def test_of_two(ours, theirs):
    check_gradient(ours, theirs, X, X.flip(0))


def test_values():
    check_table(
        [
            ("aten.logaddexp.default", torch.logaddexp, [torch.tensor([INF, -INF, INF, 1.0]), torch.tensor([INF, -INF, 0.0, 300.0])]),
            ("aten.i0.default", torch.i0, [X]),
            ("aten.nextafter.default", torch.nextafter, [X, X.flip(0)]),
            ("aten.polygamma.default", lambda x: torch.polygamma(3, x), [X]),
            ("aten.polygamma.default", lambda x: torch.polygamma(1, x), [X[1:3].bfloat16()]),
            ("aten.special_zeta.default", torch.special.zeta, [torch.tensor([3.0, 2.0, 1.0, 0.5, 4.0]), torch.tensor([-8.0, 3.0, 2.0, 2.0, -9.5])]),
            ("aten.special_ndtr.default", torch.special.ndtr, [X.half()]),
            ("aten.special_ndtri.default", torch.special.ndtri, [torch.rand(5)]),
        ]
    )  # fmt: skip


def test_unpooling_to_one_place():
    places = torch.tensor([[0, 3], [3, 5]])
    x = torch.randn(1, 1, 2, 2)
    check_gradient(
        lambda x: 0 * pooling.max_unpool(x, to_array(places)[None, None], (3, 3)),
        lambda x: 0 * torch.nn.functional.max_unpool2d(x, places[None, None], 2, output_size=(3, 3)),
        x,
    )
    check_gradient(
        lambda x: pooling.max_unpool(x, jnp.array([[[[0, 3], [4, 5]]]]), (3, 3)),
        lambda x: torch.ops.aten.max_unpool2d(x, torch.tensor([[[[0, 3], [4, 5]]]]), [3, 3]),
        x,
    )


def test_product_at_repeated_places():
    index = torch.tensor([0, 0, 2, 2, 1, 1])
    check_gradient(
        lambda x, src: scatter.scatter_reduce(x, 0, to_array(index), src, "prod"),
        lambda x, src: x.scatter_reduce(0, index, src, "prod"),
        torch.tensor([2.0, 3.0, 0.0, 1.0]),
        torch.tensor([0.0, 5.0, 2.0, 3.0, 0.0, 0.0]),
    )


def test_softmax_of_masked_rows():
    mask = torch.tensor([[0.0, -INF, 0.0], [-INF, -INF, -INF]])
    check_gradient(
        lambda x: select.safe_softmax(x + to_array(mask), -1),
        lambda x: torch.ops.aten._safe_softmax(x + mask, -1),
        torch.randn(2, 3),
    )


def test_renormalised_embedding():
    indices = torch.tensor([0, 2, 2])
    weight = torch.randn(3, 4) * 3
    wide = weight.double()
    ours = embedding_renorm(to_array(weight), to_array(indices), 1.0, 2.0)
    expected = torch.embedding_renorm_(wide.clone(), indices, 1.0, 2.0)
    assert jnp.allclose(ours, to_array(expected.float()), atol=1e-5)
