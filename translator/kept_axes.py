"""A reduction that keeps axes of length one for a reshape to take out drops them itself: a global pool is a mean."""

from __future__ import annotations

from collections import Counter

import torch
from torch.fx import Graph, Node

from translator.affine import same_shape
from translator.lower import by_name, changed, packet
from translator.parameters import replace
from translator.provenance import calls

aten = torch.ops.aten

_TAKE_OUT = {"view", "reshape", "_unsafe_view", "flatten", "squeeze"}


def drop_kept_axes(graph: Graph) -> None:
    """The reduction moves to where the reshape is, if both are code of one module."""
    arrays = (node for node in graph.nodes if isinstance(node.meta.get("val"), (torch.Tensor, list, tuple)))
    sizes = Counter(calls(node)[-1:] for node in arrays)
    for node in list(graph.nodes):
        kept = node.args[0] if packet(node) in _TAKE_OUT and node.target is not aten.view.dtype else None
        if not isinstance(kept, Node) or len(kept.users) > 1 or _homes(kept, sizes).isdisjoint(_homes(node, sizes)):
            continue
        found = _dropping(kept)
        if found is None:
            continue
        target, args, kwargs, dims = found
        value, before = node.meta["val"], kept.meta["val"]
        axes = {dim % max(before.ndim, 1) for dim in dims}  # what has no axes may be reduced along axis 0
        dropped = [size for axis, size in enumerate(before.shape) if axis not in axes]
        if value.dtype == before.dtype and same_shape(value.shape, dropped):
            with graph.inserting_before(node):
                new = graph.call_function(target, args, kwargs)
            new.meta = dict(node.meta)
            replace(node, new)
            graph.erase_node(node)
            graph.erase_node(kept)


def _dropping(node: Node) -> tuple | None:
    """The target, arguments and keywords of a reduction that drops the axes which a node keeps, and these axes."""
    name = packet(node)
    if name.startswith("adaptive_avg_pool") and all(size == 1 for size in node.args[1]):
        ndim = node.meta["val"].ndim
        if not node.meta["val"].is_floating_point():  # of which there is no mean
            return None
        dims = list(range(ndim - len(node.args[1]), ndim))
        return aten.mean.dim, (node.args[0], dims), {}, dims
    own = by_name(node) if isinstance(node.target, torch._ops.OpOverload) else {}
    if own.get("keepdim") is not True or not isinstance(node.meta.get("val"), torch.Tensor):
        return None
    dims = own.get("dim")
    dims = [dims] if isinstance(dims, int) else dims
    if not dims:  # all of them
        return None
    return node.target, *changed(node, keepdim=False), dims


def _homes(node: Node, sizes: Counter) -> set[tuple[str, ...]]:
    """The module calls whose code a node may be: its own, and that of the caller if it is all that its own does."""
    keys = calls(node)
    return {keys, keys[:-1]} if sizes[keys[-1:]] == 1 else {keys}
