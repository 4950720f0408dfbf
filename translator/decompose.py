"""The fallback for ops that have no rule: that op alone is replaced by torch's own decomposition of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch._decomp import core_aten_decompositions
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import Graph, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from op_table import registry
from translator.logs import quiet
from translator.lower import op_name
from translator.parameters import replace

_DEPTH = 4


def decompose_unknown(graph: Graph) -> None:
    """Replace each op that has no rule by its decomposition, again until every op has one or none is left to decompose."""
    for _ in range(_DEPTH):
        unknown = [n for n in graph.nodes if _is_op(n) and registry.lookup(op_name(n)) is None]
        if not any([_replace(graph, node) for node in unknown]):
            return


def _is_op(node: Node) -> bool:
    return node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)


@functools.cache
def _table() -> dict:
    return core_aten_decompositions()


def decomposition(op: torch._ops.OpOverload) -> Callable | None:
    """torch's decomposition of an op into core ATen, or None: from its table, or its own kernel where that is made of other ops."""
    table = _table()
    if op in table:
        return table[op]
    if op.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd):
        return op.decompose
    return None


def _replace(graph: Graph, node: Node) -> bool:
    function = decomposition(node.target)
    if function is None:
        return False
    nodes = [a for a in pytree.tree_leaves((node.args, node.kwargs)) if isinstance(a, Node)]
    fakes = [a.meta["val"] for a in nodes]
    mode = next((f.fake_mode for f in fakes if hasattr(f, "fake_mode")), None) or FakeTensorMode(
        allow_non_fake_inputs=True
    )

    def run(*inputs: object) -> object:
        bound = dict(zip(nodes, inputs, strict=True))
        args, kwargs = torch.fx.node.map_arg((node.args, dict(node.kwargs)), bound.__getitem__)
        return function(*args, **kwargs)

    try:
        with mode, quiet("torch._subclasses.fake_tensor"):
            traced = make_fx(run, tracing_mode="fake", _allow_non_fake_inputs=True)(*fakes)
    except Exception:  # what torch cannot decompose here is reported as unsupported by lowering
        return False
    return _splice(graph, node, nodes, traced)


def _splice(graph: Graph, node: Node, inputs: list[Node], traced: torch.fx.GraphModule) -> bool:
    bound: dict[Node, object] = {}
    feeds = iter(inputs)
    with graph.inserting_before(node):
        for inner in traced.graph.nodes:
            if inner.op == "placeholder":
                bound[inner] = next(feeds)
            elif inner.op == "call_function":
                bound[inner] = graph.node_copy(inner, bound.__getitem__)
                for name in ("nn_module_stack", "stack_trace"):
                    if name in node.meta:
                        bound[inner].meta[name] = node.meta[name]
            elif inner.op == "output":
                result = torch.fx.node.map_arg(inner.args[0], bound.__getitem__)
            else:
                return False
    if isinstance(result, Node):
        replace(node, result)
    elif not isinstance(result, (tuple, list)):  # a number: a size that came out fixed after all
        for user in list(node.users):
            user.args, user.kwargs = torch.fx.node.map_arg(
                (user.args, dict(user.kwargs)), lambda n: result if n is node else n
            )
    else:
        _take(graph, node, result)
    graph.erase_node(node)
    return True


def _take(graph: Graph, node: Node, results: Sequence) -> None:
    """Replace what is taken of a node's results, some of which may be lists themselves."""
    for user in list(node.users):
        result = results[user.args[1]]
        if isinstance(result, Node):
            replace(user, result)
        else:
            _take(graph, user, result)
        graph.erase_node(user)
