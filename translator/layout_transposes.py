"""Puts transposes into a graph where an array that is stored in one order of axes is read in another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.fx import Graph, Node

from translator import provenance
from translator.layout_orders import Order, channels_last, is_one, same, stored, torchs, wide
from translator.lower import packet
from translator.parameters import hand_over

aten = torch.ops.aten

_WIDENING = {"unsqueeze", "view", "reshape"}


class Transposes:
    """orders: of the arrays that are not stored in torch's; shapes: of all arrays, in torch's order. inputs: the model's own
    arguments, which its root transposes. A transpose is part of the innermost call that the array and its reader are both in."""

    def __init__(
        self,
        graph: Graph,
        orders: Any,
        shapes: Mapping[Node, tuple],
        inputs: set[Node],
        regions: Mapping[Node, tuple],
    ):
        self.graph, self.orders, self.shapes, self.inputs, self.regions = graph, orders, shapes, inputs, regions
        self.made: dict[tuple, Node] = {}
        self.about: dict[str, Any] = {}
        self.first: dict[str, Node] = {}
        self.rank = {node: place for place, node in enumerate(graph.nodes)}
        for node in graph.nodes:
            for key in node.meta.get("nn_module_stack") or {}:
                self.first.setdefault(key, node)

    def of(self, x: Node, order: Order, reader: Node, aligned: bool) -> Node:
        """The node that gives x in an order of axes where reader needs it. aligned: whether reader broadcasts what lacks axes."""
        if x not in self.shapes or order == self._order(x):
            return x
        depth, place = self._place(x, reader)
        stack = dict(list((reader.meta.get("nn_module_stack") or {}).items())[:depth])
        key = x, order, aligned, next(reversed(stack), None), self.regions.get(reader)
        if key not in self.made:
            self.about = {"nn_module_stack": stack, "stack_trace": _trace(reader, depth)}
            with self.graph.inserting_before(place):
                made = self._made(x, order, aligned, next(reversed(stack), None))
            if made is not x:
                hand_over(x, made)
            self.made[key] = made
        return self.made[key]

    def _order(self, x: Node) -> Order:
        return self.orders[x] if x in self.orders else torchs(len(self.shapes[x]))

    def _place(self, x: Node, reader: Node) -> tuple[int, Node]:
        """How many calls around reader the transpose is part of, and the node that it goes before."""
        stack = list(reader.meta.get("nn_module_stack") or {})
        depth = len(stack)
        if x.op == "call_function" or x in self.inputs:
            around = list(x.meta.get("nn_module_stack") or {}) if x.op == "call_function" else stack[:1]
            depth = next((i for i, (a, b) in enumerate(zip(stack, around, strict=False)) if a != b), None)
            depth = min(len(stack), len(around)) if depth is None else depth
        if depth < len(stack):
            first = self.first.get(stack[depth], reader)
            if self.rank[first] > self.rank[x] and not self.regions.get(reader):
                return depth, first
            depth = len(stack)
        return depth, reader

    def _put(self, op: Any, *args: Any) -> Node:
        made = self.graph.call_function(op, args)
        given = torch.fx.node.map_arg(args, lambda node: node.meta["val"])
        with torch.no_grad():
            value = op(*given)
        made.meta = {**self.about, "val": value.new_empty(value.shape)}
        return made

    def _made(self, x: Node, order: Order, aligned: bool, call: str | None) -> Node:
        held, shape = self._order(x), self.shapes[x]
        lacking = len(order) - len(shape)
        if lacking and held != torchs(len(shape)):
            x, held = self._permuted(x, [held.index(axis) for axis in range(len(shape))]), torchs(len(shape))
        target = stored((1,) * lacking + shape, order)
        if aligned:
            while target and is_one(target[0]):
                del target[0]
        moves = [axis + lacking for axis in wide(shape, held)] != wide((1,) * lacking + shape, order)
        if not moves:
            return self._reshaped(x, target, call)
        if not lacking:
            return self._permuted(x, [held.index(axis) for axis in order])
        inner = [axis - lacking for axis in order if axis >= lacking]
        y = self._permuted(x, inner)
        for place, axis in enumerate(order):
            if axis < lacking and any(before >= lacking for before in order[:place]):
                y = self._put(aten.unsqueeze.default, y, place - sum(a < lacking for a in order[:place]))
        return y

    def _permuted(self, x: Node, dims: list[int]) -> Node:
        last = channels_last(len(dims))
        if len(dims) > 3 and tuple(dims) == last:
            return self._put(aten.movedim.int, x, 1, -1)
        if len(dims) > 3 and [dims.index(axis) for axis in range(len(dims))] == list(last):
            return self._put(aten.movedim.int, x, -1, 1)
        return self._put(aten.permute.default, x, dims) if dims != sorted(dims) else x

    def _reshaped(self, x: Node, target: list, call: str | None) -> Node:
        """x with other axes of length one."""
        source = self._narrow(x, call)
        shape = list(source.meta["val"].shape)
        ones = [axis for axis, size in enumerate(shape) if is_one(size)]
        inner = [size for size in shape if not is_one(size)]
        if _widened(shape, target) is None:
            source = self._put(aten.squeeze.dims, source, ones)
            shape = inner
        for axis in _widened(shape, target) or ():
            source = self._put(aten.unsqueeze.default, source, axis)
        return source

    def _narrow(self, x: Node, call: str | None) -> Node:
        """The array that x is with further axes of length one, if that is at hand in the same call."""
        inner = x.args[0] if packet(x) in _WIDENING else None
        if not isinstance(inner, Node) or inner in self.orders or inner not in self.shapes:
            return x
        here = next(reversed(x.meta.get("nn_module_stack") or {}), None) == call
        fewer = len(self.shapes[inner]) < len(self.shapes[x])
        old, new = ([size for size in self.shapes[node] if not is_one(size)] for node in (inner, x))
        alike = len(old) == len(new) and all(map(same, old, new))
        return self._narrow(inner, call) if here and fewer and alike else x


def _widened(shape: list, target: list) -> list[int] | None:
    """The axes of length one, first to last, that a shape lacks to be the target; None if it lacks more."""
    missing, left = [], list(shape)
    for axis, size in enumerate(target):
        if left and same(left[0], size):
            left.pop(0)
        elif is_one(size):
            missing.append(axis)
        else:
            return None
    return missing if not left else None


def _trace(reader: Node, depth: int) -> str:
    """The stack trace of a reader up to the code of a call around it: depth says which."""
    trace, above = provenance.frames(reader), -1
    for level, (_, (_, cls)) in enumerate((reader.meta.get("nn_module_stack") or {}).items()):
        name = cls if isinstance(cls, str) else f"{cls.__module__}.{cls.__qualname__}"
        own = [i for i in range(above + 1, len(trace)) if provenance.within(trace[i], name)]
        if not own:
            continue
        if level >= depth:
            return provenance.text(trace[: own[0]])
        above = own[0]
    return provenance.text(trace)
