"""Activation functions, at both ends and at NaN, and softmax."""

import pytest
import torch
from torch.nn import functional as F

from tests.ops.harness import check
from tests.ops.tables import check_both, check_table

torch.manual_seed(0)
aten = torch.ops.aten
NAN, INF = float("nan"), float("inf")
X = torch.cat([torch.linspace(-30, 30, 41), torch.tensor([0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 6.0, 0.0])]).reshape(1, 7, 7)
EDGES = torch.tensor([-INF, -90.0, 0.0, 90.0, INF, NAN])

PLAIN = {
    "relu": torch.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "mish": F.mish,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "selu": F.selu,
    "log_sigmoid": F.logsigmoid,
    "special_expit": torch.special.expit,
    "elu": F.elu,
    "celu": F.celu,
    "leaky_relu": F.leaky_relu,
    "hardtanh": F.hardtanh,
    "softplus": F.softplus,
    "gelu": F.gelu,
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
}


def test_plain():
    check_both([(f"aten.{n}.default", f, [X]) for n, f in PLAIN.items()], tolerance=1e-14)
    finite = ("mish", "silu", "gelu", "hardswish")  # of infinity times zero
    check_table([(f"aten.{n}.default", f, [EDGES]) for n, f in PLAIN.items() if n not in finite])
    check_table([(f"aten.{n}.default", f, [EDGES[[1, 2, 3, 5]]]) for n, f in PLAIN.items() if n in finite])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half(dtype):
    check_table([(f"aten.{n}.default", f, [X.to(dtype) / 4]) for n, f in PLAIN.items()], tolerance=2e-2)


def test_parameters():
    weight = torch.rand(7)
    check_both(
        [
            ("aten.elu.default", lambda x: F.elu(x, 0.5), [X]),
            ("aten.elu.default", lambda x: aten.elu(x, 0.5, 2.0, 1.5), [X]),
            ("aten.celu.default", lambda x: F.celu(x, 0.5), [X]),
            ("aten.leaky_relu.default", lambda x: F.leaky_relu(x, 0.2), [X]),
            ("aten.hardtanh.default", lambda x: F.hardtanh(x, -2, 0.5), [X]),
            ("aten.softplus.default", lambda x: F.softplus(x, 2), [X]),
            ("aten.softplus.default", lambda x: F.softplus(x, 0.5, 1), [X]),
            ("aten.threshold.default", lambda x: F.threshold(x, 0.5, -1), [X]),
            ("aten.hardshrink.default", lambda x: F.hardshrink(x, 2), [X]),
            ("aten.softshrink.default", lambda x: F.softshrink(x, 2), [X]),
            ("aten.rrelu.default", lambda x: F.rrelu(x), [X]),
            ("aten.gelu.default", lambda x: F.gelu(x, approximate="tanh"), [X]),
            ("aten.prelu.default", F.prelu, [X, weight]),
            ("aten.prelu.default", F.prelu, [X[0], weight]),
            ("aten.prelu.default", F.prelu, [X[..., None], weight[:1]]),
            ("aten.prelu.default", F.prelu, [X[..., None], weight]),
            ("aten.glu.default", F.glu, [X[..., :6]]),
            ("aten.glu.default", lambda x: F.glu(x, 1), [X[:, :4]]),
        ],
        tolerance=1e-10,
    )


def test_softmax():
    x = torch.randn(2, 3, 4)
    masked = x.masked_fill(torch.tensor([True, False, True, True]), -INF)
    check_both(
        [
            ("aten.softmax.int", lambda x: torch.softmax(x, -1), [x]),
            ("aten.softmax.int", lambda x: torch.softmax(x, 1), [x]),
            ("aten.softmax.int", lambda x: torch.softmax(x, -1), [masked]),
            ("aten.softmax.int", lambda x: torch.softmax(x, 0), [x[0, 0, 0]]),
            ("aten.log_softmax.int", lambda x: torch.log_softmax(x, -1), [x]),
            ("aten.log_softmax.int", lambda x: torch.log_softmax(x, 0), [masked]),
            ("aten._softmax.default", lambda x: aten._softmax(x, 1, False), [x]),
            ("aten._log_softmax.default", lambda x: aten._log_softmax(x, -1, False), [x]),
            ("aten._safe_softmax.default", lambda x: aten._safe_softmax(x, -1), [x.masked_fill(x[0] < 0.5, -INF)]),
            ("aten.special_softmax.default", lambda x: torch.special.softmax(x, -1), [x]),
        ]
    )
    check_table(
        [
            ("aten.softmax.int", lambda x: torch.softmax(x, -1, dtype=torch.float32), [x.bfloat16()]),
            ("aten.softmax.int", lambda x: torch.softmax(x, -1), [x.half()]),
            ("aten.log_softmax.int", lambda x: torch.log_softmax(x, -1, dtype=torch.float32), [x.half()]),
            ("aten.softmax.int", lambda x: torch.softmax(x, -1), [torch.full((2, 2), -INF)]),
        ]
    )


@pytest.mark.parametrize("value", [2.0, float("inf"), float("nan")])
def test_softmax_without_axes(value):
    x = torch.tensor(value)
    check(lambda x: torch.softmax(x, 0), x, op="aten.softmax.int")
    check(lambda x: torch.log_softmax(x, 0), x, op="aten.log_softmax.int")
