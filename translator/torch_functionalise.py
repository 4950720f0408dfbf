"""What torch's own functionalisation (`ExportedProgram.run_decompositions`) would get wrong, where it is left to it."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload
from torch.fx import Graph, Node

from translator.errors import CaptureError
from translator.functionalise import COPIED, drops_nothing, memory_of, mutates, shares_memory
from translator.lower import packet

aten = torch.ops.aten


def _instance_norm(*args: Any) -> torch.Tensor:
    """torch's own functionalisation keeps this op whole, and would lose that it writes: here what it is made of is written out."""
    return _by_parts(aten.instance_norm.default, *args) if args[3] is not None and args[5] else NotImplemented


def decompositions(graph: Graph) -> dict[OpOverload, Callable]:
    """What torch's functionalisation needs to be told of, to be given to `run_decompositions`.

    It keeps ops whole that return their argument, or a view of it, without a word in their schema (dropout in evaluation mode,
    einsum, meshgrid), and would lose what is written through that. Raises CaptureError where it would be wrong all the same.
    """
    table = {aten.instance_norm.default: _instance_norm}
    _require_apart(graph)
    _require_as_run(graph)
    for node in graph.nodes:
        if mutates(node):
            if node.args and isinstance(node.args[0], Node):
                _require_plain(node, node.args[0])
        elif isinstance(node.target, OpOverload) and _aliases_unsaid(node):
            table[node.target] = functools.partial(_by_parts, node.target)
    return table


def _require_plain(node: Node, written: Node) -> None:
    """Raise CaptureError where what node writes to has elements that torch's functionalisation would get wrong."""
    if _shown_by(written, "unfold"):  # torch's functionalisation writes zeros to what no window shows
        raise CaptureError(f"{node.target} writes through unfold, which torch.export gets wrong: index what is written")
    if _shown_by(written, "meshgrid"):  # see expands.py
        raise CaptureError(
            f"{node.target} writes to a grid of meshgrid, which torch.export gets wrong: copy it with .clone() before"
        )
    if _repeats_elements(written):
        raise CaptureError(
            f"{node.target} writes to a tensor that shows an element of its memory more than once (an expanded one): "
            "copy it with .clone() before"
        )


def _require_apart(graph: Graph) -> None:
    """A dropout in evaluation mode returns its argument; torch.export has it copy, whatever it is told.

    So one of the two must not be read after the other was written to.
    """
    nodes = list(graph.nodes)
    same: list[tuple[int | None, int | None]] = []
    for place, node in enumerate(nodes):
        if drops_nothing(node) and isinstance(node.args[0], Node):
            same.append((memory_of(node.meta.get("val")), memory_of(node.args[0].meta.get("val"))))
        if not mutates(node) or not node.args or not isinstance(node.args[0], Node):
            continue
        written = memory_of(node.args[0].meta.get("val"))
        others = {b if a == written else a for a, b in same if a != b and written in (a, b)}
        read = {memory_of(n.meta.get("val")) for later in nodes[place + 1 :] for n in later.all_input_nodes}
        if (others & read) - {None}:
            raise CaptureError(
                "forward writes to what a dropout returned, or was given, and reads the other: clone one of them"
            )


def _require_as_run(graph: Graph) -> None:
    """Raise CaptureError where torch.export takes a view for a copy, or a copy for a view (see as_run.py)."""
    noted = [node for node in graph.nodes if COPIED in node.meta] if shares_memory(graph) else []
    for node in noted:
        if (_memory(node) != _memory(node.args[0])) is not node.meta[COPIED]:
            raise CaptureError(
                f"forward writes to what {node.target} may have given, of which torch.export does not know whether it is a copy: "
                "copy it with .clone() before"
            )


def _by_parts(op: OpOverload, *args: Any, **kwargs: Any) -> Any:
    """An op as what it is made of. (`op.decompose` would come back here: torch.export puts the table in its place.)"""
    return op._op_dk(torch._C.DispatchKey.CompositeImplicitAutograd, *args, **kwargs)


# Ops that give a view while torch.export traces, and a copy when they run.
_COPY = {"channel_shuffle", "native_channel_shuffle"}


def _aliases_unsaid(node: Node) -> bool:
    """Whether a result lies in an argument's memory although the op's schema does not say so."""
    if packet(node) in _COPY or any(result.alias_info is not None for result in node.target._schema.returns):
        return False
    results = node.meta.get("val")
    results = results if isinstance(results, (list, tuple)) else [results]
    given = {memory_of(n.meta.get("val")) for n in node.all_input_nodes} - {None}
    return any(memory_of(result) in given for result in results)


def _shown_by(node: Node, name: str) -> bool:
    """Whether a tensor is a view that some op of this name gave, or a view of such a view."""
    while node.args and isinstance(node.args[0], Node):
        if name in (packet(node), packet(node.args[0]) if node.target is operator.getitem else ""):
            return True
        own, source = _memory(node), _memory(node.args[0])
        if own is None or own != source:
            return False
        node = node.args[0]
    return False


def _memory(node: Node) -> int | None:
    """The memory of a node's result, or of the first of the parts that it is cut into."""
    value = node.meta.get("val")
    return memory_of(value[0] if isinstance(value, (list, tuple)) and value else value)


def _repeats_elements(node: Node) -> bool:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        return False
    return any(
        isinstance(stride, int) and stride == 0 and not (isinstance(size, int) and size < 2)
        for size, stride in zip(value.shape, value.stride(), strict=True)
    )
