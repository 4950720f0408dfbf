import pytest
import torch

from tests.ops.harness import check


@pytest.mark.parametrize("name", ["tanh", "exp", "neg", "rsqrt", "relu"])
def test_unary(name):
    check(getattr(torch, name), torch.rand(3, 4) + 0.1, op=f"aten.{name}.default")


@pytest.mark.parametrize("other", [torch.randn(4), torch.tensor(2, dtype=torch.float64), torch.arange(4)])
def test_add_promotes_like_torch(other):
    check(lambda x, y: torch.add(x, y, alpha=2), torch.randn(3, 4).half(), other, op="aten.add.Tensor")


def test_softmax_casts_first():
    check(lambda x: torch.softmax(x, -1, dtype=torch.float32), torch.randn(3, 4).bfloat16(), op="aten.softmax.int")


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate):
    check(lambda x: torch.nn.functional.gelu(x, approximate=approximate), torch.randn(3, 4), op="aten.gelu.default")
