"""Runs a graph whose control flow lies in regions: torch's eager meaning of each op, over functions that run a region."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node
from torch.utils import _pytree as pytree

from translator.regions import argument, closes, is_control_flow, opens, scopes


class RegionInterpreter(Interpreter):
    """What lies in a region runs when its function is called, and once for each call."""

    def __init__(self, module: GraphModule):
        self.scopes = scopes(module.graph)
        super().__init__(module, garbage_collect_values=not any(self.scopes.values()))
        self.now: tuple[Node, ...] = ()

    def run_node(self, n: Node) -> Any:
        if self.scopes[n] != self.now:
            return None
        if n.target is opens:
            return ()
        if n.target is argument:
            return self.env[n]
        if n.target is closes:
            return self._function(n)
        if is_control_flow(n) and any(part.target is closes for part in n.all_input_nodes):
            args = torch.fx.node.map_arg(n.args, self.env.__getitem__)
            return _MEANING[n.target._name](*args)
        if is_control_flow(n) and n.target._name == "associative_scan":  # torch would run the combination over a batch
            combine, xs, outer = self.fetch_args_kwargs_from_env(n)[0]
            return _associative_scan(lambda left, right: combine(*left, *right, *outer), xs)
        return super().run_node(n)

    def _function(self, end: Node) -> Callable:
        begin, parameters, result = end.args
        arguments = [p for p in pytree.tree_leaves(parameters) if isinstance(p, Node)]
        scope = (*self.scopes[end], begin)
        inside = [n for n in self.module.graph.nodes if self.scopes[n][: len(scope)] == scope]
        around = self.env

        def function(*given: Any) -> Any:
            outer, scope_before = self.env, self.now
            self.env, self.now = {**around, **dict(zip(arguments, pytree.tree_leaves(given), strict=True))}, scope
            try:
                for node in inside:
                    if self.scopes[node] == scope:
                        self.env[node] = self.run_node(node)
                return torch.fx.node.map_arg(result, self.env.__getitem__)
            finally:
                self.env, self.now = outer, scope_before

        return function


def _leaves(value: Any) -> list:
    return pytree.tree_leaves(value)


def _cond(predicate: Any, when_true: Callable, when_false: Callable) -> list:
    return _leaves(when_true() if predicate else when_false())


def _while_loop(unfinished: Callable, advance: Callable, carry: Any) -> list:
    while unfinished(carry):
        carry = advance(carry)
    return _leaves(carry)


def _scan(advance: Callable, carry: Any, xs: Any) -> list:
    outputs = []
    for step in zip(*_leaves(xs), strict=True):
        carry, output = advance(carry, step)
        outputs.append(_leaves(output))
    return [*_leaves(carry), *map(torch.stack, zip(*outputs, strict=True))]


def _map(each: Callable, xs: Any) -> list:
    outputs = [_leaves(each(step)) for step in zip(*_leaves(xs), strict=True)]
    return list(map(torch.stack, zip(*outputs, strict=True)))


def _associative_scan(combine: Callable, xs: Any) -> list:
    first, *rest = zip(*_leaves(xs), strict=True)
    outputs = [list(first)]
    for step in rest:
        outputs.append(_leaves(combine(outputs[-1], step)))
    return list(map(torch.stack, zip(*outputs, strict=True)))


def _flex_attention(query: Any, key: Any, value: Any, score_mod: Callable, mask_mod: Callable, scale: float) -> Any:
    mask = (query.shape[-2], key.shape[-2], *[None] * 14, mask_mod)
    op = functools.partial(torch.ops.higher_order.flex_attention, query, key, value, score_mod, mask, scale)
    output, *logarithms = op({"OUTPUT_LOGSUMEXP": True}, (), ())
    return output, *(part * math.log(2) for part in logarithms)


_MEANING: dict[str, Callable] = {
    "cond": _cond,
    "while_loop": _while_loop,
    "scan": _scan,
    "map_impl": _map,
    "associative_scan": _associative_scan,
    "flex_attention": _flex_attention,
}
