"""What each op of torch does with arrays that are stored in another order of axes than torch's.

A rule takes a node and the orders that are known of what it reads, and says how the node computes on stored arrays: a Move. It
gives None where the node must have its arrays in torch's order, or has nothing to do with any that is not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from translator.channels_last import OPS
from translator.layout_orders import (
    Order,
    channels_last,
    composed,
    is_one,
    is_tensor,
    reshaped,
    same,
    stored,
    torchs,
    wide,
    without,
)
from translator.lower import by_name, changed, packet
from translator.modes import choose
from translator.quotients import exact_divide

aten = torch.ops.aten

# The ops for whose sake arrays are stored with their channels last.
ANCHORS = {op for op in OPS if getattr(op, "__name__", "").startswith("conv")}

# Ops of each element by itself that torch does not tag as such.
_POINTWISE = {
    aten.hardswish.default, aten.dropout.default, aten.to.dtype, aten._to_copy.default, aten.clone.default, aten.alias.default,
    aten.contiguous.default, aten.detach.default, aten.zeros_like.default, aten.ones_like.default, aten.full_like.default,
    aten.rand_like.default, aten.randn_like.default, aten.bernoulli.default, aten.bernoulli.p, aten.log_sigmoid.default,
    aten.alpha_dropout.default, choose, exact_divide,
}  # fmt: skip

PERMUTES = {"permute", "transpose", "t", "mT", "numpy_T", "movedim", "moveaxis", "swapaxes", "swapdims"}

# Ops along axes, which are gone from what they give.
_REDUCTIONS = {
    "mean", "sum", "amax", "amin", "max", "min", "prod", "any", "all", "argmax", "argmin", "logsumexp", "var", "std", "var_mean",
    "std_mean", "norm", "linalg_vector_norm", "select", "unbind", "median", "nanmean", "nansum",
}  # fmt: skip
# Ops along axes, which stay.
_ALONG = {
    "softmax", "log_softmax", "_softmax", "_log_softmax", "cumsum", "cumprod", "flip", "roll", "slice", "narrow", "split",
    "split_with_sizes", "chunk", "tensor_split", "cat", "index_select", "glu", "repeat_interleave", "sym_size", "_safe_softmax",
}  # fmt: skip


@dataclass(frozen=True)
class Move:
    """How a node computes on stored arrays.

    reads: the order in which it takes each array; others it takes in torch's. order: that of its result; of several results,
    the order of each by its place. aligned: what of these may lack axes of length one, as it broadcasts. alias: whether the node
    gives what it reads, in another order.
    """

    target: Any
    args: tuple
    kwargs: Mapping[str, Any]
    reads: Mapping[Node, Order]
    order: Order | dict[int, Order]
    aligned: frozenset[Node] = frozenset()
    alias: bool = False


class Orders(dict[Node, Order]):
    """The order of each array that is not stored in torch's."""

    def of(self, node: Node) -> Order:
        return self[node] if node in self else torchs(node.meta["val"].ndim)


def move(node: Node, orders: Orders, wanted: Order | None = None) -> Move | None:
    """How a node computes on what it reads, stored as orders says, or None. wanted: in which order it is to give its result, if it can."""
    target = node.target
    if target in OPS and (found := _image(node, orders)) is not None:
        return found
    if target in _POINTWISE or isinstance(target, torch._ops.OpOverload) and torch.Tag.pointwise in target.tags:
        return _pointwise(node, orders)
    name = packet(node)
    if name in PERMUTES:
        return _permute(node, orders)
    if name == "einsum":
        return _einsum(node, orders, wanted)
    rule = _RULES.get(name)
    return rule(node, orders) if rule is not None and any(x in orders for x in node.all_input_nodes) else None


def _of_dtype(node: Node, orders: Orders) -> Move | None:
    """An op that reads no more of an array than its dtype."""
    x = node.args[0]
    order = torchs(node.meta["val"].ndim)
    return Move(node.target, node.args, node.kwargs, {x: orders[x]}, order) if x in orders else None


def _image(node: Node, orders: Orders) -> Move | None:
    """An op on images: convolutions have theirs stored with the channels last, and the others go along."""
    x = node.args[0]
    ndim = x.meta["val"].ndim
    anchor = node.target in ANCHORS
    if not anchor and x not in orders or not _takes(node, ndim):
        return None
    order = channels_last(ndim)
    several = not is_tensor(node)
    target, args = OPS[node.target], node.args
    if packet(node).startswith("adaptive_avg_pool") and all(map(is_one, args[1])):
        target, args = aten.mean.dim, (x, list(range(1, ndim - 1)), True)
    return Move(target, args, node.kwargs, {x: order}, {0: order} if several else order)


def _takes(node: Node, ndim: int) -> bool:
    """Whether there is a rule for an op on channels-last arrays with these arguments: for batches of images."""
    name, given = packet(node), by_name(node) if packet(node) else {}
    if ndim < 3:
        return False
    if name.startswith("conv"):
        return given["weight"].meta["val"].ndim == ndim
    if "_pool" in name:
        per_axis = given.get("kernel_size") or given["output_size"]
        floats = node.meta["val"].dtype.is_floating_point
        return len(per_axis) == ndim - 2 and floats and set(given.get("dilation") or [1]) == {1}
    if name == "pad" or "_pad" in name:
        widths = given["pad" if name == "pad" else "padding"]
        constant = name == "pad" and given.get("mode", "constant") == "constant"
        return not constant and len(widths) // 2 <= ndim - 2 and not any(isinstance(w, int) and w < 0 for w in widths)
    if name.startswith("pixel"):
        return ndim == 4
    return not name.startswith(("upsample", "_upsample")) or node.meta["val"].dtype.is_floating_point


def _pointwise(node: Node, orders: Orders) -> Move | None:
    if not is_tensor(node):
        return None
    value = node.meta["val"]
    operands = [operand for operand in node.all_input_nodes if is_tensor(operand)]
    leading = [operand for operand in operands if operand in orders and operand.meta["val"].ndim == value.ndim]
    if not leading:
        return None
    candidates = [channels_last(value.ndim), *(orders[operand] for operand in leading)]
    order = max(candidates, key=lambda order: sum(_is_stored(operand, order, orders) for operand in leading))
    reads = {operand: order for operand in operands if operand.meta["val"].ndim}
    keeper = next((operand for operand in leading if _is_stored(operand, order, orders)), leading[0])
    return Move(node.target, node.args, node.kwargs, reads, order, frozenset(reads) - {keeper})


def _is_stored(x: Node, order: Order, orders: Orders) -> bool:
    """Whether nothing of an array has to move for an order."""
    shape = x.meta["val"].shape
    return wide(shape, orders.of(x)) == wide(shape, order)


def _permute(node: Node, orders: Orders) -> Move | None:
    """A permutation of a stored array is the same array in another order."""
    x = node.args[0]
    dims = permutation(node)
    order = composed(orders.of(x), dims)
    if x not in orders and (order != channels_last(len(dims)) or len(dims) < 3):
        return None
    return Move(aten.alias.default, (x,), {}, {x: orders.of(x)}, order, alias=True)


def permutation(node: Node) -> list[int]:
    """The axis of what a node permutes that each axis of its result is."""
    ndim = node.meta["val"].ndim
    name, args, dims = packet(node), node.args[1:], list(range(ndim))
    if name == "permute":
        return [dim % ndim for dim in args[0]]
    if name in ("movedim", "moveaxis"):
        source, target = ([axes] if isinstance(axes, int) else axes for axes in args)
        source, target = [dim % ndim for dim in source], [dim % ndim for dim in target]
        rest = iter(axis for axis in dims if axis not in source)
        return [source[target.index(axis)] if axis in target else next(rest) for axis in dims]
    a, b = ((dim % ndim for dim in args) if args else (ndim - 2, ndim - 1)) if ndim > 1 else (0, 0)
    dims[a], dims[b] = dims[b], dims[a]
    return dims


def _constant_pad(node: Node, orders: Orders) -> Move | None:
    """Any axis may be lengthened by a constant."""
    given = by_name(node)
    if node.args[0] not in orders or given.get("mode", "constant") != "constant":
        return None
    x, order = node.args[0], orders[node.args[0]]
    pairs = list(zip(given["pad"][::2], given["pad"][1::2], strict=True))
    widths = [(0, 0)] * (len(order) - len(pairs)) + pairs[::-1]
    flat = [width for axis in reversed(order) for width in widths[axis]]
    while len(flat) > 1 and flat[-2:] == [0, 0]:
        del flat[-2:]
    return Move(aten.constant_pad_nd.default, (x, flat, given.get("value") or 0), {}, {x: order}, order)


def _reshape(node: Node, orders: Orders) -> Move | None:
    x, shape = node.args[0], node.meta["val"].shape
    if x not in orders or node.target is aten.view.dtype:
        return None
    before = x.meta["val"].shape
    found = reshaped(before, shape, orders[x])
    if found is None:
        return None
    taken, order = found
    old, new = stored(before, taken), stored(shape, order)
    target, args = aten.reshape.default, (x, new)
    if len(old) == len(new) and all(map(same, old, new)):
        target, args = aten.alias.default, (x,)
    elif (dropped := _dropped(old, new)) is not None:
        target, args = aten.squeeze.dims, (x, dropped)
    elif (merged := _merged(old, new)) is not None:
        target, args = aten.flatten.using_ints, (x, *merged)
    return Move(target, args, {}, {x: taken}, order)


def _dropped(old: list, new: list) -> list[int] | None:
    """Which axes of length one a reshape takes out, if that is all that it does."""
    ones = [axis for axis, size in enumerate(old) if is_one(size)]
    for axes in itertools.combinations(ones, max(len(old) - len(new), 0)):
        left = [size for axis, size in enumerate(old) if axis not in axes]
        if axes and all(map(same, left, new)):
            return list(axes)
    return None


def _merged(old: list, new: list) -> tuple[int, int] | None:
    """The first and last of the axes in a row that a reshape merges to one, if that is all that it does."""
    count = len(old) - len(new) + 1
    for start in range(len(new)):
        rest = old[:start] + old[start + count :], new[:start] + new[start + 1 :]
        if count > 1 and len(rest[0]) == len(rest[1]) and all(map(same, *rest)):
            return start, start + count - 1
    return None


def _each_axis(node: Node, orders: Orders) -> Move | None:
    """An op with a number for each axis."""
    x, numbers = node.args[:2]
    if x not in orders or len(numbers) != len(orders[x]):
        return None
    return Move(node.target, (x, stored(numbers, orders[x])), node.kwargs, {x: orders[x]}, orders[x])


def _stack(node: Node, orders: Orders) -> Move:
    arrays, dim = node.args[0], by_name(node).get("dim", 0)
    before = next(orders[array] for array in arrays if array in orders)
    dim %= len(before) + 1
    place = before.index(dim) if dim < len(before) else dim
    order = [axis + (axis >= dim) for axis in before]
    order.insert(place, dim)
    return Move(node.target, (arrays, place), {}, dict.fromkeys(arrays, before), tuple(order))


def _einsum(node: Node, orders: Orders, wanted: Order | None) -> Move | None:
    """A sum of products names the axes of what it takes as they are stored."""
    equation, arrays = node.args[:2]
    taken, arrow, given = equation.replace(" ", "").partition("->")
    letters = taken.split(",")
    if (
        not arrow
        or "." in equation
        or wanted is None
        and not any(array in orders for array in arrays)
        or len(set(arrays)) < len(arrays)
    ):
        return None
    letters = ["".join(stored(axes, orders.of(array))) for axes, array in zip(letters, arrays, strict=True)]
    order = wanted if wanted is not None else torchs(len(given))
    equation = f"{','.join(letters)}->{''.join(stored(given, order))}"
    return Move(node.target, (equation, *node.args[1:]), node.kwargs, {x: orders.of(x) for x in arrays}, order)


def _index(node: Node, orders: Orders) -> Move | None:
    """The items of one axis at places that are counted in a vector."""
    x, indices = node.args
    found = [axis for axis, index in enumerate(indices) if index is not None]
    if x not in orders or len(found) != 1 or indices[found[0]].meta["val"].ndim != 1:
        return None
    order = orders[x]
    places = [indices[axis] if axis < len(indices) else None for axis in order]
    while places[-1] is None:
        places.pop()
    return Move(node.target, (x, places), {}, {x: order}, order)


def _along(node: Node, orders: Orders) -> Move | None:
    """An op along given axes, which a reduction takes out unless it keeps them."""
    given, names = by_name(node), {a.name: a.default_value for a in node.target._schema.arguments}
    arrays = given.get("tensors", [node.args[0]])
    x = next((array for array in arrays if array in orders), None)
    name = next((name for name in ("dim", "dims") if name in names), None)
    if x is None or any(array.meta["val"].ndim != x.meta["val"].ndim for array in arrays):
        return None
    order = orders[x]
    if name is None:  # over all axes, in whichever order
        whole = is_tensor(node) and node.meta["val"].ndim == 0 and packet(node) not in ("argmax", "argmin", "median")
        return Move(node.target, node.args, node.kwargs, {x: order}, ()) if whole else None
    dims = given.get(name, names[name])
    if dims is None or dims == []:
        return None
    axes = [dim % len(order) for dim in (dims if isinstance(dims, (list, tuple)) else [dims])]
    places = [order.index(axis) for axis in axes]
    if packet(node) not in ("flip", "roll"):
        places.sort()
    if places == [len(order) - 1]:
        places = [-1]
    args, kwargs = changed(node, **{name: places if isinstance(dims, (list, tuple)) else places[0]})
    result = order
    if packet(node) in _REDUCTIONS and not given.get("keepdim", False):
        result = without(order, axes)
    value = node.meta["val"]
    if isinstance(value, (tuple, list)):
        result = dict.fromkeys(range(len(value)), result)
    elif not is_tensor(node):
        result = ()
    return Move(node.target, args, kwargs, dict.fromkeys(arrays, order), result)


_RULES: dict[str, Callable[[Node, Orders], Move | None]] = {
    **dict.fromkeys(("new_empty", "new_zeros", "new_ones", "new_full"), _of_dtype),
    **dict.fromkeys(("constant_pad_nd", "pad"), _constant_pad),
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze"), _reshape),
    **dict.fromkeys((*_REDUCTIONS, *_ALONG), _along),
    **dict.fromkeys(("expand", "repeat"), _each_axis),
    "index": _index,
    "stack": _stack,
}
