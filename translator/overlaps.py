"""Writes to copies whose elements share memory.

`slice_scatter` and its like copy a tensor with its strides and write to the copy. Where these have neighbours share elements, as the
windows of `x.unfold(-1, 2, 1)` do, what is written to one window shows in the next. (Strides of 0 torch copies apart.)
"""

from __future__ import annotations

from typing import Any

import sympy
import torch
from torch.fx import Graph

from translator.errors import CaptureError

aten = torch.ops.aten

_COPY_WITH_STRIDES = {
    aten.slice_scatter.default,
    aten.select_scatter.default,
    aten.diagonal_scatter.default,
    aten.as_strided_scatter.default,
}


def require_apart(graph: Graph) -> None:
    """Raise CaptureError where an op of graph would write to elements that share memory."""
    for node in graph.nodes:
        if node.target in _COPY_WITH_STRIDES and _share(node.args[0].meta.get("val")):
            raise CaptureError(
                f"{node.target} is given overlapping windows, and what it writes to one shows in the next: "
                "copy them with .clone() before"
            )


def _share(value: Any) -> bool:
    """Whether elements of a tensor lie in one place of memory, at the example's lengths, other than by strides of 0."""
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided:
        return False
    lengths = [_example(length) for length in value.shape]
    strides = [_example(stride) for stride in value.stride()]
    axes = sorted((stride, length) for stride, length in zip(strides, lengths, strict=True) if length != 1)
    if 0 in lengths or any(stride == 0 for stride, _ in axes):
        return False
    reach = 0  # the farthest place from the first that the axes of smaller strides lead to
    for stride, length in axes:
        if stride <= reach:
            return True
        reach += (length - 1) * stride
    return False


def _example(length: int | torch.SymInt) -> int:
    if isinstance(length, int):
        return length
    if length.node.hint is not None:
        return length.node.hint
    expr = length.node.expr  # values decide it
    return int(expr.xreplace(dict.fromkeys(expr.free_symbols, sympy.Integer(2**20))))
