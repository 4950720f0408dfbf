"""The ten torchvision models, with norms moved away from their fresh values, at small image sizes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.export import Dim

from tests.zoo.case import Case, model, perturb_norms

CLASSES = 10


def fresh(name: str, **options: Any) -> nn.Module:
    """`torchvision.models.<name>` with new weights. torchvision is imported here, so that the other models do without."""
    import tests.zoo.torchvision_schemas  # noqa: F401  (before torchvision, which needs the schemas of its operators)

    from torchvision import models  # isort: skip

    return perturb_norms(getattr(models, name)(weights=None, **options))


def images(batch: int, size: int):
    """The arguments of one call: (batch, 3, size, size) images."""
    return (torch.randn(batch, 3, size, size),), {}


def register(name: str, size: int = 64, other_size: int = 96, **options: Any) -> None:
    """Register a torchvision model under its name, called with two images of `size` and then with three of `other_size`."""

    @model(name)
    def build() -> Case:
        module = fresh(name, num_classes=CLASSES, **options)
        return Case(module, *images(2, size), other_inputs=(images(3, other_size),))


register("resnet18")
register("resnet50")
register("densenet121")
register("mobilenet_v3_small")
register("efficientnet_b0")
register("convnext_tiny")
register("shufflenet_v2_x1_0")
register("googlenet", init_weights=False)


@model("swin_t")
def swin_t() -> Case:
    """Only the batch is dynamic: with dynamic image sizes, torch.export alone takes minutes."""
    module = fresh("swin_t", num_classes=CLASSES)
    dynamic_shapes = {"x": {0: Dim.AUTO}}
    return Case(module, *images(2, 64), other_inputs=(images(3, 64),), dynamic_shapes=dynamic_shapes)


@model("vit_b_16")
def vit_b_16() -> Case:
    """Its position embedding fixes the image size."""
    module = fresh("vit_b_16", num_classes=CLASSES, image_size=64)
    with torch.no_grad():
        module.heads.head.weight.normal_(std=0.02)  # zero when fresh: logits would compare nothing
        module.class_token.normal_(std=0.02)
    return Case(module, *images(2, 64), other_inputs=(images(3, 64),))


@model("resnet50_imagenet", large=True)
def resnet50_imagenet() -> Case:
    """resnet50 as published: 1000 classes at 224."""
    return Case(fresh("resnet50"), *images(2, 224), other_inputs=(images(3, 192),))
