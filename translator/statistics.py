"""Running statistics: a norm in training mode updates them behind its schema's back, which is written out here."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.fx import Graph, Node

from translator.errors import Undecided

aten = torch.ops.aten


def batch_norm(
    x: torch.Tensor,
    mean: torch.Tensor,
    var: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    momentum: float,
    eps: float,
) -> tuple[torch.Tensor, ...]:
    """x normalised by its own statistics, and the new running ones."""
    found = aten._native_batch_norm_legit_functional.default(x, weight, bias, mean, var, True, momentum, eps)
    return found[0], found[3], found[4]


def write_out(graph: Graph) -> None:
    """Let each batch norm and instance norm that updates running statistics give the new ones, and copy these to where they belong."""
    for node in list(graph.nodes):
        if node.target is aten.batch_norm.default and node.args[5] and node.args[3] is not None:
            _batch_norm(graph, node)
        elif node.target is aten.instance_norm.default and node.args[5] and node.args[3] is not None:
            _instance_norm(graph, node)


class _Writer:
    """Adds nodes in the place of one, which run where it does."""

    def __init__(self, graph: Graph, node: Node):
        self.graph, self.node = graph, node

    def __call__(self, op: Any, *args: Any) -> Node:
        made = self.graph.call_function(op, args)
        given = torch.fx.node.map_arg(args, lambda n: n.meta["val"])
        try:
            with self.node.meta["val"].fake_mode, torch.no_grad():
                value = op(*given)
        except Exception as error:
            raise Undecided from error
        made.meta = {key: self.node.meta[key] for key in ("nn_module_stack", "stack_trace") if key in self.node.meta}
        made.meta["val"] = value
        return made

    def items(self, result: Node, *places: int) -> list[Node]:
        found = []
        for place in places:
            item = self.graph.call_function(operator.getitem, (result, place))
            item.meta = {**result.meta, "val": result.meta["val"][place]}
            found.append(item)
        return found

    def copy(self, buffer: Node, value: Node) -> None:
        if value.meta["val"].dtype != buffer.meta["val"].dtype:
            value = self(aten.to.dtype, value, buffer.meta["val"].dtype)
        made = self.graph.call_function(aten.copy_.default, (buffer, value))
        made.meta = {**value.meta, "val": buffer.meta["val"]}


def _batch_norm(graph: Graph, node: Node) -> None:
    x, weight, bias, mean, var, _, momentum, eps = node.args[:8]
    with graph.inserting_before(node):
        put = _Writer(graph, node)
        norm = put(batch_norm, x, mean, var, weight, bias, momentum, eps)
        y, new_mean, new_var = put.items(norm, 0, 1, 2)
        put.copy(mean, new_mean)
        put.copy(var, new_var)
    y.meta |= {key: value for key, value in node.meta.items() if key != "val"}
    node.replace_all_uses_with(y)
    graph.erase_node(node)


def _instance_norm(graph: Graph, node: Node) -> None:
    """The running statistics take the mean over the batch of each instance's own. Source: ATen's instance_norm."""
    x, weight, bias, mean, var, _, momentum, eps, cudnn = node.args
    axes = list(range(2, x.meta["val"].ndim))
    with graph.inserting_before(node):
        put = _Writer(graph, node)
        own_mean = put(aten.mean.dim, x, [0, *axes])
        own_var = put(aten.mean.dim, put(aten.var.dim, x, axes), [0])
        put.copy(mean, put(aten.lerp.Scalar, mean, own_mean, momentum))
        put.copy(var, put(aten.lerp.Scalar, var, own_var, momentum))
    node.args = (x, weight, bias, None, None, True, momentum, eps, cudnn)
