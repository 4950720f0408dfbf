"""Every model that the translator is held to, by name.

for name in names():
    case = build(name)
    case.module(*case.args, **case.kwargs)
"""

from __future__ import annotations

from tests.zoo import (  # noqa: F401  (each fills the registry)
    diffusers_models,
    large_models,
    pretrained_models,
    torch_models,
    torchvision_models,
    transformers_models,
)
from tests.zoo.case import REGISTRY, SHALLOW, Case, Entry

__all__ = ["Case", "Entry", "MODELS", "build", "names"]

MODELS: dict[str, Entry] = REGISTRY


def names(*, large: bool = False) -> list[str]:
    """Names of the models of the tests, or of the large ones."""
    return [entry.name for entry in MODELS.values() if entry.large == large]


def build(name: str, *, shallow: bool = False) -> Case:
    """The case called `name`, made anew: the same weights and inputs every time. Raises KeyError for no such name.

    shallow: with fewer layers of each kind, where the model is a deep one that has such a form.
    """
    return (SHALLOW if shallow and name in SHALLOW else MODELS)[name].build()
