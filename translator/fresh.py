"""How torch draws the weights of those of its modules that become classes of the emitted file, not layers of Equinox.

Source: their `reset_parameters` and the section on parameters in their documentation.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.conv import _ConvNd

from translator.provenance import class_of


@dataclass(frozen=True)
class Uniform:
    """Uniform within 1 / sqrt(n) of zero. n: the length of an array's axis 1, or the product of that and all after it."""

    array: str
    to_last: bool = False


GLOROT, NORMAL = "glorot", "normal"


def scheme(type_name: str, name: str, arrays: Collection[str]) -> Uniform | str | None:
    """How an array of a torch module is drawn; None where its class says nothing. arrays: the names of all of them."""
    cls = class_of(type_name)
    if cls is None or name not in arrays:
        return None
    if issubclass(cls, (nn.RNNBase, nn.RNNCellBase)):
        by_hidden = ("weight_hr_l0", "weight_hh_l0", "weight_hh")
        return next((Uniform(array) for array in by_hidden if array in arrays), None)
    if issubclass(cls, (nn.Linear, nn.Bilinear, _ConvNd)) and "weight" in arrays:
        return Uniform("weight", to_last=issubclass(cls, _ConvNd))
    if issubclass(cls, nn.MultiheadAttention) and name.endswith("_weight"):
        return GLOROT
    return NORMAL if issubclass(cls, (nn.Embedding, nn.EmbeddingBag)) else None
