"""The ten torchvision models, with norms moved away from their fresh values, at small image sizes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.export import Dim

import tests.zoo.torchvision_schemas  # noqa: F401  (before torchvision: its operators need schemas)
from tests.zoo.case import Case, model, perturb_norms

from torchvision import models  # isort: skip

CLASSES = 10


def images(batch: int, size: int):
    """The arguments of one call: (batch, 3, size, size) images."""
    return (torch.randn(batch, 3, size, size),), {}


def register(name: str, factory: Callable[..., nn.Module], size: int = 64, other_size: int = 96, **options) -> None:
    """Register `factory(**options)` under `name`, called with images of `size` and then of `other_size`."""

    @model(name)
    def build() -> Case:
        module = perturb_norms(factory(weights=None, num_classes=CLASSES, **options))
        return Case(module, *images(2, size), other_inputs=(images(3, size), images(2, other_size)))


register("resnet18", models.resnet18)
register("resnet50", models.resnet50)
register("densenet121", models.densenet121)
register("mobilenet_v3_small", models.mobilenet_v3_small)
register("efficientnet_b0", models.efficientnet_b0)
register("convnext_tiny", models.convnext_tiny)
register("shufflenet_v2_x1_0", models.shufflenet_v2_x1_0)
register("googlenet", models.googlenet, init_weights=False)


@model("swin_t")
def swin_t() -> Case:
    """Only the batch is dynamic: with dynamic image sizes, torch.export alone takes minutes."""
    module = perturb_norms(models.swin_t(weights=None, num_classes=CLASSES))
    dynamic_shapes = {"x": {0: Dim.AUTO}}
    return Case(module, *images(2, 64), other_inputs=(images(3, 64),), dynamic_shapes=dynamic_shapes)


@model("vit_b_16")
def vit_b_16() -> Case:
    """Its position embedding fixes the image size."""
    module = perturb_norms(models.vit_b_16(weights=None, num_classes=CLASSES, image_size=64))
    with torch.no_grad():
        module.heads.head.weight.normal_(std=0.02)  # zero when fresh: logits would compare nothing
        module.class_token.normal_(std=0.02)
    return Case(module, *images(2, 64), other_inputs=(images(3, 64),))


@model("resnet50_imagenet", large=True)
def resnet50_imagenet() -> Case:
    """resnet50 as published: 1000 classes at 224."""
    return Case(perturb_norms(models.resnet50(weights=None)), *images(2, 224), other_inputs=(images(3, 192),))
