"""Autocast: the casts that torch.autocast makes before an op, which an exported graph does not show, as nodes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Graph, Node
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from translator.errors import CaptureError
from translator.lower import op_name

aten = torch.ops.aten


@dataclass
class Autocast:
    """The casts of one region. done: what was cast already in a call of a module, by dtype."""

    device: str
    dtype: torch.dtype
    done: dict[tuple[Node, torch.dtype, str | None], Node] = field(default_factory=dict)

    def cast(self, graph: Graph, node: Node) -> None:
        """Cast what node, the last of graph, reads. Raises CaptureError where that is not all that autocast does."""
        if not isinstance(node.target, torch._ops.OpOverload):
            return
        inputs = [n for n in node.all_input_nodes if isinstance(n.meta.get("val"), torch.Tensor)]
        wanted = node.meta["val"]
        casts = self._casts(node, inputs)
        for part in inputs:
            if part in casts:
                node.replace_input_with(part, self._to(graph, node, part, casts[part]))
        try:
            found = _run(node)
        except Exception as error:
            raise CaptureError(f"what torch.autocast does to {op_name(node)} cannot be told: {error}") from error
        if _dtypes(found) != _dtypes(wanted):
            raise CaptureError(
                f"torch.autocast casts within {op_name(node)}, which no cast of its arguments stands for: "
                "translate the module without autocast"
            )

    def _casts(self, node: Node, inputs: Sequence[Node]) -> dict[Node, torch.dtype]:
        """Which inputs autocast casts, and to what, found by running the op under it on arrays without values."""
        plain, cast = _Casts(), _Casts()
        try:
            with plain:
                _run(node)
        except Exception:  # dtypes that only go together when cast
            plain.seen.clear()
        try:
            with torch.autocast(self.device, self.dtype, cache_enabled=False), cast:
                _run(node)
        except Exception as error:
            raise CaptureError(f"what torch.autocast does to {op_name(node)} cannot be told: {error}") from error
        by_value = {id(n.meta["val"]): n for n in inputs}
        return {by_value[key]: dtype for key, dtype in cast.seen.items() if key in by_value and key not in plain.seen}

    def _to(self, graph: Graph, node: Node, part: Node, dtype: torch.dtype) -> Node:
        key = part, dtype, next(reversed(node.meta.get("nn_module_stack") or {}), None)
        if key not in self.done:
            with graph.inserting_before(node):
                made = graph.call_function(aten.to.dtype, (part, dtype))
            made.meta = {key: node.meta[key] for key in ("nn_module_stack", "stack_trace") if key in node.meta}
            with part.meta["val"].fake_mode, torch.no_grad():
                made.meta["val"] = part.meta["val"].to(dtype)
            self.done[key] = made
        return self.done[key]


class _Casts(TorchDispatchMode):
    """Notes which arrays are cast, by identity, and to what."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, torch.dtype] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is aten._to_copy.default and (kwargs or {}).get("dtype") is not None:
            self.seen.setdefault(id(args[0]), kwargs["dtype"])  # type: ignore[index]
        return func(*args, **(kwargs or {}))


def _run(node: Node) -> Any:
    args, kwargs = torch.fx.node.map_arg((node.args, dict(node.kwargs)), lambda n: n.meta["val"])
    leaves = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    if not leaves:
        return node.meta["val"]
    with leaves[0].fake_mode, torch.no_grad():
        return node.target(*args, **kwargs)


def _dtypes(values: Any) -> list[torch.dtype]:
    return [value.dtype for value in pytree.tree_leaves(values) if isinstance(value, torch.Tensor)]
