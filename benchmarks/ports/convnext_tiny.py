"""ConvNeXt-Tiny of equimo, with the weights of torchvision's."""

from __future__ import annotations

from equimo.models.convnext import ConvNeXt, convnext_sizes

from benchmarks.ports.renamed import OfImages, filled

BLOCK = {"dwconv": "block.0", "norm": "block.2", "pwconv1": "block.3", "pwconv2": "block.5"}
NAMES = {
    r"blocks\.0\.downsample\.conv": "features.0.0",
    r"blocks\.0\.downsample\.norm": "features.0.1",
    r"blocks\.(\d)\.downsample\.norm": lambda m: f"features.{2 * int(m[1])}.0",
    r"blocks\.(\d)\.downsample\.conv": lambda m: f"features.{2 * int(m[1])}.1",
    r"blocks\.(\d)\.blocks\.(\d+)\.ls\.gamma": lambda m: f"features.{2 * int(m[1]) + 1}.{m[2]}.layer_scale",
    r"blocks\.(\d)\.blocks\.(\d+)\.(\w+)": lambda m: f"features.{2 * int(m[1]) + 1}.{m[2]}.{BLOCK[m[3]]}",
    "norm": "classifier.0",
    "head": "classifier.2",
}


def load(path: str) -> OfImages:
    """The model with the tensors in a safetensors file."""
    return OfImages(filled(lambda key: ConvNeXt(**convnext_sizes["tiny"], act_layer="exactgelu", key=key), path, NAMES))
