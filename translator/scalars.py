"""Arrays that hold one number everywhere are that number where an elementwise op reads them: `jnp.minimum(x, 15)`."""

from __future__ import annotations

import warnings
from collections import ChainMap
from collections.abc import Mapping
from typing import Any

import torch
from torch.fx import Graph, Node
from torch.utils import _pytree as pytree

from translator.affine import size_expr
from translator.lower import packet
from translator.parameters import replace

aten = torch.ops.aten

_FILLED = {"zeros": 0, "ones": 1, "zeros_like": 0, "ones_like": 1, "new_zeros": 0, "new_ones": 1,
           "full": None, "full_like": None, "new_full": None, "scalar_tensor": None}  # fmt: skip

# Ops that take a number in an operand's place, and those of their operands that may be one.
_ELEMENTWISE = {"add": (0, 1), "sub": (0, 1), "mul": (0, 1), "div": (0, 1), "maximum": (0, 1), "minimum": (0, 1),
                "min": (0, 1), "max": (0, 1), "where": (1, 2), "eq": (1,), "ne": (1,), "lt": (1,), "le": (1,), "gt": (1,), "ge": (1,)}  # fmt: skip

_RANDOM = torch.Tag.nondeterministic_seeded


def fold_scalars(graph: Graph, tensors: Mapping[str, torch.Tensor]) -> None:
    """Compute what only numbers go into, and write numbers for arrays that hold one. tensors: placeholders of fixed value."""
    numbers: dict[Node, Any] = {}
    exact: dict[Node, torch.Tensor] = {}
    computed: dict[Node, Any] = {}
    known = ChainMap(numbers, computed)
    for node in list(graph.nodes):
        if node.op == "placeholder" and node.name in tensors and tensors[node.name].ndim == 0:
            if not tensors[node.name].is_meta:
                exact[node] = tensors[node.name].detach().cpu()
                computed[node] = exact[node].item()
        elif node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload):
            new = _compute(graph, node, exact)
            if new is not None:
                computed[new] = exact[new].item()
            number = _fill(node)
            if number is not None:
                numbers[node] = number
            _choose(node, numbers)
            _use(node, known)
    graph.eliminate_dead_code()


def _fill(node: Node) -> Any:
    name, value = packet(node), node.meta.get("val")
    if name not in _FILLED or not isinstance(value, torch.Tensor):
        return None
    if _FILLED[name] is not None:
        return torch.tensor(_FILLED[name], dtype=value.dtype).item()
    position = {"full": 1, "full_like": 1, "new_full": 2, "scalar_tensor": 0}[name]
    fill = node.args[position] if len(node.args) > position else node.kwargs.get("fill_value")
    if not isinstance(fill, (bool, int, float)):
        return None
    return float(fill) if value.dtype.is_floating_point else torch.tensor(fill).to(value.dtype).item()


def _choose(node: Node, numbers: Mapping[Node, Any]) -> None:
    """Filling where a mask holds, in an array of one number, is a choice between two numbers."""
    if packet(node) != "masked_fill" or node.args[0] not in numbers or not isinstance(node.args[2], (int, float)):
        return
    value, mask = node.meta["val"], node.args[1]
    if value.dtype == torch.float32 and _covers([mask.meta["val"].shape], value.shape):
        node.target = aten.where.Scalar
        node.args = (mask, float(node.args[2]), numbers[node.args[0]])


def _is_array(part: Any) -> bool:
    return isinstance(part, Node) and isinstance(part.meta.get("val"), torch.Tensor)


def _compute(graph: Graph, node: Node, exact: dict[Node, torch.Tensor]) -> Node | None:
    """Replace a 0-d result of 0-d constants by its value: in torch's own dtype, floats to all digits of a float64.

    Returns the node that stands for it now, None where there is nothing to compute.
    """
    value = node.meta.get("val")
    nodes = node.all_input_nodes
    if not isinstance(value, torch.Tensor) or value.ndim or not nodes or any(n not in exact for n in nodes):
        return None
    if _RANDOM in node.target.tags or node.target._schema.is_mutable or value.is_complex():
        return None
    if any(isinstance(leaf, torch.SymInt) for leaf in pytree.tree_leaves((node.args, node.kwargs))):
        return None

    def run(wide: bool) -> torch.Tensor:
        def convert(leaf: Any) -> Any:
            if isinstance(leaf, Node):
                tensor = exact[leaf]
                return tensor.double() if wide and tensor.is_floating_point() else tensor
            narrow = wide and isinstance(leaf, torch.dtype) and leaf.is_floating_point
            return torch.float64 if narrow else torch.device("cpu") if isinstance(leaf, torch.device) else leaf

        args, kwargs = pytree.tree_map(convert, (node.args, dict(node.kwargs)))
        return node.target(*args, **kwargs)

    try:
        result = run(wide=value.is_floating_point())
    except Exception:  # left to lowering, which says what is wrong with it
        return None
    if not isinstance(result, torch.Tensor) or result.ndim:
        return None
    with graph.inserting_before(node):
        new = graph.call_function(aten.full.default, ([], result.item()), {"dtype": value.dtype})
    new.meta = dict(node.meta)
    replace(node, new)
    exact[new] = result
    return new


def _use(node: Node, numbers: Mapping[Node, Any]) -> None:
    """Write the number for each operand that holds one, where the others alone give the result its shape and dtype."""
    value = node.meta.get("val")
    for position in _ELEMENTWISE.get(packet(node), ()):
        operand = node.args[position] if 1 < len(node.args) > position else None
        others = [a for p, a in enumerate(node.args[:3]) if p != position and _is_array(a) and a not in numbers]
        if not isinstance(operand, Node) or operand not in numbers or not others:
            continue
        if not _keeps_dtype(node, operand, others):
            continue
        shapes = [other.meta["val"].shape for other in others]
        if not _covers(shapes, value.shape):
            if not _only_masks_attention(node):
                continue
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Raw SymInt")
                smaller = torch.broadcast_shapes(*shapes)
                node.meta["val"] = torch.empty(smaller, dtype=value.dtype, device="meta")
        node.args = tuple(numbers[operand] if p == position else a for p, a in enumerate(node.args))


def _keeps_dtype(node: Node, operand: Node, others: list[Node]) -> bool:
    """Whether the result has the same dtype when the operand is a Python number, which takes part in no promotion."""
    if packet(node) != "where":
        x = others[0].meta["val"]
        return torch.result_type(x, operand.meta["val"]) == x.dtype
    data = [other for other in others if other is not node.args[0]]
    if data:
        return torch.result_type(data[0].meta["val"], operand.meta["val"]) == data[0].meta["val"].dtype
    # A choice between two numbers is of the dtype that JAX gives a Python float.
    return node.meta["val"].dtype == torch.float32 and all(
        type(a) is float or isinstance(a, Node) for a in node.args[1:]
    )


def _only_masks_attention(node: Node) -> bool:
    """Whether nothing but attention reads a node, as its mask, which broadcasts."""
    return all(packet(user) == "scaled_dot_product_attention" and node not in user.args[:3] for user in node.users)


def _covers(shapes: list, result: Any) -> bool:
    """Whether arrays of these shapes broadcast to the result's, at all sizes."""
    wanted = [size_expr(size) for size in result]
    reached = [False] * len(wanted)
    for shape in shapes:
        for offset, size in enumerate(reversed(list(shape)), 1):
            reached[-offset] |= size_expr(size) == wanted[-offset]
    return all(reached)
