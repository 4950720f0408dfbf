"""torch.func's transforms within forward: vmap and jvp are written out by torch's own functionalisation.

Of grad, vjp and jacrev torch.export records what they differentiate by as a constant, with the values of the example, and of
torch.autograd.grad where parameters take part.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Graph

from translator.errors import CaptureError

_CALLS = "torch._functorch.predispatch"

ADVICE = (
    "forward computes gradients (torch.func.grad, vjp, jacrev, torch.autograd.grad), and torch.export takes what it differentiates by "
    "for a constant: translate the module that is differentiated, and use jax.grad"
)


def stand_in(graph: Graph) -> bool:
    """Whether values in a graph come from calls of torch.func's own, between which ops mean something else."""
    return any(node.users and getattr(node.target, "__module__", "") == _CALLS for node in graph.nodes)


def require_known(program: ExportedProgram) -> None:
    """Raise CaptureError where a gradient was traced with the example's values."""
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor
    if any(isinstance(tensor, torch.Tensor) and wrapped(tensor) for tensor in program.constants.values()):
        raise CaptureError(ADVICE)


__all__ = ["ADVICE", "require_known", "stand_in"]
