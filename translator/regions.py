"""Control flow: the bodies of torch.cond, while_loop, scan and their like become regions of the graph around them.

A region lies between two markers, `opens` and `closes`; what `closes` gives stands for the function that the region is, and
the op takes it as an argument. What a body only reads (parameters, other arrays) it reads from the graph around it, as a
local function of Python does; what changes from call to call are nodes of `argument`. So every later pass sees one graph,
and has only to know that a node is visible in its own region and those within it.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch._ops import HigherOrderOperator
from torch.fx import Graph, Node

from translator.errors import CaptureError
from translator.function_names import source_names
from translator.generated import INNER

Flatten = Callable[[Graph, torch.nn.Module], Graph]

_count = itertools.count()

CONSTANT = "constant"  # that of one that holds an array which the body makes from numbers
BODY = "body"  # the key of the meta of a get_attr node that holds the module of a body


def opens() -> tuple:
    """Marks where a region begins."""
    raise NotImplementedError("a marker")


def argument(region: Any, position: int) -> Any:
    """An argument of a region's function."""
    raise NotImplementedError("a marker")


def closes(region: Any, parameters: tuple, result: Any) -> Any:
    """Marks where a region ends: the function of parameters (an inner tuple is one that is a tuple) that gives result."""
    raise NotImplementedError("a marker")


@dataclass(frozen=True)
class _Body:
    """A body as an op takes it. parameters: the places of what it is called with, in the order of the placeholders.

    name: what it is called where the source has no name for it. result: how the outputs are nested. bare: whether one output
    stands for itself.
    """

    module: Node
    count: int
    outer: tuple = ()
    group: Callable[[list], tuple] = tuple
    result: Callable[[list], Any] = lambda outs: outs[0] if len(outs) == 1 else tuple(outs)
    name: str = "body"


def grouped(parts: list) -> Any:
    """Several values that go as one are a tuple; one is itself."""
    return parts[0] if len(parts) == 1 else tuple(parts)


def _cond(node: Node) -> tuple[list[_Body], Callable]:
    predicate, yes, no, *rest = node.args
    outer = rest[0] if rest else ()
    bodies = [_Body(yes, 0, tuple(outer), name="when_true"), _Body(no, 0, tuple(outer), name="when_false")]
    return bodies, lambda found: (predicate, *found)


def _while(node: Node) -> tuple[list[_Body], Callable]:
    test, body, carried, *rest = node.args
    outer = rest[0] if rest else ()
    whole = lambda parts: (grouped(parts),)
    bodies = [
        _Body(test, len(carried), tuple(outer), whole, name="unfinished"),
        _Body(body, len(carried), tuple(outer), whole, name="advance"),
    ]
    return bodies, lambda found: (*found, grouped(list(carried)))


def _scan(node: Node) -> tuple[list[_Body], Callable]:
    body, init, xs, *rest = node.args
    outer = rest[0] if rest else ()
    split = lambda parts: (grouped(parts[: len(init)]), grouped(parts[len(init) :]))
    return [_Body(body, len(init) + len(xs), tuple(outer), split, split, name="advance")], lambda found: (
        *found,
        grouped(list(init)),
        grouped(list(xs)),
    )


def _associative(node: Node) -> tuple[list[_Body], Callable]:
    body, xs, *rest = node.args
    outer = rest[0] if rest else ()
    split = lambda parts: (grouped(parts[: len(xs)]), grouped(parts[len(xs) :]))
    return [_Body(body, 2 * len(xs), tuple(outer), split, grouped, name="combine")], lambda found: (
        *found,
        grouped(list(xs)),
    )


def _map(node: Node) -> tuple[list[_Body], Callable]:
    body, xs, *rest = node.args
    outer = rest[0] if rest else ()
    whole = lambda parts: (grouped(parts),)
    return [_Body(body, len(xs), tuple(outer), whole, grouped, name="each")], lambda found: (
        *found,
        grouped(list(xs)),
    )


def _flex(node: Node) -> tuple[list[_Body], Callable]:
    query, key, value, score, mask, scale, _, of_score, of_mask = node.args
    bodies = [_Body(score, 5, tuple(of_score), name="score_mod"), _Body(mask[-1], 4, tuple(of_mask), name="mask_mod")]
    _to_natural(node)
    return bodies, lambda found: (query, key, value, *found, scale)


def _to_natural(node: Node) -> None:
    """torch's kernels give logarithms to the base 2, which its flex_attention then multiplies by log 2: that is taken out."""
    for item in node.users:
        for user in list(item.users) if item.args[1] else ():
            factor = user.args[1] if user.target is torch.ops.aten.mul.Tensor else None
            if not isinstance(factor, float) or not math.isclose(factor, math.log(2), rel_tol=1e-12):
                raise CaptureError("forward reads what flex_attention's kernel gives beside its output by itself")
            user.replace_all_uses_with(item)
            user.graph.erase_node(user)


def prepare(graph: Graph) -> None:
    """Write what dynamo makes of indexing within a score or a mask as indexing again, and take block masks out."""
    for node in list(graph.nodes):
        if is_control_flow(node) and node.target._name == "flat_apply" and str(node.args[2]).endswith(".ModIndex"):
            _, _, _, x, *indices = node.args
            node.target, node.args = torch.ops.aten.index.Tensor, (x, indices)
    for node in reversed(list(graph.nodes)):
        if node.op == "get_attr" and not node.users:
            graph.erase_node(node)
    _drop_block_masks(graph)


def _drop_block_masks(graph: Graph) -> None:
    """Take out what says which blocks flex_attention may skip: its mask says the same for each place."""
    found = [node for node in graph.nodes if is_control_flow(node) and node.target._name == "flex_attention"]
    for node in found:
        node.args = (*node.args[:4], (None, node.args[4][-1]), *node.args[5:])
    if found:
        _drop_dead(graph)


def _drop_dead(graph: Graph) -> None:
    """Take out what leads to no output, writes to memory that nothing reads included."""
    live: set[Node] = set()
    reached = [node for node in graph.nodes if node.op in ("output", "placeholder")]
    while reached:
        while reached:
            node = reached.pop()
            if node not in live:
                live.add(node)
                reached += node.all_input_nodes
        written = [n for n in graph.nodes if n not in live and _is_write(n) and any(m in live for m in _shown(n))]
        reached += written
    for node in reversed(list(graph.nodes)):
        if node not in live:
            graph.erase_node(node)


def _is_write(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _shown(node: Node) -> Iterator[Node]:
    """What a node may write to: its first argument, and that of which this is a view."""
    while node.args and isinstance(node.args[0], Node):
        node = node.args[0]
        yield node
        views = isinstance(node.target, torch._ops.OpOverload) and any(
            r.alias_info for r in node.target._schema.returns
        )
        if not views and node.target is not operator.getitem:
            return


_OPS: dict[str, Callable[[Node], tuple[list[_Body], Callable]]] = {
    "cond": _cond,
    "while_loop": _while,
    "scan": _scan,
    "associative_scan": _associative,
    "map_impl": _map,
    "flex_attention": _flex,
}


def is_control_flow(node: Node) -> bool:
    return node.op == "call_function" and isinstance(node.target, HigherOrderOperator)


def expand(graph: Graph, flatten: Flatten) -> Graph:
    """Let the bodies of graph's control flow be regions, in place. flatten makes the graph of a body ready to be read."""
    for node in list(graph.nodes):
        if is_control_flow(node):
            _expand(graph, node, flatten)
    for node in reversed(list(graph.nodes)):
        if node.op == "get_attr" and BODY in node.meta and not node.users:
            graph.erase_node(node)
    return graph


def _expand(graph: Graph, node: Node, flatten: Flatten) -> None:
    name = node.target._name
    if name not in _OPS:
        raise CaptureError(f"forward runs torch's higher-order op {name}, which has no translation")
    bodies, arguments = _OPS[name](node)
    with graph.inserting_before(node):
        found = [_region(graph, node, body, flatten) for body in bodies]
    node.args, node.kwargs = arguments(found), {}


def _region(graph: Graph, node: Node, body: _Body, flatten: Flatten) -> Node:
    region = next(_count)
    module = body.module.meta[BODY]
    inner = expand(flatten(module.graph, module), flatten)
    placeholders = [n for n in inner.nodes if n.op == "placeholder"]
    around = {key: node.meta[key] for key in ("nn_module_stack", "stack_trace", INNER) if key in node.meta}
    names = source_names(node, inner.nodes, body.name)

    def mark(target: Callable, args: tuple, value: Any = ()) -> Node:
        made = graph.call_function(target, args)
        made.meta = {**around, "val": value}
        return made

    begin = mark(opens, ())
    bound: dict[Node, Any] = {}
    for position, placeholder in enumerate(placeholders[: body.count]):
        value = placeholder.meta["val"]
        if not isinstance(value, torch.Tensor):
            raise CaptureError(f"{node.target._name} carries a Python number from round to round: make it a tensor")
        bound[placeholder] = mark(argument, (begin, position), value)
        bound[placeholder].meta["hint"] = names.hint(position, body.count)
    parameters = [bound[p] for p in placeholders[: body.count]]
    bound |= dict(zip(placeholders[body.count :], body.outer, strict=True))
    for part in inner.nodes:
        if part.op == "call_function":
            bound[part] = graph.node_copy(part, bound.__getitem__)
            bound[part].meta = part.meta | {"region": part.meta.get("region", region)}
            _within(bound[part], around)
        elif part.op == "get_attr" and CONSTANT in part.meta:
            bound[part] = graph.node_copy(part)
        elif part.op == "output":
            outs = torch.fx.node.map_arg(part.args[0], bound.__getitem__)
    outs = list(outs) if isinstance(outs, (tuple, list)) else [outs]
    if any(not isinstance(out, Node) or not isinstance(out.meta.get("val"), torch.Tensor) for out in outs):
        raise CaptureError(f"a branch or body of {node.target._name} gives something that is no tensor")
    end = mark(closes, (begin, body.group(parameters), body.result(outs)))
    end.meta |= {"function": names.function, "groups": names.groups}
    return end


def _within(node: Node, around: dict[str, Any]) -> None:
    """Let a body's node have run where its control flow did, and there in the modules that the body itself calls."""
    node.meta.setdefault("stack_trace", around.get("stack_trace", ""))
    stack = dict(around.get("nn_module_stack") or {})
    known = {path for path, _ in stack.values()}
    for path, cls, call in node.meta.get(INNER, ()):
        if path not in known:
            stack[f"{path}@{call}@{node.meta['region']}"] = path, cls
    node.meta["nn_module_stack"] = stack


def lift_constants(graph: Graph) -> dict[str, torch.Tensor]:
    """Let the constants of bodies be placeholders of graph, as torch.export has those of forward itself. Returns them by name."""
    found: dict[str, torch.Tensor] = {}
    first = next(iter(graph.nodes))
    for node in [node for node in graph.nodes if CONSTANT in node.meta]:
        with graph.inserting_before(first):
            placeholder = graph.placeholder(f"c_lifted_tensor_of_body_{len(found)}")
        placeholder.meta = {"val": node.meta[CONSTANT]}
        found[placeholder.name] = node.meta[CONSTANT]
        node.replace_all_uses_with(placeholder)
        graph.erase_node(node)
    return found


def scopes(graph: Graph) -> dict[Node, tuple[Node, ...]]:
    """The regions that each node lies in, outermost first, each by its first marker. A marker lies in the region around its own."""
    found: dict[Node, tuple[Node, ...]] = {}
    now: tuple[Node, ...] = ()
    for node in graph.nodes:
        if node.target is closes:
            now = now[:-1]
        found[node] = now
        if node.target is opens:
            now = (*now, node)
    return found


def inside(graph: Graph, begin: Node) -> Iterator[Node]:
    """The nodes of a region, those of regions within it included."""
    where = scopes(graph)
    return (node for node in graph.nodes if begin in where[node])
