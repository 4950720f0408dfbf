"""Orders of axes: how an array that torch has in one order is stored in another.

An order is a tuple of torch's axes as they are stored: (0, 2, 3, 1) is an image with its channels last.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import sympy
import torch
from torch.fx import Node

from translator.affine import size_expr

Order = tuple[int, ...]


def torchs(ndim: int) -> Order:
    """torch's own order."""
    return tuple(range(ndim))


def channels_last(ndim: int) -> Order:
    """The order of an image: batch, size, channels."""
    return (0, *range(2, ndim), 1)


def is_tensor(node: Any) -> bool:
    return isinstance(node, Node) and isinstance(node.meta.get("val"), torch.Tensor)


def is_one(size: Any) -> bool:
    """Whether a length is one for all inputs: torch.export takes no dynamic one for that."""
    return isinstance(size, int) and size == 1


def same(a: Any, b: Any) -> bool:
    return size_expr(a) == size_expr(b)


def stored(shape: Sequence, order: Order) -> list:
    """A shape as it is stored."""
    return [shape[axis] for axis in order]


def wide(shape: Sequence, order: Order) -> list[int]:
    """The axes longer than one, as they are stored."""
    return [axis for axis in order if not is_one(shape[axis])]


def composed(order: Order, dims: Sequence[int]) -> Order:
    """The order in which an array is the permutation of another that is stored in an order, without being moved."""
    back = {axis: place for place, axis in enumerate(dims)}
    return tuple(back[axis] for axis in order)


def without(order: Order, axes: Sequence[int]) -> Order:
    """The order that is left when axes are gone."""
    left = [axis for axis in order if axis not in axes]
    names = {axis: place for place, axis in enumerate(sorted(left))}
    return tuple(names[axis] for axis in left)


def groups(old: Sequence, new: Sequence) -> list[tuple[list[int], list[int]]] | None:
    """Which axes longer than one become which in a reshape: the finest runs of both with the same product, or None."""
    mine = [axis for axis, size in enumerate(old) if not is_one(size)]
    other = [axis for axis, size in enumerate(new) if not is_one(size)]
    found = []
    while mine or other:
        a, b = mine[:1], other[:1]
        mine, other = mine[1:], other[1:]
        while (left := _product(old, a)) != (right := _product(new, b)):
            if mine and (not other or _divides(left, right)):
                a.append(mine.pop(0))
            elif other:
                b.append(other.pop(0))
            else:
                return None
        found.append((a, b))
    return found


def _product(shape: Sequence, axes: Sequence[int]) -> sympy.Expr:
    return sympy.expand(sympy.prod([sympy.sympify(size_expr(shape[axis])) for axis in axes]))


def _divides(a: sympy.Expr, b: sympy.Expr) -> bool:
    """Whether b is a times something."""
    quotient = sympy.cancel(b / a)
    return quotient.is_Integer or not quotient.is_Rational and sympy.fraction(quotient)[1] == 1


def reshaped(old: Sequence, new: Sequence, order: Order) -> tuple[Order, Order] | None:
    """The order in which a reshape can take an array, at best the given one, and that of what it gives; None if torch's alone will do."""
    found = groups(old, new)
    if found is None:
        return None
    place = {axis: at for at, axis in enumerate(order)}
    found.sort(key=lambda group: min(place[axis] for axis in group[0]))
    after = list(itertools.chain.from_iterable(group[0] for group in found))
    if after == wide(old, order):
        taken = order
    else:
        taken = tuple(after) + tuple(axis for axis in order if axis not in after)
        if after == sorted(after):
            return None
    given = list(itertools.chain.from_iterable(group[1] for group in found))
    if given == sorted(given):
        return taken, torchs(len(new))
    if len(new) > 2 and given == wide(new, channels_last(len(new))):
        return taken, channels_last(len(new))
    for axis in range(len(new)):  # an axis of length one stands behind that which it stands behind in torch's order
        if axis not in given:
            given.insert(given.index(axis - 1) + 1 if axis else 0, axis)
    return taken, tuple(given)
