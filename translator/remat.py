"""What runs under torch.utils.checkpoint, which torch.export writes out like any other code, as regions that JAX recomputes."""

from __future__ import annotations

import contextlib
import itertools
import operator
import traceback
from collections.abc import Callable, Iterator, Set
from typing import Any

import torch
import torch.utils.checkpoint
from torch.fx import Graph, Node
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.utils import _pytree as pytree

from translator import provenance, stack_traces
from translator.function_names import source_names
from translator.parameters import hand_over
from translator.regions import argument, closes, grouped, opens, scopes

_KEY = "torch2eqx.checkpoint"


def checkpoint(function: Callable, inputs: tuple) -> list:
    """What function gives for inputs."""
    return pytree.tree_leaves(function(*inputs))


@contextlib.contextmanager
def recorded() -> Iterator[None]:
    """While this lasts, a trace notes in its nodes which call of checkpoint they ran in, and how deep in modules and frames that was."""
    home, count = torch.utils.checkpoint, itertools.count()
    original = home._checkpoint_without_reentrant_generator

    def generator(*args: Any, **kwargs: Any) -> Iterator[None]:
        mode = None if torch.compiler.is_dynamo_compiling() else get_proxy_mode()
        if mode is None:
            yield from original(*args, **kwargs)
            return
        inner = original(*args, **kwargs)
        next(inner)
        before = set(mode.tracer.graph.nodes)
        frames = [f for f in stack_traces.user_frames(traceback.extract_stack()) if f.filename != __file__]
        place = next(count), _current(mode.tracer), len(frames)
        yield
        for node in mode.tracer.graph.nodes:
            if node not in before:
                node.meta.setdefault("custom", {})[_KEY] = place
        next(inner, None)

    home._checkpoint_without_reentrant_generator = generator
    try:
        yield
    finally:
        home._checkpoint_without_reentrant_generator = original


def _current(tracer: Any) -> str:
    """The path of the module that a trace is in."""
    path = next(reversed(tracer.module_stack.values()), ("",))[0]
    return path.removeprefix("_export_root").lstrip(".")


def wrap(graph: Graph, state: Set[str]) -> None:
    """Let what ran under a checkpoint be a region. state: the placeholders of parameters, buffers and constants."""
    places: dict[tuple, list[Node]] = {}
    for node in graph.nodes:
        place = node.meta.get("custom", {}).get(_KEY) if node.op == "call_function" else None
        if place is not None:
            places.setdefault(tuple(place), []).append(node)
    for (_, path, frames), marked in places.items():
        _wrap(graph, marked[0], marked[-1], path, frames, state)


def _is_number(node: Node) -> bool:
    return isinstance(node.meta.get("val"), (int, float, torch.SymInt, torch.SymFloat, torch.SymBool))


def _wrap(graph: Graph, first: Node, last: Node, path: str, frames: int, state: Set[str]) -> None:
    nodes = list(graph.nodes)
    inside = nodes[nodes.index(first) : nodes.index(last) + 1]
    where, own = scopes(graph), set(inside)
    results = [n for n in inside if any(user not in own for user in n.users)]
    arrays = [n for n in results if isinstance(n.meta.get("val"), torch.Tensor)]
    if where[first] != where[last] or arrays != results or not arrays:
        return  # without a region it is the same, but for memory
    read = dict.fromkeys(n for part in inside for n in part.all_input_nodes if n not in own and not _is_number(n))
    inputs = [n for n in read if not (n.op == "placeholder" and n.name in state)]
    if any(not isinstance(n.meta.get("val"), torch.Tensor) for n in inputs):
        return
    entries = list((first.meta.get("nn_module_stack") or {}).items())
    depth = max((n for n, (_, (where, _)) in enumerate(entries, 1) if where == path), default=0)
    stack = dict(entries[:depth])
    trace = provenance.frames(first)[:frames]
    around = {"nn_module_stack": stack, "stack_trace": provenance.text(trace)}

    def mark(target: Callable, args: tuple, value: Any = ()) -> Node:
        node = graph.call_function(target, args)
        node.meta = {**around, "val": value}
        return node

    with graph.inserting_before(first):
        begin = mark(opens, ())
        given = [mark(argument, (begin, n), node.meta["val"]) for n, node in enumerate(inputs)]
    for part in inside:
        for node, parameter in zip(inputs, given, strict=True):
            part.replace_input_with(node, parameter)
    with graph.inserting_before(last.next):
        end = mark(closes, (begin, tuple(given), grouped(arrays)))
        names = source_names(end, inside, "block")
        for position, parameter in enumerate(given):
            parameter.meta["hint"] = names.hint(position, len(given))
        end.meta |= {"function": names.function, "groups": names.groups}
        call = mark(checkpoint, (end, tuple(inputs)), [n.meta["val"] for n in arrays])
        for place, node in enumerate(arrays):
            item = mark(operator.getitem, (call, place), node.meta["val"])
            node.replace_all_uses_with(item, delete_user_cb={*node.users}.difference(own, (end, call)).__contains__)
            hand_over(node, item)
