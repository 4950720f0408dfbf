"""Quotients that are rounded to whole numbers.

XLA multiplies by the reciprocal of what broadcasts, constants among it. 41 * (1 / 41) is less than 1: a quotient that is
whole may then be rounded to the number below it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.fx import Graph, Node

from translator.affine import argument, same_shape
from translator.lower import packet

_DIVISIONS = {"div", "divide", "true_divide"}
_ROUNDING = {"floor", "ceil", "trunc", "fix", "round", "frac"}
_CASTS = {"to", "_to_copy", "type_as"}
_SHIFTS = {"add", "sub"}


def exact_divide(x: torch.Tensor, y: torch.Tensor | float) -> torch.Tensor:
    """x / y, lowered to a division that XLA leaves one."""
    return x / y


def keep_exact(graph: Graph) -> None:
    """Divide by `exact_divide` where the quotient is rounded; `//` takes a remainder off before, and needs none."""
    for node in list(graph.nodes):
        whole = node.meta.get("val")
        if packet(node) not in _DIVISIONS or not isinstance(whole, torch.Tensor) or not whole.is_floating_point():
            continue
        x, y, mode = node.args[0], argument(node, 1, "other"), node.kwargs.get("rounding_mode")
        if mode == "floor" or not _by_reciprocals(y, whole) or mode is None and not any(map(_rounds, node.users)):
            continue
        if mode is None:
            node.target, node.args, node.kwargs = exact_divide, (x, y), {}
            continue
        with graph.inserting_before(node):
            quotient = graph.call_function(exact_divide, (x, y))
        quotient.meta = dict(node.meta)
        node.target, node.args, node.kwargs = torch.ops.aten.trunc.default, (quotient,), {}


def _by_reciprocals(y: Any, quotient: torch.Tensor) -> bool:
    """Whether XLA multiplies instead, and not by a power of two, of which the reciprocal is exact."""
    if not isinstance(y, Node):
        return math.frexp(y)[0] not in (0.5, -0.5)
    value = y.meta.get("val")
    return not isinstance(value, torch.Tensor) or not same_shape(value.shape, quotient.shape)


def _rounds(user: Node) -> bool:
    """Whether a node rounds what it reads, at once or once something was added: `(x / y + 0.5).floor()`."""
    name = packet(user)
    if name in _SHIFTS:
        return any(packet(reader) not in _SHIFTS and _rounds(reader) for reader in user.users)
    return name in _ROUNDING or name in _CASTS and not user.meta["val"].is_floating_point()


__all__ = ["exact_divide", "keep_exact"]
