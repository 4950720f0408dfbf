"""In-place ops become out-of-place ones, where what they write to is seen through no other name.

torch's own functionalisation handles every case but takes longer than the export itself, and most graphs need none of it:
an activation in place on a fresh result, an addition in place before it. Those are rewritten here; for all else the caller
runs torch's.
"""

from __future__ import annotations

import torch
from torch.fx import Graph, Node


def replace_in_place(graph: Graph) -> bool:
    """Rewrite the in-place ops of graph. False if one writes to what another name shows, and then the graph must not be used."""
    order = {node: position for position, node in enumerate(graph.nodes)}
    groups: dict[Node, list[Node]] = {}
    root: dict[Node, Node] = {}
    for node in graph.nodes:
        source = _viewed(node)
        root[node] = root[source] if source is not None else node
        groups.setdefault(root[node], []).append(node)
    for node in list(graph.nodes):
        if not _mutates(node):
            continue
        target = node.args[0]
        functional = _functional(node.target)
        others = [n for n in groups[root[target]] if n is not target and n is not node]
        earlier = [n for n in others if order[n] < order[node]]  # later ones come from what the op gives back
        read_later = any(order[user] > order[node] for other in earlier for user in other.users)
        if functional is None or root[target].op == "placeholder" or root[target] is not target or read_later:
            return False
        node.target = functional
        target.replace_all_uses_with(node, delete_user_cb=lambda user: order[user] > order[node])  # noqa: B023
        root[node] = node
        groups[node] = [n for n in others if order[n] > order[node]] + [node]
        for member in groups[node]:
            root[member] = node
    return True


def _mutates(node: Node) -> bool:
    return (
        node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable
    )


def _viewed(node: Node) -> Node | None:
    """The node whose memory this one may show: of a view, or of an op that may return its argument."""
    if node.op != "call_function":
        return None
    if not isinstance(node.target, torch._ops.OpOverload):  # an item of a split or unbind is a view, too
        return node.args[0] if node.args and isinstance(node.args[0], Node) else None
    schema = node.target._schema
    aliasing = any(r.alias_info is not None for r in schema.returns) or schema.name in _MAY_RETURN_ARGUMENT
    first = node.args[0] if node.args else None
    return first if aliasing and isinstance(first, Node) else None


_MAY_RETURN_ARGUMENT = {"aten::dropout", "aten::feature_dropout", "aten::alpha_dropout", "aten::pad", "aten::type_as"}


def _functional(op: torch._ops.OpOverload) -> torch._ops.OpOverload | None:
    """`aten.add.Tensor` for `aten.add_.Tensor`; None if torch has no such op with the same arguments."""
    namespace, _, name = op._schema.name.partition("::")
    packet = getattr(getattr(torch.ops, namespace), name.rstrip("_"), None)
    overload = getattr(packet, op._overloadname, None) if packet is not None and name.endswith("_") else None
    if overload is None or [a.name for a in overload._schema.arguments] != [a.name for a in op._schema.arguments]:
        return None
    return None if overload._schema.is_mutable else overload
