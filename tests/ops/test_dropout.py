import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from op_table.registry import Unsupported
from tests.ops.harness import check, lowered

IMAGE = torch.randn(2, 3, 4, 4)


@pytest.mark.parametrize("layer", [nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout])
def test_dropout_in_evaluation_is_the_identity(layer):
    check(layer(0.5).eval(), IMAGE[0] if layer is nn.Dropout1d else IMAGE)


def test_feature_alpha_and_native_dropout():
    check(nn.FeatureAlphaDropout(0.5).eval(), IMAGE, op="aten.feature_alpha_dropout.default")
    op = torch.ops.aten.native_dropout.default
    check(lambda x: op(x, 0.5, False), IMAGE, op=str(op))


def test_dropout_in_training_is_refused():
    with pytest.raises(Unsupported, match="training mode"):
        lowered(lambda x: F.dropout(x, 0.5, True), IMAGE)
    check(lambda x: F.dropout(x, 0.0, True), IMAGE, op="aten.dropout.default")
