"""Hierarchy: the flat graph becomes a tree of module calls again.

torch.export records the stack of modules that each node ran in. Nodes that ran in one call of a module are contracted to
that call. A call whose nodes do not stand together (others that need its results lie between) is split, and its parts
are written in the parent instead.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch.fx import Graph, Node

from translator import generated, provenance

_EMPTY = "_empty_nn_module_stack_from_metadata_hook"


@dataclass(eq=False)
class ModuleCall:
    """One call of a module: what ran in it, in order, as nodes and calls of its children.

    path: the module's fqn; type_name: its class with its module. inputs: the nodes from outside that it reads, parameters
    and buffers included, in the order of first use. outputs: its nodes that are read outside. frame: the depth in
    the stack traces at which its own forward runs. split: whether this is one of several parts of one call.
    """

    path: str
    type_name: str
    items: list[Node | ModuleCall] = field(default_factory=list)
    inputs: list[Node] = field(default_factory=list)
    outputs: list[Node] = field(default_factory=list)
    frame: int = 0
    split: bool = False

    def nodes(self) -> Iterator[Node]:
        """Every node that ran in this call or in a call within it."""
        for item in self.items:
            if isinstance(item, ModuleCall):
                yield from item.nodes()
            else:
                yield item

    def calls(self) -> Iterator[ModuleCall]:
        """This call and all within it, outermost first."""
        yield self
        for item in self.items:
            if isinstance(item, ModuleCall):
                yield from item.calls()


def build(graph: Graph, root_type: str) -> ModuleCall:
    """The tree of calls of a simplified graph, under one call of the root module."""
    root = ModuleCall("", root_type)
    open_calls: list[tuple[str, ModuleCall]] = [("", root)]
    seen: dict[tuple[int, str], ModuleCall] = {}
    for node in graph.nodes:
        if node.op not in ("call_function", "get_attr") or is_size(node):
            continue
        stack = _stack(node)
        depth = 1
        while depth < len(open_calls) and depth <= len(stack) and open_calls[depth][0] == stack[depth - 1][0]:
            depth += 1
        del open_calls[depth:]
        for key, path, type_name in stack[depth - 1 :]:
            parent = open_calls[-1][1]
            call = ModuleCall(path, type_name)
            earlier = seen.get((id(parent), key))
            if earlier is not None:
                earlier.split = call.split = True
            seen[id(parent), key] = call
            parent.items.append(call)
            open_calls.append((key, call))
        open_calls[-1][1].items.append(node)
    _connect(root)
    _find_frames(root, -1)
    return root


def is_size(node: Node) -> bool:
    """Whether a node computes a Python number (a symbolic size) and no array."""
    value = node.meta.get("val")
    return not isinstance(value, (torch.Tensor, list, tuple)) and node.op == "call_function"


def _stack(node: Node) -> list[tuple[str, str, str]]:
    """The calls that a node ran in below the root: key (one a call), fqn, class."""
    entries = node.meta.get("nn_module_stack") or {}
    return [
        (key, path, _type(cls)) for key, (path, cls) in entries.items() if path not in ("", _EMPTY) and key != _EMPTY
    ]


def _type(cls: object) -> str:
    return cls if isinstance(cls, str) else f"{cls.__module__}.{cls.__qualname__}"


def reads(node: Node) -> list[Node]:
    """The array nodes that a node reads, in order, each once; sizes are expressed otherwise."""
    return [n for n in dict.fromkeys(node.all_input_nodes) if not is_size(n)]


def _connect(root: ModuleCall) -> None:
    for call in root.calls():
        inside = set(call.nodes())
        call.inputs = list(dict.fromkeys(n for node in call.nodes() for n in reads(node) if n not in inside))
        call.outputs = [n for n in call.nodes() if any(user not in inside and _uses(user) for user in n.users)]
        # A value with several parts is read through its items, which may lie outside.
        call.outputs = [
            n for n in call.outputs if not (isinstance(n.meta["val"], (list, tuple)) and n.op == "call_function")
        ] or call.outputs


def _uses(user: Node) -> bool:
    return user.op == "output" or not is_size(user)


def _find_frames(call: ModuleCall, above: int) -> None:
    """Where in the stack traces of its nodes each call's own code runs: the outermost frame of its class below its parent's."""
    first = next(call.nodes(), None)
    call.frame = above
    if first is not None:
        trace = provenance.frames(first)
        own = [i for i in range(above + 1, len(trace)) if provenance.within(trace[i], call.type_name)]
        call.frame = own[0] if own else len(trace) if generated.INNER in first.meta and call.path else above
    for item in call.items:
        if isinstance(item, ModuleCall):
            _find_frames(item, call.frame)


def is_item(node: Node) -> bool:
    """Whether a node picks one part of a value with several."""
    return node.op == "call_function" and node.target is operator.getitem
