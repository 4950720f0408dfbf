"""What a model of the zoo is, and the registry that the families of models fill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""The positional and the keyword arguments of one call."""


@dataclass(frozen=True)
class Case:
    """A torch module in evaluation mode, a call to translate it with, and further calls that must work as well.

    `other_inputs` are calls at another batch size, sequence length or image size, where the module takes them.
    `dynamic_shapes` is what `translate` is given: "auto", or the dimensions of each argument as torch.export takes them.
    """

    module: nn.Module
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    other_inputs: tuple[Call, ...] = ()
    dynamic_shapes: Any = "auto"


@dataclass(frozen=True)
class Entry:
    """One name of the zoo: `build` makes its Case; `large` keeps it out of the tests that run over all models."""

    name: str
    build: Callable[[], Case]
    large: bool = False


REGISTRY: dict[str, Entry] = {}

# Deep models once more, with fewer layers of each kind.
SHALLOW: dict[str, Entry] = {}


def model(
    name: str, *, large: bool = False, registry: dict[str, Entry] = REGISTRY
) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    """Register the decorated factory under `name`. Raises ValueError if the name is taken.

    The factory runs under a fixed seed, so two processes build the same weights and inputs; the caller's random
    state is left as it was.
    """

    def register(factory: Callable[[], Case]) -> Callable[[], Case]:
        if name in registry:
            raise ValueError(f"two models are called {name!r}")

        def build() -> Case:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                case = factory()
            case.module.eval()
            return case

        registry[name] = Entry(name, build, large)
        return build

    return register


def perturb_norms(module: nn.Module) -> nn.Module:
    """Move statistics and parameters of norms away from 0 and 1, which would hide a swapped or forgotten one.

    Returns the module, changed in place.
    """
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None:
                layer.running_mean.normal_(std=0.1)
                layer.running_var.uniform_(0.5, 1.5)
            if "Norm" in type(layer).__name__:
                for parameter in layer.parameters(recurse=False):
                    parameter.add_(torch.randn_like(parameter) * 0.1)
    return module
