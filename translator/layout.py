"""The layout pass: images are stored with their channels last from one end of a model to the other.

Weights stay as torch has them, and so do the arrays that a model takes and returns. Convolutions and what lies between them
compute on channels-last arrays; a transpose stands only where an array in one order is read in another. The module's own
permutations between the two orders are then nothing at all.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch.fx import Graph, Node

from translator.hierarchy import is_item
from translator.layout_orders import stored
from translator.layout_plan import Plan, plan
from translator.layout_rules import ANCHORS, Move, Orders, aten
from translator.layout_transposes import Transposes
from translator.parameters import replace
from translator.regions import scopes


def to_channels_last(graph: Graph, inputs: set[Node]) -> None:
    """Rewrite a graph in place. inputs: the placeholders of the arrays that the model is called with.

    A graph without convolutions is left as it is.
    """
    if not any(node.target in ANCHORS for node in graph.nodes):
        return
    regions = scopes(graph)
    found = plan(graph, {node for node in graph.nodes if regions[node]})
    if found.moves:
        _rewrite(found, inputs, regions)


def _rewrite(plan: Plan, inputs: set[Node], regions: Mapping[Node, tuple]) -> None:
    graph, transposes = plan.graph, Transposes(plan.graph, plan.orders, plan.shapes, inputs, regions)
    for node in list(graph.nodes):
        reads = plan.reads(node) if not is_item(node) else {}
        found = plan.moves.get(node)
        if found is not None:
            node.target, node.args, node.kwargs = found.target, tuple(found.args), dict(found.kwargs)
        for x, order in reads.items():
            taken = transposes.of(x, order, node, found is not None and x in found.aligned)
            if taken is not x:
                node.replace_input_with(x, taken)
        if found is not None or node in plan.orders:
            _restate(node, found, plan.orders)
    _finish(graph)


def _restate(node: Node, found: Move | None, orders: Orders) -> None:
    """Let the value that is recorded for a node be as it is stored."""
    value = node.meta["val"]
    if node in orders:
        node.meta["val"] = value.new_empty(stored(value.shape, orders[node]))
    elif found is not None and isinstance(found.order, dict):
        places = enumerate(value)
        node.meta["val"] = type(value)(
            part.new_empty(stored(part.shape, found.order[place])) if place in found.order else part
            for place, part in places
        )


def _finish(graph: Graph) -> None:
    """Take out what gives its argument back."""
    for node in list(graph.nodes):
        if node.target is aten.alias.default:
            replace(node, node.args[0])
            graph.erase_node(node)
    graph.eliminate_dead_code()
