import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import translator
from tests.opinfo.entries import Call, Calls

torch.manual_seed(0)
LOG_PROBS = torch.randn(9, 3, 5).log_softmax(-1)
TARGETS = torch.tensor([[1, 2, 2, 4], [3, 3, 1, 1], [4, 1, 2, 3]])
INPUTS, LENGTHS = torch.tensor([9, 8, 5]), torch.tensor([4, 2, 3])

CASES = {
    "mean": (lambda *a: F.ctc_loss(*a), (LOG_PROBS, TARGETS, INPUTS, LENGTHS)),
    "none": (lambda *a: F.ctc_loss(*a, reduction="none"), (LOG_PROBS, TARGETS, INPUTS, LENGTHS)),
    "lengths_as_numbers": (
        lambda p, t: F.ctc_loss(p, t, (9, 9, 9), (4, 2, 0), reduction="sum"),
        (LOG_PROBS, TARGETS),
    ),
    "targets_in_a_row": (
        lambda *a: F.ctc_loss(*a, reduction="none", blank=4),
        (LOG_PROBS, torch.tensor([0, 1, 1, 3, 2, 2, 0, 0, 1]), INPUTS, LENGTHS),
    ),
    "too_short": (lambda p, t: F.ctc_loss(p, t, (2, 2, 2), (4, 2, 1), reduction="none"), (LOG_PROBS, TARGETS)),
    "zero_infinity": (
        lambda p, t: F.ctc_loss(p, t, (2, 2, 2), (4, 2, 1), reduction="sum", zero_infinity=True),
        (LOG_PROBS, TARGETS),
    ),
    "one": (lambda *a: F.ctc_loss(*a), (LOG_PROBS[:, 0], TARGETS[0], INPUTS[0], LENGTHS[0])),
}


@pytest.mark.parametrize("name", CASES)
def test_ctc_loss(name):
    function, tensors = CASES[name]
    translation = translator.translate(Calls([Call(function, tensors)]).eval(), tensors, dynamic_shapes=None)
    verification = translation.verify()
    assert verification.ok, str(verification)


def test_gradient_of_ctc_loss():
    function, (_, *rest) = CASES["mean"]
    scores = torch.randn(9, 3, 5, requires_grad=True)
    expected = torch.autograd.grad(function(scores.log_softmax(-1), *rest), scores)[0]
    tensors = (LOG_PROBS, *rest)
    model = translator.translate(Calls([Call(function, tensors)]).eval(), tensors, dynamic_shapes=None).model
    arrays = [tensor.numpy() for tensor in rest]
    found = jax.grad(lambda x: model(jax.nn.log_softmax(x, -1), *arrays)[0])(scores.detach().numpy())
    np.testing.assert_allclose(np.asarray(found), expected.numpy(), atol=1e-6)
