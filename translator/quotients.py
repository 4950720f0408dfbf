"""Quotients on which something is decided: they are rounded to whole numbers, or compared.

XLA multiplies by the reciprocal of what broadcasts, constants among it, and by the reciprocal root or power instead of dividing by a
root or power; of two divisions it makes one. 41 * (1 / 41) is less than 1: a quotient that is whole may then be rounded to the
number below it.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from torch.fx import Graph, Node

from translator.affine import argument, same_shape
from translator.lower import packet

_DIVISIONS = {"div", "divide", "true_divide"}
_DECIDING = {"floor", "ceil", "trunc", "fix", "round", "frac", "sign", "eq", "ne", "lt", "le", "gt", "ge"}
_DECIDING |= {"floor_divide", "remainder", "fmod", "sgn", "heaviside", "bucketize", "searchsorted", "isin"}
_CASTS = {"to", "_to_copy", "type_as"}
# What may be done to a whole quotient that leaves it one, and how many such steps are looked through.
_ARITHMETIC = {"add", "sub", "rsub", "mul", "div"}
STEPS = 2
# What moves or picks values.
_MOVES = {
    "_unsafe_view", "abs", "adjoint", "alias", "amax", "amin", "as_strided", "broadcast_to", "cat", "chunk",
    "clamp", "clamp_max", "clamp_min", "clone", "concat", "contiguous", "copy", "detach", "diagonal", "expand",
    "expand_as", "flatten", "flip", "gather", "index", "index_select", "mT", "masked_fill", "matrix_H", "max", "maximum",
    "min", "minimum", "moveaxis", "movedim", "narrow", "neg", "numpy_T", "permute", "pixel_shuffle", "pixel_unshuffle",
    "relu", "repeat", "reshape", "reshape_as", "roll", "rot90", "select", "select_scatter", "slice",
    "slice_scatter", "sort", "split", "split_with_sizes", "squeeze", "stack", "swapaxes", "swapdims", "t", "tile", "topk",
    "transpose", "unbind", "unflatten", "unfold", "unsqueeze", "view", "view_as", "where",
}  # fmt: skip

_BROADCASTS = {
    "expand",
    "expand_as",
    "broadcast_to",
    "repeat",
    "tile",
    "full",
    "full_like",
    "new_full",
    "scalar_tensor",
}
_DIVIDED = {"reciprocal", *_DIVISIONS}
_REWRITTEN = {"sqrt", "rsqrt", "exp", "exp2", "pow", "norm", "linalg_vector_norm", "std", *_DIVIDED, *_BROADCASTS}


def exact_divide(x: torch.Tensor, y: torch.Tensor | float) -> torch.Tensor:
    """x / y, lowered to a division that XLA leaves one."""
    return x / y


def keep_exact(graph: Graph) -> None:
    """Divide by `exact_divide` where something is decided on the quotient; `//` takes a remainder off before, and needs none."""
    for node in list(graph.nodes):
        whole = node.meta.get("val")
        if packet(node) not in _DIVISIONS or not isinstance(whole, torch.Tensor) or not whole.is_floating_point():
            continue
        x, y, mode = node.args[0], argument(node, 1, "other"), node.kwargs.get("rounding_mode")
        if mode == "trunc" and whole.dtype.itemsize == 2 and not (isinstance(y, Node) and y.meta["val"].ndim):
            continue  # its rule divides exactly
        if mode == "floor" or not _rewritten(x, y, whole) or mode is None and not _decided(node):
            continue
        if mode is None:
            node.target, node.args, node.kwargs = exact_divide, (x, y), {}
            continue
        with graph.inserting_before(node):
            quotient = graph.call_function(exact_divide, (x, y))
        quotient.meta = dict(node.meta)
        node.target, node.args, node.kwargs = torch.ops.aten.trunc.default, (quotient,), {}


def _rewritten(x: Any, y: Any, quotient: torch.Tensor) -> bool:
    """Whether XLA computes something else than this division. It may divide by powers of two, of which the reciprocal is exact."""
    if isinstance(x, Node) and packet(_origin(x)) in _DIVIDED:
        return True
    if not isinstance(y, Node):
        return math.frexp(y)[0] not in (0.5, -0.5)
    value = y.meta.get("val")
    same = isinstance(value, torch.Tensor) and same_shape(value.shape, quotient.shape)
    return not same or packet(_origin(y)) in _REWRITTEN


def _origin(node: Node) -> Node:
    """What made the values that a node has moved."""
    while packet(node) in _MOVES - _BROADCASTS and isinstance(node.args[0], Node):
        node = node.args[0]
    return node


def _decided(quotient: Node) -> bool:
    """Whether something is decided on a quotient: at once, or once it was moved, or a little was computed with it."""
    steps = {quotient: 0}
    pending = [quotient]
    while pending:
        node = pending.pop()
        for user in node.users:
            if _decides(user):
                return True
            taken = steps[node] + (packet(user) in _ARITHMETIC)
            if _passes(user) and taken <= STEPS and taken < steps.get(user, STEPS + 1):
                steps[user] = taken
                pending.append(user)
    return False


def _decides(user: Node) -> bool:
    name = packet(user)
    if name in _CASTS:
        return not user.meta["val"].is_floating_point()
    return name in _DECIDING or name in _DIVISIONS and user.kwargs.get("rounding_mode") is not None


def _passes(user: Node) -> bool:
    return user.target is operator.getitem or packet(user) in {*_ARITHMETIC, *_MOVES, *_CASTS}


__all__ = ["exact_divide", "keep_exact"]
