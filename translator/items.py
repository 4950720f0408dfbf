"""Numbers that forward takes out of tensors (`x.item()`, `x[n]` for a tensor n) stay arrays without axes, which jax.jit can trace.

torch.export has symbols for them. What is computed with them is computed with the arrays instead, and an op that takes a number is
replaced by the one that takes an array in its place. Only lengths need numbers: those are left, and refused where they are lowered.
"""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Graph, Node

from translator.gradients import stop_gradient
from translator.lower import packet

aten = torch.ops.aten

_ITEMS = {"item", "_local_scalar_dense"}

_ARITHMETIC = {
    operator.add: aten.add.Tensor,
    operator.sub: aten.sub.Tensor,
    operator.mul: aten.mul.Tensor,
    operator.truediv: aten.div.Tensor,
    operator.floordiv: aten.floor_divide.default,
    operator.mod: aten.remainder.Tensor,
    operator.pow: aten.pow.Tensor_Tensor,
    operator.neg: aten.neg.default,
    torch.sym_max: aten.maximum.default,
    torch.sym_min: aten.minimum.default,
}

# Ops that take a number where these take an array without axes.
_OF_ARRAYS = {
    aten.pow.Tensor_Scalar: aten.pow.Tensor_Tensor,
    aten.masked_fill.Scalar: aten.masked_fill.Tensor,
    aten.where.ScalarOther: aten.where.self,
    aten.where.ScalarSelf: aten.where.self,
    aten.clamp.default: aten.clamp.Tensor,
    aten.clamp_min.default: aten.clamp_min.Tensor,
    aten.clamp_max.default: aten.clamp_max.Tensor,
    **{getattr(aten, name).Scalar: getattr(aten, name).Tensor for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{getattr(aten, name).Scalar: getattr(aten, name).Tensor for name in ("add", "sub", "mul", "div", "remainder", "fmod")},
}  # fmt: skip

_OF_ARRAYS_ALONE = {aten.maximum.default, aten.minimum.default, aten.pow.Tensor_Tensor, aten.remainder.Tensor}

# Ops of which an overload, or a rule, takes arrays as it is, and the places of these arguments.
_TAKE_ARRAYS = {
    **{op: {1} for op in _ARITHMETIC.values()},
    aten.select.int: {2},
    aten.select_scatter.default: {3},
    aten.narrow.default: {2},
    aten.roll.default: {1},
}


def keep_as_arrays(graph: Graph) -> None:
    """Let the arrays stand for the numbers that are taken out of them, where what reads these can do with arrays."""
    _Items(graph).run()


class _Items:
    """arrays: for each number of the graph that comes out of an array, the array."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.arrays: dict[Node, Node] = {}
        self.mode: Any = contextlib.nullcontext()

    def run(self) -> None:
        for node in list(self.graph.nodes):
            if packet(node) in _ITEMS:
                self.arrays[node] = self._taken(node)
            elif node.op == "output":
                node.args = torch.fx.node.map_arg(node.args, lambda part: self.arrays.get(part, part))
            elif any(part in self.arrays for part in node.all_input_nodes):
                self._read(node)

    def _taken(self, item: Node) -> Node:
        """The array that a number is taken out of, without axes and gradients; a half is exact as a float32."""
        x = item.args[0]
        value = x.meta["val"]
        self.mode = value.fake_mode
        if value.ndim:
            x = self._make(item, aten.reshape.default, x, [])
        if value.dtype in (torch.float16, torch.bfloat16):
            x = self._make(item, aten.to.dtype, x, torch.float32)
        return self._make(item, stop_gradient, x) if value.is_floating_point() else x

    def _read(self, node: Node) -> None:
        op, args = node.target, node.args
        if op in _ARITHMETIC:
            first, *others = args
            if _ARITHMETIC[op] not in _OF_ARRAYS_ALONE:  # a second number may stay one
                operands = [self._operand(node, first), *map(self._given, others)]
            else:
                operands = [self._operand(node, part) for part in args]
            self.arrays[node] = self._make(node, _ARITHMETIC[op], *operands)
        elif op is torch.sym_float:
            self.arrays[node] = self._make(node, aten.to.dtype, self.arrays[args[0]], torch.get_default_dtype())
        elif op in _OF_ARRAYS:
            node.target, node.args = _OF_ARRAYS[op], tuple(self._operand(node, part) for part in args)
            node.kwargs = {name: self._operand(node, part) for name, part in node.kwargs.items()}
        elif op in _TAKE_ARRAYS:
            node.args = tuple(
                self._number(node, part) if place in _TAKE_ARRAYS[op] else part for place, part in enumerate(args)
            )
        elif op is aten.full.default:
            number = self._make(node, aten.to.dtype, self._given(args[1]), node.meta["val"].dtype)
            node.target, node.args, node.kwargs = aten.expand.default, (number, args[0]), {}

    def _number(self, place: Node, part: Any) -> Any:
        """What stands for an argument. A number never widens what it is computed with, as arrays do where none has axes."""
        if not isinstance(part, Node) or part not in self.arrays:
            return self._given(part)
        number = self.arrays[part]
        others = [n.meta["val"] for n in place.all_input_nodes if n not in self.arrays]
        others = [v for v in others if isinstance(v, torch.Tensor) and v.dtype != torch.bool]
        if not others or any(v.ndim for v in others) or place.target in _ARITHMETIC:
            return number
        kind = 1.0 if number.meta["val"].is_floating_point() else 1
        dtype = functools.reduce(torch.promote_types, (torch.result_type(v, kind) for v in others))
        return number if number.meta["val"].dtype == dtype else self._make(place, aten.to.dtype, number, dtype)

    def _given(self, part: Any) -> Any:
        return torch.fx.node.map_arg(part, lambda n: self.arrays.get(n, n))

    def _operand(self, place: Node, part: Any) -> Any:
        """An argument as an array."""
        value = part.meta.get("val") if isinstance(part, Node) else part
        if value is None or isinstance(value, torch.Tensor) or part in self.arrays:
            return self._number(place, part)
        dtype = torch.int64 if isinstance(value, (int, torch.SymInt)) else torch.get_default_dtype()
        return self._make(place, aten.full.default, [], part, dtype=dtype)

    def _make(self, place: Node, op: Callable, *args: Any, **kwargs: Any) -> Node:
        """A new node that runs before another."""
        with self.graph.inserting_before(place):
            node = self.graph.call_function(op, args, kwargs)
        node.meta = {key: place.meta[key] for key in ("nn_module_stack", "stack_trace") if key in place.meta}
        given, named = torch.fx.node.map_arg((args, kwargs), lambda n: n.meta["val"])
        with self.mode, torch.no_grad():
            node.meta["val"] = op(*given, **named)
        return node


__all__ = ["keep_as_arrays"]
