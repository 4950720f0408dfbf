"""Arrays that are formulas of their indices: c + k0*i0 + k1*i1 + ..., followed from op to op.

The mask code of many models builds index grids, compares them, and combines the comparisons; with no padding or packing
most of it comes out constant. `known_values.py` rewrites the graph by what is found here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from torch.fx import Node


@dataclass(frozen=True)
class Affine:
    """The array whose element at index i is base + sum(steps[k] * i[k]). Booleans are 0 and 1."""

    base: sympy.Expr
    steps: tuple[sympy.Expr, ...]

    @property
    def uniform(self) -> bool:
        return all(step == 0 for step in self.steps)


def size_expr(size: Any) -> sympy.Expr:
    return size.node.expr if isinstance(size, torch.SymInt) else sympy.Integer(size)


def same_shape(a: tuple, b: tuple) -> bool:
    """Whether two shapes are the same at all sizes, without adding a guard on one."""
    return len(a) == len(b) and all(size_expr(m) == size_expr(n) for m, n in zip(a, b, strict=True))


def _number(value: Any) -> sympy.Expr | None:
    if isinstance(value, Node):
        value = value.meta.get("val")
    if isinstance(value, (bool, int)):
        return sympy.Integer(int(value))
    if isinstance(value, torch.SymInt):
        return value.node.expr
    return None


def recognise(tensor: torch.Tensor) -> Affine | None:
    """The formula of a concrete integer or boolean tensor, if it is affine."""
    if tensor.dtype.is_floating_point or tensor.is_complex() or tensor.numel() == 0 or tensor.is_meta:
        return None
    wide = tensor.detach().to(torch.int64)
    origin = wide[(0,) * wide.ndim]
    steps = []
    for axis, size in enumerate(wide.shape):
        index = [0] * wide.ndim
        index[axis] = 1
        steps.append(int(wide[tuple(index)] - origin) if size > 1 else 0)
    grid = origin.clone()
    for axis, step in enumerate(steps):
        shape = [1] * wide.ndim
        shape[axis] = wide.shape[axis]
        grid = grid + step * torch.arange(wide.shape[axis]).reshape(shape)
    if not torch.equal(grid.expand_as(wide), wide):
        return None
    return Affine(sympy.Integer(int(origin)), tuple(map(sympy.Integer, steps)))


def follow(node: Node, known: Mapping[Node, Affine]) -> Affine | None:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or value.dtype.is_floating_point or value.is_complex():
        return None
    name, _, overload = str(node.target).removeprefix("aten.").partition(".")
    rule = _FOLLOW.get(name)
    return rule(node, value, known) if rule else None


def argument(node: Node, position: int, name: str, default: Any = None) -> Any:
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def _arange(node: Node, value: torch.Tensor, known: Mapping) -> Affine | None:
    numbers = [_number(arg) for arg in node.args]
    if any(n is None for n in numbers):
        return None
    start = numbers[0] if len(numbers) > 1 else sympy.Integer(0)
    return Affine(start, (numbers[2] if len(numbers) > 2 else sympy.Integer(1),))


def _filled(fill: int | None, position: int = 1) -> Callable:
    def follow(node: Node, value: torch.Tensor, known: Mapping) -> Affine | None:
        number = sympy.Integer(fill) if fill is not None else _number(argument(node, position, "fill_value"))
        return None if number is None else Affine(number, (sympy.Integer(0),) * value.ndim)

    return follow


def _of_first(function: Callable[[Node, torch.Tensor, Affine], Affine | None]) -> Callable:
    def follow(node: Node, value: torch.Tensor, known: Mapping) -> Affine | None:
        first = known.get(node.args[0]) if isinstance(node.args[0], Node) else None
        return None if first is None else function(node, value, first)

    return follow


def _axis(node: Node, value: torch.Tensor, extra: int = 0) -> int:
    axis = argument(node, 1, "dim", 0)
    return axis % (value.ndim + extra)


def _unsqueeze(node: Node, value: torch.Tensor, x: Affine) -> Affine:
    axis = _axis(node, value)
    return Affine(x.base, (*x.steps[:axis], sympy.Integer(0), *x.steps[axis:]))


def _expand(node: Node, value: torch.Tensor, x: Affine) -> Affine:
    source = node.args[0].meta["val"].shape
    lead = value.ndim - len(source)
    steps = [
        s if not (isinstance(size, int) and size == 1) else sympy.Integer(0)
        for s, size in zip(x.steps, source, strict=True)
    ]
    return Affine(x.base, (sympy.Integer(0),) * lead + tuple(steps))


def _slice(node: Node, value: torch.Tensor, x: Affine) -> Affine | None:
    source = node.args[0].meta["val"]
    axis = _axis(node, source)
    start, step = _number(argument(node, 2, "start") or 0), _number(argument(node, 4, "step", 1))
    if start is None or step is None:
        return None
    if start.is_negative:
        start = start + size_expr(source.shape[axis])
        if start.is_negative:  # of a size that is known; torch.export asks for others whether they reach as far
            start = sympy.Integer(0)
    elif not start.is_Integer:
        return None
    steps = list(x.steps)
    base = x.base + steps[axis] * start
    steps[axis] = steps[axis] * step
    return Affine(base, tuple(steps))


def _select(node: Node, value: torch.Tensor, x: Affine) -> Affine | None:
    source = node.args[0].meta["val"]
    axis, index = _axis(node, source), _number(node.args[2])
    if index is None or not index.is_Integer:
        return None
    if index.is_negative:
        index = index + size_expr(source.shape[axis])
    return Affine(x.base + x.steps[axis] * index, x.steps[:axis] + x.steps[axis + 1 :])


def _transpose(node: Node, value: torch.Tensor, x: Affine) -> Affine:
    steps = list(x.steps)
    a, b = (axis % max(value.ndim, 1) for axis in node.args[1:3])
    if not steps:
        return x
    steps[a], steps[b] = steps[b], steps[a]
    return Affine(x.base, tuple(steps))


def _cast(node: Node, value: torch.Tensor, x: Affine) -> Affine | None:
    if value.dtype == torch.bool and node.args[0].meta["val"].dtype != torch.bool:
        return Affine(sympy.Integer(int(x.base != 0)), x.steps) if x.uniform and x.base.is_Integer else None
    return x


def _uniform_view(node: Node, value: torch.Tensor, x: Affine) -> Affine | None:
    return Affine(x.base, (sympy.Integer(0),) * value.ndim) if x.uniform else None


def _cumsum(node: Node, value: torch.Tensor, x: Affine) -> Affine | None:
    if not x.uniform:
        return None
    steps = [sympy.Integer(0)] * value.ndim
    if steps:
        steps[_axis(node, value)] = x.base
    return Affine(x.base, tuple(steps))


def _diff(node: Node, value: torch.Tensor, known: Mapping) -> Affine | None:
    """Differences along an axis. What is prepended must continue the formula by one step."""
    x, prepend = known.get(node.args[0]), known.get(argument(node, 3, "prepend"))
    if x is None or prepend is None or argument(node, 1, "n", 1) != 1 or argument(node, 4, "append") is not None:
        return None
    axis = argument(node, 2, "dim", -1) % value.ndim
    size = argument(node, 3, "prepend").meta["val"].shape[axis]
    same_steps = all(a == b for k, (a, b) in enumerate(zip(x.steps, prepend.steps, strict=True)) if k != axis)
    if not same_steps or size != 1 or sympy.expand(x.base - prepend.base - x.steps[axis]) != 0:
        return None
    return Affine(x.steps[axis], (sympy.Integer(0),) * value.ndim)


def _operands(node: Node, value: torch.Tensor, known: Mapping) -> tuple[Affine, Affine] | None:
    pair = []
    for arg in node.args[:2]:
        number = None if isinstance(arg, Node) and arg in known else _number(arg)
        if isinstance(arg, Node) and arg in known:
            shape = arg.meta["val"].shape
            steps = (sympy.Integer(0),) * (value.ndim - len(shape)) + known[arg].steps
            pair.append(Affine(known[arg].base, steps))
        elif number is not None:
            pair.append(Affine(number, (sympy.Integer(0),) * value.ndim))
        else:
            return None
    return (pair[0], pair[1]) if len(pair) == 2 else None


def _sum(sign: int) -> Callable:
    def follow(node: Node, value: torch.Tensor, known: Mapping) -> Affine | None:
        pair = _operands(node, value, known)
        if pair is None or node.kwargs.get("alpha", 1) != 1 or value.dtype == torch.bool:
            return None
        a, b = pair
        return Affine(a.base + sign * b.base, tuple(m + sign * n for m, n in zip(a.steps, b.steps, strict=True)))

    return follow


def _product(node: Node, value: torch.Tensor, known: Mapping) -> Affine | None:
    pair = _operands(node, value, known)
    if pair is None or value.dtype == torch.bool or not (pair[0].uniform or pair[1].uniform):
        return None
    a, b = pair if pair[1].uniform else pair[::-1]
    return Affine(a.base * b.base, tuple(step * b.base for step in a.steps))


def _compare(function: Callable[[Any, Any], Any]) -> Callable:
    """A comparison that comes out the same everywhere: the difference is bounded away from the threshold on one side."""

    def follow(node: Node, value: torch.Tensor, known: Mapping) -> Affine | None:
        pair = _operands(node, value, known)
        if pair is None:
            return None
        base = sympy.expand(pair[0].base - pair[1].base)
        steps = [sympy.expand(m - n) for m, n in zip(pair[0].steps, pair[1].steps, strict=True)]
        low = high = base
        for step, size in zip(steps, value.shape, strict=True):
            if step == 0:
                continue
            end = step * (size_expr(size) - 1)
            if not (step.is_positive or step.is_negative):
                return None
            low, high = (low, high + end) if step.is_positive else (low + end, high)
        found = {_everywhere(function, low, high)}
        if function in (operator.eq, operator.ne) and low != high:
            outside = _decide(operator.gt, low) or _decide(operator.lt, high)
            found = {function is operator.ne} if outside else {None}
        if len(found) != 1 or None in found:
            return None
        return Affine(sympy.Integer(int(found.pop())), (sympy.Integer(0),) * value.ndim)

    return follow


def _everywhere(function: Callable, low: sympy.Expr, high: sympy.Expr) -> bool | None:
    """What a comparison of numbers from low to high with 0 gives for all of them, None if that is not known. There may be none at all."""
    hard, easy = (low, high) if function in (operator.gt, operator.ge) else (high, low)
    if _decide(function, hard) is True:
        return True
    return False if _decide(function, easy) is False else None


def _decide(function: Callable, bound: sympy.Expr) -> bool | None:
    if bound.is_Integer:
        return bool(function(int(bound), 0))
    known = {operator.gt: bound.is_positive, operator.ge: bound.is_nonnegative, operator.lt: bound.is_negative,
             operator.le: bound.is_nonpositive, operator.eq: bound.is_zero,
             operator.ne: None if bound.is_zero is None else not bound.is_zero}  # fmt: skip
    return known[function]


def _logical(absorbing: int) -> Callable:
    def follow(node: Node, value: torch.Tensor, known: Mapping) -> Affine | None:
        if value.dtype != torch.bool:
            return None
        found = [known.get(arg) if isinstance(arg, Node) else None for arg in node.args[:2]]
        bits = [int(f.base) if f is not None and f.uniform and f.base.is_Integer else None for f in found]
        zero = (sympy.Integer(0),) * value.ndim
        if absorbing in bits:
            return Affine(sympy.Integer(absorbing), zero)
        return Affine(sympy.Integer(1 - absorbing), zero) if None not in bits else None

    return follow


def _not(node: Node, value: torch.Tensor, x: Affine) -> Affine | None:
    if value.dtype != torch.bool or not x.uniform or not x.base.is_Integer:
        return None
    return Affine(1 - x.base, x.steps)


def _index(node: Node, value: torch.Tensor, known: Mapping) -> Affine | None:
    x, indices = known.get(node.args[0]), node.args[1]
    if x is None:
        return None
    zero = sympy.Integer(0)
    if x.uniform:
        return Affine(x.base, (zero,) * value.ndim)
    if any(i is None or i not in known for i in indices) or len(indices) != len(x.steps):
        return None
    if not all(n.is_nonnegative for i in indices for n in (known[i].base, *known[i].steps)):
        return None  # a negative index counts from the end
    base, steps = x.base, [zero] * value.ndim
    for step, index in zip(x.steps, indices, strict=True):
        base = base + step * known[index].base
        lead = value.ndim - len(known[index].steps)
        for axis, inner in enumerate(known[index].steps):
            steps[lead + axis] = steps[lead + axis] + step * inner
    return Affine(base, tuple(steps))


def _gather(node: Node, value: torch.Tensor, x: Affine) -> Affine | None:
    return _uniform_view(node, value, x)


_FOLLOW: dict[str, Callable] = {
    "arange": _arange,
    "ones": _filled(1), "new_ones": _filled(1), "ones_like": _filled(1),
    "zeros": _filled(0), "new_zeros": _filled(0), "zeros_like": _filled(0),
    "full": _filled(None), "full_like": _filled(None), "new_full": _filled(None, 2), "scalar_tensor": _filled(None, 0),
    "unsqueeze": _of_first(_unsqueeze), "expand": _of_first(_expand), "slice": _of_first(_slice),
    "select": _of_first(_select), "transpose": _of_first(_transpose),
    "to": _of_first(_cast), "_to_copy": _of_first(_cast),
    "view": _of_first(_uniform_view), "reshape": _of_first(_uniform_view), "squeeze": _of_first(_uniform_view),
    "gather": _of_first(_gather), "cumsum": _of_first(_cumsum), "diff": _diff,
    "add": _sum(1), "sub": _sum(-1), "mul": _product,
    "eq": _compare(operator.eq), "ne": _compare(operator.ne), "lt": _compare(operator.lt), "le": _compare(operator.le),
    "gt": _compare(operator.gt), "ge": _compare(operator.ge),
    "__and__": _logical(0), "bitwise_and": _logical(0), "logical_and": _logical(0),
    "__or__": _logical(1), "bitwise_or": _logical(1), "logical_or": _logical(1),
    "bitwise_not": _of_first(_not), "logical_not": _of_first(_not), "index": _index,
}  # fmt: skip
