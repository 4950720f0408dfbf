"""What follows for the graph from values that are known as formulas of their indices.

What comes out uniform is replaced by a constant, an index by a counting grid becomes a transpose, and operands that change
nothing are dropped.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import sympy
import torch
from torch.fx import Graph, Node

from translator.affine import Affine, argument, follow, recognise, size_expr
from translator.lower import packet
from translator.parameters import replace

aten = torch.ops.aten


def fold_known_values(graph: Graph, tensors: Mapping[str, torch.Tensor]) -> list[sympy.Basic]:
    """Follow affine arrays through graph and rewrite what is known by them. tensors: placeholders whose values are fixed.

    Returns the conditions on sizes that keep positions within the tables that they are looked up in, where torch would raise.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Raw SymInt")  # sizes stand for themselves until they are lowered
        conditions = _fold(graph, tensors)
    graph.eliminate_dead_code()
    return conditions


def _fold(graph: Graph, tensors: Mapping[str, torch.Tensor]) -> list[sympy.Basic]:
    known: dict[Node, Affine] = {}
    conditions: list[sympy.Basic] = []
    for node in list(graph.nodes):
        if node.op == "placeholder" and node.name in tensors:
            formula = recognise(tensors[node.name])
        elif node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload):
            formula = follow(node, known)
        else:
            formula = None
        if formula is not None and _exact(node, formula):
            # An axis of length one counts nothing, and would seem to count where it broadcasts.
            shape = node.meta["val"].shape
            steps = [0 if size_expr(n) == 1 else step for step, n in zip(formula.steps, shape, strict=True)]
            known[node] = Affine(formula.base, tuple(map(sympy.sympify, steps)))
        if node.op == "call_function":
            conditions += _within(node, known)
            _rewrite(graph, node, known)
    return conditions


def _within(node: Node, known: Mapping[Node, Affine]) -> list[sympy.Basic]:
    """That the positions looked up in an embedding lie in its table."""
    if packet(node) != "embedding":
        return []
    formula, rows = known.get(node.args[1]), node.args[0].meta["val"].shape[0]
    if formula is None or not isinstance(rows, int) or not all(step.is_nonnegative for step in formula.steps):
        return []
    shape = node.args[1].meta["val"].shape
    highest = formula.base + sum(step * (size_expr(n) - 1) for step, n in zip(formula.steps, shape, strict=True))
    condition = sympy.Le(sympy.expand(highest + 1), rows)
    return [] if condition in (sympy.true, sympy.false) else [condition]


def _exact(node: Node, formula: Affine) -> bool:
    """Whether an array holds the numbers of its formula: narrow integers may have wrapped, and a boolean is only ever 0 or 1."""
    dtype = node.meta["val"].dtype
    return dtype == torch.int64 or dtype == torch.bool and formula.uniform and formula.base in (0, 1)


_MADE = {"arange", "full", "ones", "zeros", "scalar_tensor"}


def _rewrite(graph: Graph, node: Node, known: dict[Node, Affine]) -> None:
    name = str(node.target).removeprefix("aten.").partition(".")[0]
    value = node.meta.get("val")
    formula = known.get(node)
    if formula is not None and name not in _MADE:
        if formula.uniform and formula.base.is_Integer:
            fill = bool(formula.base) if value.dtype == torch.bool else int(formula.base)
            _replace(graph, node, known, aten.full.default, (_shape(graph, node), fill), {"dtype": value.dtype})
        elif name in ("slice", "index", "gather", "add", "sub", "diff", "cumsum"):
            _as_arange(graph, node, formula, known)
    elif name in _KEEPS:
        _drop_neutral(graph, node, known, _KEEPS[name])
    elif name == "index" and node.args[0] not in known:
        _index_to_transpose(graph, node, known)
    elif name == "embedding":
        _embed_once(graph, node, known)
    elif name == "scaled_dot_product_attention":
        _drop_open_mask(node, known)


_KEEPS = {"__and__": 1, "bitwise_and": 1, "logical_and": 1, "__or__": 0, "bitwise_or": 0, "logical_or": 0}


def _drop_open_mask(node: Node, known: Mapping[Node, Affine]) -> None:
    """Attention with a mask that is True everywhere is attention without one."""
    mask = argument(node, 3, "attn_mask")
    formula = known.get(mask) if isinstance(mask, Node) else None
    if formula is not None and formula.uniform and formula.base == 1 and mask.meta["val"].dtype == torch.bool:
        node.args = (*node.args[:3], None, *node.args[4:])
        node.kwargs = {key: value for key, value in node.kwargs.items() if key != "attn_mask"}


def _replace(
    graph: Graph, node: Node, known: dict[Node, Affine], target: Any, args: tuple, kwargs: dict | None = None
) -> Node:
    """Put another op in a node's place; it stands for the same value."""
    with graph.inserting_before(node):
        new = graph.call_function(target, args, kwargs or {})
    new.meta = dict(node.meta)
    replace(node, new)
    if node in known:
        known[new] = known[node]
    return new


def _shape(graph: Graph, node: Node) -> list:
    """A node's shape as arguments: symbolic sizes as sym_size nodes of the node itself cannot be, so SymInts stand for themselves."""
    return list(node.meta["val"].shape)


def _as_arange(graph: Graph, node: Node, formula: Affine, known: dict[Node, Affine]) -> None:
    """An array that counts along one axis is written as an arange along that axis."""
    value = node.meta["val"]
    moving = [axis for axis, step in enumerate(formula.steps) if step != 0]
    lengths = [size for axis, size in enumerate(value.shape) if axis not in moving]
    if (
        len(moving) != 1
        or formula.steps[moving[0]] != 1
        or not formula.base.is_Integer
        or any(not isinstance(size, int) or size != 1 for size in lengths)
    ):
        return
    size, start = value.shape[moving[0]], int(formula.base)
    with graph.inserting_before(node):
        new = graph.call_function(aten.arange.start, (start, start + size), {"dtype": value.dtype})
        new.meta = {
            **node.meta,
            "val": torch.ops.aten.arange.start(start, start + size, dtype=value.dtype, device="meta"),
        }
        known[new] = Affine(formula.base, (sympy.Integer(1),))
        for axis in range(value.ndim):
            if axis != moving[0]:
                inner = new
                new = graph.call_function(aten.unsqueeze.default, (inner, axis))
                new.meta = {**node.meta, "val": inner.meta["val"].unsqueeze(axis)}
                known[new] = formula
    replace(node, new)


def _drop_neutral(graph: Graph, node: Node, known: dict[Node, Affine], neutral: int) -> None:
    a, b = node.args
    for constant, other in ((a, b), (b, a)):
        formula = known.get(constant) if isinstance(constant, Node) else None
        if formula is not None and formula.uniform and formula.base == neutral and isinstance(other, Node):
            value, kept = node.meta["val"], other.meta["val"]
            if kept.dtype == value.dtype == torch.bool:
                if kept.ndim == value.ndim and all(
                    size_expr(m) == size_expr(n) for m, n in zip(kept.shape, value.shape, strict=True)
                ):
                    replace(node, other)
                else:
                    _replace(graph, node, known, aten.expand.default, (other, _shape(graph, node)))
                return


def _index_to_transpose(graph: Graph, node: Node, known: dict[Node, Affine]) -> None:
    """x[arange(n)[:, None], arange(m)] is x: every index counts along an axis of its own, in order, over the whole axis."""
    x, indices = node.args
    source, value = x.meta["val"], node.meta["val"]
    if len(indices) != source.ndim or any(not isinstance(i, Node) or i not in known for i in indices):
        return
    axes = []
    for index, size in zip(indices, source.shape, strict=True):
        formula, shape = known[index], index.meta["val"].shape
        moving = [axis for axis, step in enumerate(formula.steps) if step != 0]
        if len(moving) != 1 or formula.steps[moving[0]] != 1 or formula.base != 0:
            return
        if size_expr(shape[moving[0]]) != size_expr(size) and not _equal_by_broadcast(shape[moving[0]], size):
            return
        axes.append(value.ndim - len(shape) + moving[0])
    if axes != sorted(set(axes)):
        return
    new = x
    with graph.inserting_before(node):
        for axis in range(value.ndim):
            if axis not in axes:
                inner = new
                new = graph.call_function(aten.unsqueeze.default, (inner, axis))
                new.meta = {**node.meta, "val": inner.meta["val"].unsqueeze(axis)}
    replace(node, new)


def _equal_by_broadcast(a: Any, b: Any) -> bool:
    """Whether two sizes were equal in the example and are both free: indexing x by a longer range raises in torch."""
    return isinstance(a, torch.SymInt) and isinstance(b, torch.SymInt) and a.node.hint == b.node.hint


def _embed_once(graph: Graph, node: Node, known: dict[Node, Affine]) -> None:
    """An embedding of one index everywhere is that row, broadcast."""
    weight, indices = node.args[:2]
    formula = known.get(indices)
    if formula is None or not formula.uniform or not formula.base.is_Integer or not formula.steps:
        return
    value = node.meta["val"]
    stack = dict(list((node.meta.get("nn_module_stack") or {}).items())[:-1])
    around = {**node.meta, "nn_module_stack": stack}  # the index and the broadcasting are the caller's, not the layer's
    with graph.inserting_before(node):
        index = graph.call_function(aten.full.default, ([], int(formula.base)), {"dtype": indices.meta["val"].dtype})
        index.meta = {**around, "val": torch.empty((), dtype=indices.meta["val"].dtype, device="meta")}
        row = graph.call_function(aten.embedding.default, (weight, index))
        row.meta = {**node.meta, "val": weight.meta["val"][0]}
        wide = graph.call_function(aten.expand.default, (row, list(value.shape)))
        wide.meta = around
    replace(node, wide)
