"""Expands that repeat nothing are plain views, where a graph writes through views.

torch puts what was written to an expanded tensor back as `base + (written - base)`, summed over what was repeated: with infinities,
or values far apart, that is not what was written. torch lets a program write only where nothing is repeated, and there
the tensor is its base's alias, with new axes of length one before.
"""

from __future__ import annotations

import operator

import torch
from torch.fx import Graph, Node

from translator.affine import same_shape

aten = torch.ops.aten

_EXPANDS = {aten.expand.default, aten.expand_as.default, aten.broadcast_to.default}


def as_views(graph: Graph) -> None:
    """Replace the expands of graph that repeat nothing by aliases and unsqueezes."""
    for node in list(graph.nodes):
        base = _base(node)
        if base is None:
            continue
        value, inner = node.meta.get("val"), base.meta.get("val")
        if not isinstance(value, torch.Tensor) or not isinstance(inner, torch.Tensor):
            continue
        added = value.ndim - inner.ndim
        if not same_shape(value.shape, (1,) * added + inner.shape):
            continue
        for _ in range(added - 1):
            with graph.inserting_before(node):
                outer = graph.call_function(aten.unsqueeze.default, (base, 0))
            outer.meta = {**node.meta, "val": base.meta["val"].unsqueeze(0)}
            base = outer
        node.kwargs = {}
        node.target, node.args = (aten.unsqueeze.default, (base, 0)) if added else (aten.alias.default, (base,))


def _base(node: Node) -> Node | None:
    """What node expands."""
    if node.target in _EXPANDS:
        return node.args[0]
    if node.target is operator.getitem and node.args[0].target is aten.broadcast_tensors.default:
        return node.args[0].args[0][node.args[1]]
    return None


__all__ = ["as_views"]
