"""Mutable state: buffers that forward writes to live in an eqx.nn.State, which goes from call to call.

In the graph the state is a placeholder of its own. What reads such a buffer reads it from the state of that moment, and what the
buffer holds in the end is written to it, which gives the next state; the last one is the last output. So every later pass sees
the state as one more value, that modules take and return.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
import torch
from torch.fx import Graph, Node

from op_table.expr import Value

aten = torch.ops.aten

STATE = "state"  # the key of the meta of nodes that stand for a state


def read(state: Any, buffer: torch.Tensor) -> torch.Tensor:
    """What buffer holds."""
    raise NotImplementedError("a marker")


def write(state: Any, *held: torch.Tensor, training_alone: bool = False) -> Any:
    """The state in which buffers hold values, a buffer and its value by turns. training_alone: not in evaluation mode."""
    raise NotImplementedError("a marker")


@jax.tree_util.register_pytree_node_class
class _Abstract:
    """A state where only shapes count: a buffer holds what has its shape."""

    def get(self, item: Any) -> Any:
        return item

    def set(self, item: Any, value: Any) -> _Abstract:
        return self

    def tree_flatten(self) -> tuple[tuple, None]:
        return (), None

    @classmethod
    def tree_unflatten(cls, structure: None, leaves: tuple) -> _Abstract:
        return cls()


class State(Value):
    """A state that the emitted code has at hand."""

    def __init__(self, name: str):
        super().__init__(name, (), np.dtype("uint32"))

    @property
    def aval(self) -> Any:
        return _Abstract()


def is_state(node: Node) -> bool:
    return STATE in node.meta


def placeholder(graph: Graph) -> Node | None:
    """The placeholder of a graph's first state; None if it has none."""
    return next((node for node in graph.nodes if node.op == "placeholder" and is_state(node)), None)


def thread(graph: Graph, buffers: Iterable[Node], finals: Mapping[Node, Node], targets: Mapping[str, str]) -> None:
    """Let buffers be read from a state, and what each holds in the end be written to it.

    buffers: their placeholders. finals: what some hold in the end; the others are only read. targets: the names of
    placeholders' tensors in torch.
    """
    last = [node for node in graph.nodes if node.op == "placeholder"][-1]
    with graph.inserting_after(last):
        first = graph.placeholder("state")
    first.meta = {"val": torch.empty((), device="meta"), STATE: True}
    for buffer in buffers:
        path = targets[buffer.name].rpartition(".")[0]
        _read_where_used(graph, buffer, path)
        if buffer in finals:
            _write_where_made(graph, buffer, finals[buffer], path)
    output = next(node for node in graph.nodes if node.op == "output")
    output.args = ((*output.args[0], first),)
    link(graph)


def link(graph: Graph) -> None:
    """Let each node that reads or writes the state take what the one before it leaves, and the last of them be returned."""
    state = placeholder(graph)
    if state is None:
        return
    for node in graph.nodes:
        if node.target in (read, write):
            node.args = (state, *node.args[1:])
        if node.target is write:
            state = node
        if node.op == "output":
            node.args = ((*node.args[0][:-1], state),)


def _read_where_used(graph: Graph, buffer: Node, path: str) -> None:
    """Read buffer before its first use in each call of a module."""
    found: dict[tuple, Node] = {}
    places = {node: position for position, node in enumerate(graph.nodes)}
    for user in sorted(buffer.users, key=places.__getitem__):
        if user.op == "output":
            continue
        stack = _common(user, path)
        where = tuple(stack)
        if where not in found:
            with graph.inserting_before(_edge(user, len(stack), backwards=True)):
                found[where] = graph.call_function(read, (None, buffer))
            found[where].meta = {
                "val": buffer.meta["val"],
                "nn_module_stack": stack,
                "stack_trace": user.meta.get("stack_trace", ""),
            }
        user.replace_input_with(buffer, found[where])


def _write_where_made(graph: Graph, buffer: Node, final: Node, path: str) -> None:
    if final.op == "placeholder":
        place = next(node for node in graph.nodes if node.op != "placeholder")
        stack: dict = {}
    else:
        stack = _common(final, path)
        place = _edge(final, len(stack), backwards=False).next
    with graph.inserting_before(place):
        node = graph.call_function(write, (None, buffer, final))
    node.meta = {
        "val": torch.empty((), device="meta"),
        STATE: True,
        "nn_module_stack": stack,
        "stack_trace": final.meta.get("stack_trace", ""),
    }


def _common(node: Node, path: str) -> dict:
    """The calls that a node ran in, down to the innermost of which the module at path is a part."""
    stack = {}
    for key, entry in (node.meta.get("nn_module_stack") or {}).items():
        if entry[0] and path != entry[0] and not path.startswith(f"{entry[0]}."):
            break
        stack[key] = entry
    return stack


def _edge(node: Node, depth: int, backwards: bool) -> Node:
    """The first (or last) node of the call in which a node ran, of those so deep in the stack; the node itself if it ran in none."""
    keys = list(node.meta.get("nn_module_stack") or {})
    if len(keys) <= depth:
        return node
    edge = node
    while True:
        after = edge.prev if backwards else edge.next
        theirs = list(after.meta.get("nn_module_stack") or {})
        if after.op != "call_function" or theirs[: depth + 1] != keys[: depth + 1]:
            return edge
        edge = after
