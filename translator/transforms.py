"""torch.func's transforms within forward: vmap and jvp are written out by torch's own functionalisation.

Of grad, vjp and jacrev torch.export records what they differentiate by as a constant, with the values of the example, and of
torch.autograd.grad where parameters take part.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node

from translator.arrays import memory_of
from translator.errors import CaptureError
from translator.functionalise import mutates

ADVICE = (
    "forward computes gradients (torch.func.grad, vjp, jacrev, torch.autograd.grad), and torch.export takes what it differentiates by "
    "for a constant: translate the module that is differentiated, and use jax.grad"
)


def stand_in(graph: Graph) -> bool:
    """Whether results of a graph come from calls of torch.func's own, between which ops mean something else.

    The blocks that flex_attention may leave out are worked out by vmap, but say nothing of its result.
    """
    reached: set[Node] = {node for node in graph.nodes if _is_call(node)}
    for node in graph.nodes:
        given = node.all_input_nodes
        if getattr(node.target, "__name__", "") == "flex_attention":
            blocks: list[Node] = []
            torch.fx.node.map_arg(node.args[4], blocks.append)
            given = [part for part in given if part not in blocks]
        if any(part in reached for part in given):
            reached.add(node)
            if mutates(node) and isinstance(node.args[0], Node):
                written = memory_of(node.args[0].meta.get("val"))
                reached |= {n for n in graph.nodes if written is not None and memory_of(n.meta.get("val")) == written}
    return graph.output_node() in reached


def _is_call(node: Node) -> bool:
    return getattr(node.target, "__module__", "") == "torch._functorch.predispatch"


def require_known(program: ExportedProgram) -> None:
    """Raise CaptureError where a gradient was traced with the example's values."""
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor
    if any(isinstance(tensor, torch.Tensor) and wrapped(tensor) for tensor in program.constants.values()):
        raise CaptureError(ADVICE)


__all__ = ["ADVICE", "require_known", "stand_in"]
