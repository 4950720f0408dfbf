"""Lengths that depend on the values in a tensor: what they are for the example inputs.

torch.export gives such a length a symbol of its own (unbacked, in its words). The graph is run once, so that what is computed
with arrays of such lengths can be checked while it is lowered.
"""

from __future__ import annotations

from dataclasses import replace

import sympy
from torch.utils import _pytree as pytree

from translator.captured import Captured
from translator.lower import new_lengths
from translator.reference import Reference


def measured(captured: Captured) -> Captured:
    """captured with the lengths that depend on values, as they are for the example."""
    lengths = _lengths(captured)
    return replace(captured, value_lengths=lengths) if lengths else captured


def _lengths(captured: Captured) -> dict[sympy.Symbol, int]:
    """Empty if there is no such length, or nothing to run the graph with."""
    bindings = {node.name: found for node in captured.program.graph.nodes if (found := new_lengths(node))}
    meta = any(tensor.is_meta for tensor in captured.tensors.values())
    if not bindings or meta or not (captured.args or captured.kwargs):
        return {}
    _, values = Reference(captured, wide=False).run(captured.args, captured.kwargs, frozenset(bindings))
    return {
        symbol: pytree.key_get(values[name], path) for name, found in bindings.items() for symbol, path in found.items()
    }
