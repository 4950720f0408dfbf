"""Passes over the captured graph, each small and named: what a reader of the emitted code would skip is taken out here.

Every pass leaves the graph computing the same values; each node's recorded value stays that of torch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from torch.fx import Graph, Node
from torch.utils import _pytree as pytree

from translator.affine import same_shape, size_expr
from translator.captured import Captured
from translator.decompose import decompose_unknown
from translator.functionalise import DROPOUT
from translator.kept_axes import drop_kept_axes
from translator.known_values import fold_known_values
from translator.lower import packet
from translator.modes import choose
from translator.parameters import hand_over, replace
from translator.quotients import keep_exact
from translator.regions import scopes
from translator.scalars import fold_scalars

aten = torch.ops.aten

_CHECKS = {
    "_assert_tensor_metadata",
    "_assert_scalar",
    "_assert_async",
    "_functional_assert_async",
    "sym_constrain_range",
    "sym_constrain_range_for_size",
    "_check_tensor_all",
}

# Ops that give their argument back when the shape and dtype come out the same.
_IDENTITY_IF_SAME = {
    "view", "reshape", "_unsafe_view", "expand", "expand_as", "view_as", "reshape_as", "flatten", "unflatten", "squeeze",
    "to", "_to_copy", "type_as", "contiguous", "clone", "alias", "detach", "lift_fresh", "lift_fresh_copy", "positive",
    "slice", "narrow", "broadcast_to", "float", "identity", "repeat", "tile", "atleast_1d", "resolve_conj", "resolve_neg",
}  # fmt: skip

_RESHAPES = {"view", "reshape", "_unsafe_view"}

_GIVE_ARGUMENT = DROPOUT | {"native_dropout", "rrelu_eval"}

# Elementwise ops, in any operand of which a smaller array broadcasts.
_BROADCASTING = {
    "add", "sub", "mul", "div", "where", "eq", "ne", "lt", "le", "gt", "ge", "__and__", "__or__", "bitwise_and", "bitwise_or",
    "logical_and", "logical_or", "maximum", "minimum", "pow", "masked_fill",
}  # fmt: skip


@dataclass(frozen=True)
class Simplified:
    """The graph after all passes, and the conditions on sizes under which it computes what it did before and torch does."""

    graph: Graph
    conditions: tuple[sympy.Basic, ...]


def simplify(captured: Captured) -> Simplified:
    """Run every pass over a captured graph, in place."""
    graph = captured.graph
    conditions = [*captured.conditions, *kept_axes(graph)]
    drop_checks(graph)
    drop_identities(graph)
    drop_repeats(graph)
    conditions += fold_known_values(graph, known_tensors(captured))
    decompose_unknown(graph)
    fold_scalars(graph, known_tensors(captured))
    drop_identities(graph)
    join_reshapes(graph)
    drop_kept_axes(graph)
    sink_leading_axes(graph)
    drop_expands(graph)
    fold_repeats(graph)
    extend_concatenations(graph)
    lift_joins(graph)
    drop_unread_draws(graph)
    keep_exact(graph)
    graph.eliminate_dead_code()
    return Simplified(graph, tuple(dict.fromkeys(conditions)))


def known_tensors(captured: Captured) -> Mapping[str, torch.Tensor]:
    """The values of placeholders that no checkpoint changes: buffers outside the state dict, and constants."""
    return {
        name: captured.tensors[target]
        for name, target in captured.targets.items()
        if target not in captured.persistent and target in captured.tensors
    }


def same_value(a: Node, b: Node) -> bool:
    """Whether two nodes have the same recorded shape and dtype."""
    x, y = a.meta.get("val"), b.meta.get("val")
    if not isinstance(x, torch.Tensor) or not isinstance(y, torch.Tensor) or x.dtype != y.dtype or x.ndim != y.ndim:
        return False
    return same_shape(x.shape, y.shape)


def kept_axes(graph: Graph) -> list[sympy.Basic]:
    """That no axis that torch.export took for longer than one is one where torch would squeeze it."""
    conditions = []
    for node in graph.nodes:
        if packet(node) == "squeeze" and isinstance(node.args[0], Node):
            shape = node.args[0].meta["val"].shape
            dims = node.args[1] if len(node.args) > 1 else range(len(shape))
            sizes = [shape[dim] for dim in ([dims] if isinstance(dims, int) else dims) if shape]
            conditions += [sympy.Ne(size.node.expr, 1) for size in sizes if isinstance(size, torch.SymInt)]
    return [condition for condition in conditions if condition not in (sympy.true, sympy.false)]  # known already


def drop_checks(graph: Graph) -> None:
    """Take out assertions about shapes and metadata: they held while tracing, and hold no value."""
    for node in reversed(list(graph.nodes)):
        if packet(node) in _CHECKS and not node.users:
            graph.erase_node(node)


def drop_identities(graph: Graph) -> None:
    """Take out ops that give their argument back: no-op casts, views, slices and copies, dropout in evaluation mode."""
    for node in list(graph.nodes):
        if node.op != "call_function" or not node.args or not isinstance(node.args[0], Node):
            continue
        name = packet(node)
        if _is_identity(node, name) or node.target is choose and node.args[0] is node.args[1]:
            replace(node, node.args[0])
            graph.erase_node(node)


def _is_identity(node: Node, name: str) -> bool:
    if name in _GIVE_ARGUMENT:
        return len(node.args) > 2 and node.args[2] is False
    if name in _IDENTITY_IF_SAME:
        if name == "slice" and len(node.args) > 4 and node.args[4] != 1:
            return False
        return same_value(node, node.args[0])
    if name == "movedim":
        return node.args[1] == node.args[2]
    scalar = node.args[1] if len(node.args) == 2 else None
    if name in ("add", "sub") and scalar == 0 or name in ("mul", "div") and scalar == 1:
        return not isinstance(scalar, Node) and not node.kwargs and same_value(node, node.args[0])
    return False


def join_reshapes(graph: Graph) -> None:
    """A reshape that nothing but another reshape of the same module reads is taken out."""
    for node in graph.nodes:
        inner = node.args[0] if packet(node) in _RESHAPES and node.target is not aten.view.dtype else None
        while isinstance(inner, Node) and packet(inner) in {*_RESHAPES, "flatten", "unflatten"}:
            if (
                len(inner.users) > 1
                or _module(inner) != _module(node)
                or inner.meta["val"].dtype != node.meta["val"].dtype
            ):
                break
            inner = inner.args[0]
            node.args = (inner, *node.args[1:])


def _module(node: Node) -> str | None:
    """The key of the module call that a node ran in."""
    return next(reversed(node.meta.get("nn_module_stack") or {}), None)


def drop_repeats(graph: Graph) -> None:
    """What a module computes again from the same values is computed once."""
    seen: dict[Any, Node] = {}
    regions = scopes(graph)
    for node in list(graph.nodes):
        part = node.op == "call_function" and node.target is operator.getitem
        if not part and (not packet(node) or _draws(node)):
            continue
        leaves, structure = pytree.tree_flatten((node.args, node.kwargs))
        parts = tuple((type(leaf), str(leaf) if isinstance(leaf, (float, torch.SymInt)) else leaf) for leaf in leaves)
        earlier = seen.setdefault((node.target, parts, str(structure), _module(node), regions[node]), node)
        if earlier is not node:
            replace(node, earlier)
            graph.erase_node(node)


def drop_unread_draws(graph: Graph) -> None:
    """Take out random numbers that nothing reads, which torch keeps for what they do to its generator."""
    for node in reversed(list(graph.nodes)):
        if packet(node) and _draws(node) and not node.users and not node.target._schema.is_mutable:
            graph.erase_node(node)


def _draws(node: Node) -> bool:
    """Whether an op draws random numbers."""
    return torch.Tag.nondeterministic_seeded in node.target.tags


def drop_expands(graph: Graph) -> None:
    """Take out an expand, or a new leading axis, where what reads it broadcasts anyway."""
    for node in reversed(list(graph.nodes)):
        leading = packet(node) == "unsqueeze" and _leads(node)
        if leading or packet(node) in ("expand", "expand_as", "broadcast_to"):
            _replace_where(node, node.args[0], _broadcasts)


def _leads(node: Node) -> bool:
    """Whether a new axis stands before all that are longer than one."""
    shape = node.meta["val"].shape
    return all(isinstance(size, int) and size == 1 for size in shape[: node.args[1] % len(shape) + 1])


def sink_leading_axes(graph: Graph) -> None:
    """Look up first, add the leading axis afterwards: an embedding of indices[None] is that of indices, with the axis."""
    for node in list(graph.nodes):
        index = node.args[1] if packet(node) == "embedding" else None
        if isinstance(index, Node) and packet(index) == "unsqueeze" and index.args[1] == 0:
            inner = index.args[0]
            with graph.inserting_before(node):
                found = graph.call_function(aten.embedding.default, (node.args[0], inner))
                wide = graph.call_function(aten.unsqueeze.default, (found, 0))
            stack = dict(list((node.meta.get("nn_module_stack") or {}).items())[:-1])
            found.meta = {**node.meta, "val": node.meta["val"][0]}
            wide.meta = {**node.meta, "nn_module_stack": stack}
            replace(node, wide)
            graph.erase_node(node)


def _replace_where(node: Node, by: Node, allowed: Callable[[Node, Node, Node], bool]) -> None:
    for user in list(node.users):
        if allowed(user, node, by):
            user.replace_input_with(node, by)
            hand_over(node, by)


def _broadcasts(user: Node, old: Node, new: Node) -> bool:
    name = packet(user)
    if name == "scaled_dot_product_attention":
        mask = user.args[3] if len(user.args) > 3 else user.kwargs.get("attn_mask")
        return mask is old and old not in user.args[:3]
    if name not in _BROADCASTING:
        return False
    values = [(new if a is old else a).meta["val"] for a in user.args if isinstance(a, Node) and _is_tensor(a)]
    if not new.meta["val"].ndim and len({value.dtype for value in values}) > 1:
        return False  # an array without axes takes less part in the promotion of dtypes
    shapes = [value.shape for value in values]
    return same_shape(_broadcast(shapes), user.meta["val"].shape)


def _is_tensor(node: Node) -> bool:
    return isinstance(node.meta.get("val"), torch.Tensor)


def _broadcast(shapes: list) -> tuple:
    """The broadcast shape, taking an axis from the first operand whose length there is not one."""
    ndim = max(map(len, shapes))
    result = []
    for axis in range(-ndim, 0):
        sizes = [shape[axis] for shape in shapes if len(shape) >= -axis]
        wide = [size for size in sizes if not (isinstance(size, int) and size == 1)]
        result.append(wide[0] if wide else 1)
    return tuple(result)


def extend_concatenations(graph: Graph) -> None:
    """cat([a, b, c]) after cat([a, b]) is cat([cat([a, b]), c]): what grows step by step is joined step by step."""
    known: dict[tuple, Node] = {}
    regions = scopes(graph)
    for node in list(graph.nodes):
        if packet(node) != "cat" or node.kwargs or not isinstance(node.args[0], (list, tuple)):
            continue
        dim = node.args[1] if len(node.args) > 1 else 0
        inputs, region = tuple(node.args[0]), regions[node]
        if len(inputs) == 1:
            if same_value(node, inputs[0]):
                known[region, dim, inputs] = inputs[0]
                replace(node, inputs[0])
                graph.erase_node(node)
            continue
        for length in range(len(inputs) - 1, 1, -1):
            before = known.get((region, dim, inputs[:length]))
            if before is not None:
                node.args = ([before, *inputs[length:]], *node.args[1:])
                break
        known[region, dim, inputs] = node


def lift_joins(graph: Graph) -> None:
    """A join of several arrays that a module does first, and that alone reads them there, is done by its caller.

    So the module takes one array, however many were joined, and its instances can share a class.
    """
    regions = scopes(graph)
    for node in graph.nodes:
        stack = node.meta.get("nn_module_stack") or {}
        if packet(node) not in ("cat", "stack") or len(stack) < 2 or regions[node]:
            continue
        key = next(reversed(stack))
        inputs = node.all_input_nodes
        inside = [n for n in graph.nodes if key in (n.meta.get("nn_module_stack") or {})]
        first = next((n for n in inside if isinstance(n.meta.get("val"), torch.Tensor)), None)
        others = set(inside) - {node}
        if first is node and len(inputs) > 1 and not any(user in others for n in inputs for user in n.users):
            node.meta["nn_module_stack"] = dict(list(stack.items())[:-1])


def fold_repeats(graph: Graph) -> None:
    """A new axis, expanded and merged into the one before it, repeats the items of that one."""
    for node in list(graph.nodes):
        if packet(node) not in ("reshape", "view") or not isinstance(node.args[0], Node):
            continue
        wide = node.args[0]
        thin = wide.args[0] if packet(wide) == "expand" else None
        if not isinstance(thin, Node) or packet(thin) != "unsqueeze":
            continue
        source, shape, value = thin.args[0], wide.meta["val"].shape, node.meta["val"]
        axis = thin.args[1] % len(shape)
        before = source.meta["val"].shape
        if len(shape) != len(before) + 1:  # expanding puts axes in front, too
            continue
        count = size_expr(shape[axis])
        if axis == 0 or not count.is_Integer or not size_expr(before[axis - 1]).is_Integer:
            continue
        merged = (*before[: axis - 1], before[axis - 1] * shape[axis], *before[axis:])
        if same_shape(shape[:axis] + shape[axis + 1 :], before) and same_shape(value.shape, merged):
            with graph.inserting_before(node):
                new = graph.call_function(aten.repeat_interleave.self_int, (source, int(count), axis - 1))
            new.meta = dict(node.meta)
            replace(node, new)
            graph.erase_node(node)
