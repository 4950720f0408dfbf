"""Lowering: one FX node to one expression, by the op table's rule, checked against what FX recorded."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import sympy
import torch
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import CallMethodKey
from torch.utils import _pytree as pytree

from op_table import registry
from op_table.dtypes import to_numpy
from op_table.expr import Expr, Size, Value, abstract, canonical, evaluate, key, values
from op_table.registry import Unsupported
from translator.state import is_state

# Arguments that say where and how torch stores a tensor, which JAX decides by itself.
_PLACEMENT = {"device", "layout", "pin_memory", "memory_format", "non_blocking", "copy"}

INT32 = np.iinfo(np.int32)


class Sizes:
    """Reads torch's symbolic integers, with the example's value of each symbol.

    hints maps each sympy symbol to its length in the example inputs.
    """

    def __init__(self, hints: Mapping[sympy.Symbol, int]):
        self.hints = dict(hints)

    def value(self, expr: sympy.Expr) -> int:
        return int(self._at_hints(expr))

    def _at_hints(self, expr: sympy.Expr) -> sympy.Expr:
        return expr.xreplace({symbol: sympy.Integer(n) for symbol, n in self.hints.items()})

    def read(self, size: Any) -> Any:
        """An int or torch.SymInt as an int (where it is one for all inputs) or a Size."""
        if not isinstance(size, (torch.SymInt, torch.SymFloat, torch.SymBool)):
            return size
        expr = sympy.sympify(size.node.expr)
        if isinstance(size, torch.SymBool):
            raise Unsupported(f"whether {expr} holds is used as a value: compare the lengths outside of the module")
        if expr.is_Integer:
            return int(expr)
        missing = expr.free_symbols - self.hints.keys()
        if missing:
            raise Unsupported(
                f"a size depends on the values in a tensor ({', '.join(sorted(map(str, missing)))}), which jax.jit cannot trace"
            )
        if isinstance(size, torch.SymFloat):
            return Size(expr, float(self._at_hints(expr)), real=True)
        return Size(expr, self.value(expr))

    def shape(self, tensor: torch.Tensor) -> tuple:
        return tuple(self.read(size) for size in tensor.shape)


def op_name(node: Node) -> str:
    """A node's op with its namespace and overload: `aten.add.Tensor`."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return str(target) if str(target).count(".") >= 2 else f"{target}.default"
    if isinstance(target, torch._ops.HigherOrderOperator):
        return f"{target.namespace}.{target._name}.default"
    return getattr(target, "__module__", "") + "." + getattr(target, "__name__", str(target))


def packet(node: Node) -> str:
    """The name of a node's op without namespace and overload: `add`; empty for what is no op of torch's."""
    target = node.target
    return target._schema.name.partition("::")[2] if isinstance(target, torch._ops.OpOverload) else ""


def arguments(node: Node, operand: Callable[[Node], Any], sizes: Sizes) -> tuple[tuple, dict[str, Any]]:
    """A node's arguments as a rule takes them. operand gives the expression or size that stands for another node."""

    def convert(arg: Any) -> Any:
        match arg:
            case Node():
                return operand(arg)
            case tuple() | list():
                return [convert(part) for part in arg]
            case torch.SymInt():
                return sizes.read(arg)
            case torch.dtype():
                return to_numpy(arg)
            case torch.memory_format() | torch.layout() | torch.device():
                return None
        return arg

    schema = node.target._schema.arguments if isinstance(node.target, torch._ops.OpOverload) else ()
    names = [argument.name for argument in schema]
    args, kwargs = [], {}
    for position, arg in enumerate(node.args):
        if position < len(names) and names[position] in _PLACEMENT:
            break
        args.append(convert(arg))
    for position in range(len(args), len(node.args)):
        if names[position] not in _PLACEMENT:
            kwargs[names[position]] = convert(node.args[position])
    kwargs |= {name: convert(arg) for name, arg in node.kwargs.items() if name not in _PLACEMENT}
    return tuple(args), kwargs


def by_name(node: Node) -> dict[str, Any]:
    """A node's arguments by the names of its op's schema."""
    names = [argument.name for argument in node.target._schema.arguments]
    return dict(zip(names, node.args, strict=False)) | dict(node.kwargs)


def changed(node: Node, **changes: Any) -> tuple[tuple, dict[str, Any]]:
    """A node's arguments, some of them others."""
    names = [argument.name for argument in node.target._schema.arguments]
    args, kwargs = list(node.args), dict(node.kwargs)
    for name, value in changes.items():
        if name in kwargs or names.index(name) > len(args):
            kwargs[name] = value
        else:
            args[names.index(name) : names.index(name) + 1] = [value]
    return tuple(args), kwargs


def lower_node(node: Node, operand: Callable[[Node], Any], sizes: Sizes) -> Any:
    """The expression (or tuple of expressions) of one call_function node.

    Raises Unsupported if the op has no rule, if its rule refuses these arguments, or if what it builds has another shape
    or dtype than FX recorded.
    """
    rule = registry.lookup(op_name(node))
    if rule is None:
        raise Unsupported("there is no rule for this op, and torch has no decomposition of it")
    try:
        args, kwargs = arguments(node, operand, sizes)
        for constant in (*args, *kwargs.values()):
            if type(constant) is int and not INT32.min <= constant <= INT32.max and not _unbounded(constant):
                raise Unsupported(
                    f"the integer {constant} does not fit in int32, and without x64 JAX has no wider type"
                )
        result = rule.function(*args, **kwargs)
        if not is_state(node):
            check(result, node, sizes)
    except Unsupported:
        raise
    except Exception as error:  # whatever a rule raises, a user's rule included, is one op that cannot be translated
        raise Unsupported(f"its rule failed: {type(error).__name__}: {error}") from error
    return result


def _unbounded(constant: int) -> bool:
    """torch writes 'to the end' of a slice as the largest int64."""
    return constant in (2**63 - 1, -(2**63))


def check(result: Any, node: Node, sizes: Sizes) -> None:
    """Raise Unsupported unless result has the shapes and dtypes that FX recorded for node, at the example sizes.

    What JAX cannot trace, because a length depends on values, is run on ones: then such lengths may be any, and what nothing
    reads is passed over.
    """
    recorded = node.meta["val"]
    expected = [recorded] if isinstance(recorded, torch.Tensor) else [r for r in recorded if r is not None]
    untraced = _makes_length(node)
    found = jax.tree.leaves(_on_ones(result) if untraced else _abstract(result))
    if len(found) != len(expected):
        raise Unsupported(f"its rule gives {len(found)} outputs where torch gives {len(expected)}")
    read = {user.args[1] for user in node.users if user.target is operator.getitem}
    for place, (aval, tensor) in enumerate(zip(found, expected, strict=True)):
        if untraced and len(expected) > 1 and place not in read:
            continue
        shape = [_length(size, sizes, untraced) for size in tensor.shape]
        dtype = canonical(to_numpy(tensor.dtype))
        same = len(aval.shape) == len(shape) and all(n in ("?", m) for n, m in zip(shape, aval.shape, strict=True))
        if not same or canonical(aval.dtype) != dtype:
            shown = f"[{', '.join(map(str, shape))}]"
            raise Unsupported(f"its rule gives {aval.dtype}{list(aval.shape)} where torch gives {dtype}{shown}")


def new_lengths(node: Node) -> dict[sympy.Symbol, pytree.KeyPath]:
    """The lengths in a node's value that depend on values, and that no input has: where each is.

    A number that was taken out of a tensor is none, nor is the place in memory where a part of a tensor begins.
    """
    found = node.meta.get("unbacked_bindings") or {}
    return {symbol: path for symbol, path in found.items() if path and path[-1] != CallMethodKey("storage_offset")}


def _makes_length(node: Node) -> bool:
    # A loop might not end on ones.
    return bool(new_lengths(node)) and not isinstance(node.target, torch._ops.HigherOrderOperator)


def _length(size: Any, sizes: Sizes, untraced: bool) -> int | str:
    if not isinstance(size, torch.SymInt):
        return size
    return "?" if untraced else sizes.value(sympy.sympify(size.node.expr))


def _on_ones(result: Any) -> Any:
    return evaluate(result, {v.name: jax.numpy.ones(v.hint, canonical(v.dtype)) for v in values(result)})


def _abstract(result: Any) -> Any:
    structure = (jax.config.jax_enable_x64, key(result, _example))
    memo = _memo()
    if structure not in memo:
        memo[structure] = abstract(result)
    return memo[structure]


def _example(part: Value | Size) -> Any:
    """What of an operand decides the shape and dtype of a result: symbols mean other lengths in another translation."""
    return (part.hint, part.dtype.name) if isinstance(part, Value) else part.hint


@functools.cache
def _memo() -> dict:
    return {}


def _is_whole(tensor: torch.Tensor) -> bool:
    """Whether a tensor of fixed lengths shows all of its memory in order."""
    if tensor.layout is not torch.strided or not all(isinstance(n, int) for n in (*tensor.shape, *tensor.stride())):
        return False
    # The memory under an argument that is a view has a symbolic size; what a while loop gives, one of no known size.
    held, offset = (
        size.node.hint if isinstance(size, torch.SymInt) and size.node.has_hint() else size
        for size in (tensor.untyped_storage().nbytes(), tensor.storage_offset())
    )
    if not isinstance(held, int) or not isinstance(offset, int):
        return False
    return tensor.is_contiguous() and offset == 0 and held == tensor.numel() * tensor.element_size()


def operand_value(node: Node, sizes: Sizes) -> Any:
    """The Value (or size, or plain constant) that stands for a node where others read it."""
    recorded = node.meta["val"]
    if isinstance(recorded, torch.Tensor):
        return Value(node.name, sizes.shape(recorded), to_numpy(recorded.dtype), whole=_is_whole(recorded))
    if isinstance(recorded, (list, tuple)):
        return [operand for operand in recorded]
    return sizes.read(recorded)


__all__ = ["Expr", "Sizes", "arguments", "check", "lower_node", "op_name", "operand_value", "packet"]
