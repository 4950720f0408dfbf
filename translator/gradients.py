"""Where gradients do not flow: what leaves a torch.no_grad region, or is detached, has none in torch either."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import torch
from torch.fx import Graph, Node

from translator.arrays import memory_of
from translator.parameters import hand_over, replace
from translator.regions import argument

_MAY_GIVE_ITSELF = {torch.ops.aten.to, torch.ops.aten.contiguous, torch.ops.aten.type_as}


def stop_gradient(x: torch.Tensor) -> torch.Tensor:
    """x as a constant, for gradients."""
    return x.detach()


def stopped(graph: Graph, results: Any, around: Set[Node]) -> Any:
    """What leaves a region without gradients, each array of it with a node that stops them.

    around: the nodes outside of the region, which keep theirs.
    """

    def stop(node: Node) -> Node:
        while _itself(node):
            node = node.args[0]
        if not isinstance(node.meta.get("val"), torch.Tensor) or node in around:
            return node
        stop = graph.call_function(stop_gradient, (node,))
        stop.meta = {key: node.meta[key] for key in ("val", "nn_module_stack", "stack_trace") if key in node.meta}
        hand_over(node, stop)
        return stop

    return torch.fx.node.map_arg(results, stop)


def _itself(node: Node) -> bool:
    """Whether a node gives its argument itself, and not a view or a copy of it."""
    if getattr(node.target, "overloadpacket", None) not in _MAY_GIVE_ITSELF:
        return False
    memory = memory_of(node.meta.get("val"))
    return memory is not None and memory == memory_of(node.args[0].meta.get("val"))


def keep_needed(graph: Graph, differentiable: Set[str]) -> None:
    """Stop gradients only where there are any. differentiable: the placeholders that torch would have gradients for."""
    flows: set[Node] = set()
    for node in list(graph.nodes):
        if node.op == "placeholder":
            reached = node.name in differentiable
        else:
            reached = any(part in flows for part in node.all_input_nodes) or node.target is argument
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor) and not (value.is_floating_point() or value.is_complex()):
            reached = False
        if node.target is torch.ops.aten.detach.default and reached:
            node.target = stop_gradient
        if node.target is stop_gradient:
            if not reached:
                replace(node, node.args[0])
                graph.erase_node(node)
            continue
        if reached:
            flows.add(node)
