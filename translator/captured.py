"""The captured module: what torch.export made of it, and what the later stages read of the module itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy
import torch
from torch.export import ExportedProgram
from torch.fx import Graph


def in_training(module: torch.nn.Module | None) -> bool:
    """Whether any part of a module is in training mode."""
    return module is not None and any(child.training for child in module.modules())


@dataclass(frozen=True)
class Captured:
    """A functional FX graph of ATen ops with its provenance.

    graph: the nodes, no-grad, autocast and control flow part of it (see `regions`), in-place ops replaced. program: torch's own,
    which runs as the reference. evaluation: that of evaluation mode, where the module is in training mode and the graph does
    both (see `modes`). evaluation_returns: how many of the graph's outputs are those of evaluation mode alone, where it returns
    something else.
    args, kwargs: the example inputs. state: every tensor of the state dict by torch name, tied names included.
    targets: placeholder name -> torch name, for parameters, buffers and constants; tensors: their values by torch name.
    persistent: the torch names that are in the state dict. mutated: those of the buffers that forward writes to, which are
    state. hints: the example's length of each dynamic size.
    conditions: what must hold of the dynamic sizes for the program to be what the module does. value_lengths: the example's
    length of each size that depends on values, which jax.jit cannot trace. module: the torch module, or None where only a .pt2
    is at hand. notes: what a user should know of this capture (shapes that are fixed, and why). seconds: what torch.export took.
    """

    graph: Graph
    program: ExportedProgram
    evaluation: ExportedProgram | None
    args: tuple
    kwargs: Mapping[str, Any]
    state: Mapping[str, torch.Tensor]
    targets: Mapping[str, str]
    tensors: Mapping[str, torch.Tensor]
    persistent: frozenset[str]
    hints: Mapping[sympy.Symbol, int]
    module: torch.nn.Module | None
    class_name: str
    evaluation_returns: int = 0
    mutated: tuple[str, ...] = ()
    conditions: tuple[sympy.Basic, ...] = ()
    value_lengths: Mapping[sympy.Symbol, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
