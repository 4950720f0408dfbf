import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

import translator
from tests.opinfo import statistics
from tests.opinfo.entries import Call, Calls
from tests.ops.harness import check

IMAGE = torch.randn(2, 3, 4, 4)


@pytest.mark.parametrize("layer", [nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout])
def test_dropout_in_evaluation_is_the_identity(layer):
    check(layer(0.5).eval(), IMAGE[0] if layer is nn.Dropout1d else IMAGE)


def test_feature_alpha_and_native_dropout():
    check(nn.FeatureAlphaDropout(0.5).eval(), IMAGE, op="aten.feature_alpha_dropout.default")
    op = torch.ops.aten.native_dropout.default
    check(lambda x: op(x, 0.5, False), IMAGE, op=str(op))


def test_dropout_of_nothing_in_training_is_the_identity():
    check(lambda x: F.dropout(x, 0.0, True), IMAGE, op="aten.dropout.default")


@pytest.mark.parametrize(
    "function",
    [F.dropout, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout],
    ids=lambda f: f.__name__,
)
def test_dropout_in_training_draws_as_torch_does(function):
    """Of ones, so that every value is one of two, whose shares and places are compared over many draws."""
    x = torch.ones(2, 3, 4, 4, 1) if function is F.dropout3d else torch.ones(2, 3, 4, 4)
    call = Call(lambda x: function(x, 0.25, True), (x,))
    translation = translator.translate(Calls([call]).train(), (x,), dynamic_shapes=None)
    found = statistics.draws(lambda key: translation.model(x.numpy(), key=key))
    assert not statistics.problem(found[0], lambda: call(x))
    assert len(np.unique(np.asarray(found[0].result))) == 2
