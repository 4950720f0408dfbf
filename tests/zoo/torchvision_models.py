"""The ten torchvision models, with norms moved away from their fresh values, at small image sizes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.export import Dim

from tests.zoo.case import SHALLOW, Case, model, perturb_norms

CLASSES = 10


def torchvision() -> Any:
    """The package, imported here, so that the other models do without."""
    import tests.zoo.torchvision_schemas  # noqa: F401  (before torchvision, which needs the schemas of its operators)

    import torchvision  # isort: skip

    return torchvision


def fresh(name: str, **options: Any) -> nn.Module:
    """`torchvision.models.<name>` with new weights."""
    return perturb_norms(getattr(torchvision().models, name)(weights=None, **options))


def images(batch: int, size: int):
    """The arguments of one call: (batch, 3, size, size) images."""
    return (torch.randn(batch, 3, size, size),), {}


def case(module: nn.Module, size: int = 64, other_size: int = 96, **options: Any) -> Case:
    """A model called with two images of `size` and then with three of `other_size`."""
    return Case(module, *images(2, size), other_inputs=(images(3, other_size),), **options)


def register(name: str, shallow: Callable[[], nn.Module] | None = None, **options: Any) -> None:
    """Register a torchvision model under its name, and what makes it with fewer layers."""
    model(name)(lambda: case(fresh(name, num_classes=CLASSES, **options)))
    if shallow:
        model(name, registry=SHALLOW)(lambda: case(perturb_norms(shallow())))


def shallow_resnet50() -> nn.Module:
    resnet = torchvision().models.resnet
    return resnet.ResNet(resnet.Bottleneck, [2, 2, 2, 2], num_classes=CLASSES)


def shallow_densenet121() -> nn.Module:
    return torchvision().models.DenseNet(32, (3, 3, 4, 2), 64, num_classes=CLASSES)


def shallow_efficientnet_b0() -> nn.Module:
    efficientnet = torchvision().models.efficientnet
    blocks, last = efficientnet._efficientnet_conf("efficientnet_b0", width_mult=1.0, depth_mult=0.5)
    return efficientnet.EfficientNet(blocks, dropout=0.2, last_channel=last, num_classes=CLASSES)


def shallow_convnext_tiny() -> nn.Module:
    convnext = torchvision().models.convnext
    widths, counts = (96, 192, 384, 768, None), (1, 1, 2, 1)
    blocks = [convnext.CNBlockConfig(*pair, n) for pair, n in zip(itertools.pairwise(widths), counts, strict=True)]
    return convnext.ConvNeXt(blocks, stochastic_depth_prob=0.1, num_classes=CLASSES)


register("resnet18")
register("resnet50", shallow_resnet50)
register("densenet121", shallow_densenet121)
register("mobilenet_v3_small")
register("efficientnet_b0", shallow_efficientnet_b0)
register("convnext_tiny", shallow_convnext_tiny)
register("shufflenet_v2_x1_0")
register("googlenet", init_weights=False)


@model("swin_t")
def swin_t() -> Case:
    """Only the batch is dynamic: with dynamic image sizes, torch.export alone takes minutes."""
    return case(fresh("swin_t", num_classes=CLASSES), other_size=64, dynamic_shapes={"x": {0: Dim.AUTO}})


@model("vit_b_16")
def vit_b_16() -> Case:
    """Its position embedding fixes the image size."""
    module = fresh("vit_b_16", num_classes=CLASSES, image_size=64)
    with torch.no_grad():
        module.heads.head.weight.normal_(std=0.02)  # zero when fresh: logits would compare nothing
        module.class_token.normal_(std=0.02)
    return case(module, other_size=64)


@model("resnet50_imagenet", large=True)
def resnet50_imagenet() -> Case:
    """resnet50 as published: 1000 classes at 224."""
    return case(fresh("resnet50"), 224, 192)
