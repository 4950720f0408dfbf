"""Lengths that depend on the values in a tensor: what they are for the example inputs.

torch.export gives such a length a symbol of its own (unbacked, in its words). The graph is run once, so that what is computed
with arrays of such lengths can be checked while it is lowered.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sympy
import torch
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.utils import _pytree as pytree

from translator.captured import Captured
from translator.reference import Reference


def measured(captured: Captured) -> Captured:
    """captured with the lengths that depend on values, as they are for the example."""
    lengths = _lengths(captured)
    return replace(captured, value_lengths=lengths) if lengths else captured


def _lengths(captured: Captured) -> dict[sympy.Symbol, int]:
    """Empty if there is no such length, or nothing to run the graph with."""
    nodes = {node.name: node for node in captured.program.graph.nodes if node.op == "call_function" and unbacked(node)}
    meta = any(tensor.is_meta for tensor in captured.tensors.values())
    if not nodes or meta or not (captured.args or captured.kwargs):
        return {}
    _, values = Reference(captured, wide=False).run(captured.args, captured.kwargs, frozenset(nodes))
    lengths: dict[sympy.Symbol, int] = {}
    for name, node in nodes.items():
        for fake, real in zip(_tensors(node.meta["val"]), _tensors(values[name]), strict=True):
            for size, length in zip(fake.shape, real.shape, strict=False):  # an unread part may have none
                if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol and free_unbacked_symbols(size):
                    lengths.setdefault(size.node.expr, length)
    return lengths


def unbacked(node: Node) -> set[sympy.Symbol]:
    """The symbols in the shapes of a node's arrays that stand for what depends on values."""
    return {symbol for tensor in _tensors(node.meta.get("val")) for symbol in free_unbacked_symbols(tensor)}


def _tensors(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]
