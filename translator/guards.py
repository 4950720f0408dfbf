"""What lengths the translation stands for: axes that were fixed, and conditions that the user's code put on the others.

torch.export specialises: a branch on a length is taken as in the example, and an axis may be fixed for good. The emitted
root refuses what was not translated, as it refuses another value of a baked argument. Conditions that torch's own kernels
note in passing (about strides, say) do not matter to the emitted code and are left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._sympy.numbers import int_oo

from op_table.expr import Attribute, Name, Size, Subscript
from op_table.registry import Unsupported
from translator.lower import packet
from translator.provenance import TORCH
from translator.sizes import SizeWriter

_OF_USERS = (os.path.join(TORCH, "nn", ""), os.path.join(TORCH, "functional.py"))

# torch's own functions that do something else from a length on: a slice is cut where the array ends.
_THAT_MATTER = {"_compute_slice_index"}

# Ops that raise in JAX as in torch where an input has another length along the axis given.
_ENFORCING = {
    **dict.fromkeys(("linear", "matmul", "mm", "lstm", "gru", "rnn_tanh", "rnn_relu"), -1),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), 1),
}


def conditions(
    program: ExportedProgram, inputs: list[Node], hints: Mapping[sympy.Symbol, int]
) -> tuple[sympy.Basic, ...]:
    """The conditions on dynamic lengths under which a program is what its module does, over the symbols of hints."""
    env = next((env for node in inputs if (env := _environment(node)) is not None), None)
    if env is not None and env.guards:
        found = [_replaced(guard.expr, env, hints) for guard in env.guards if _matters(guard)]
    else:  # a program from a file carries ranges alone
        found = list(_ranges(program, hints))
    kept = []
    for condition in (part for joined in found for part in _parts(joined)):
        at_example = condition.xreplace({symbol: sympy.Integer(n) for symbol, n in hints.items()})
        if condition.free_symbols and condition.free_symbols <= hints.keys() and at_example is sympy.true:
            kept.append(condition)
    return tuple(_without_pairs(dict.fromkeys(kept)))


def _parts(condition: sympy.Basic) -> list[sympy.Basic]:
    """The conditions that all must hold, in the same order in every process; sympy has them as a set."""
    return sorted(sympy.And.make_args(_comparisons(condition)), key=str)


def _comparisons(condition: sympy.Basic) -> sympy.Basic:
    """A condition as comparisons joined by and, or; none of them negated."""
    return sympy.to_nnf(condition, simplify=False)


def _without_pairs(found: Iterable[sympy.Basic]) -> Iterator[sympy.Basic]:
    """Two sizes of which neither is greater are equal."""
    bounds = {
        c.lhs - c.rhs if isinstance(c, sympy.Le) else c.rhs - c.lhs: c
        for c in found
        if isinstance(c, (sympy.Le, sympy.Ge))
    }
    done: set[sympy.Basic] = set()
    for condition in found:
        gap = next((gap for gap, bound in bounds.items() if bound is condition), None)
        if gap is None or -gap not in bounds:
            yield condition
        elif -gap not in done:
            done.add(gap)
            yield sympy.Eq(gap, 0)


def _environment(node: Node) -> ShapeEnv | None:
    return getattr(getattr(node.meta.get("val"), "fake_mode", None), "shape_env", None)


def _matters(guard: Any) -> bool:
    frame = getattr(guard.sloc, "framework_loc", None)
    file, function = getattr(frame, "filename", ""), getattr(frame, "name", "")
    if function in _THAT_MATTER:
        return True
    if file.startswith(_OF_USERS):  # torch.nn compares lengths to raise where they differ, which JAX does as well
        return not isinstance(guard.expr, (sympy.Eq, sympy.Ne))
    return not file.startswith(TORCH)


def _replaced(expr: sympy.Basic, env: ShapeEnv, hints: Mapping[sympy.Symbol, int]) -> sympy.Basic:
    """expr with each symbol that the trace found to be equal to others replaced by those."""
    for _ in range(8):
        known = {s: env.replacements[s] for s in expr.free_symbols - hints.keys() if s in env.replacements}
        if not known:
            break
        expr = expr.xreplace(known)
    return expr


def _ranges(program: ExportedProgram, hints: Mapping[sympy.Symbol, int]) -> Iterator[sympy.Basic]:
    for symbol, span in program.range_constraints.items():
        if symbol in hints and span.lower > 2:
            yield sympy.Ge(symbol, span.lower, evaluate=False)
        if symbol in hints and span.upper != int_oo:
            yield sympy.Le(symbol, span.upper, evaluate=False)


def fixed_axes(node: Node) -> dict[int, int]:
    """The lengths of an input that are fixed, by axis, without those that what reads it enforces."""
    shape = [length(size) for size in node.meta["val"].shape]
    fixed = {axis: size for axis, size in enumerate(shape) if isinstance(size, int)}
    for user in node.users:
        last = [reader for reader in user.users if packet(user) == "movedim" and _is_channels_last(reader)]
        if packet(user) in _ENFORCING and user.args[0] is node or any(packet(reader) in _ENFORCING for reader in last):
            fixed.pop(_ENFORCING.get(packet(user), 1) % len(shape), None)
    return fixed


def _is_channels_last(node: Node) -> bool:
    """Whether a node is an op on channels-last arrays, as which the layout pass has it read what it moves to that order."""
    return packet(node) != "" and node.target.namespace == "channels_last"


def lines(
    inputs: Sequence[tuple[str, Node]],
    found: Iterable[sympy.Basic],
    text: Callable[[Any], str],
    dims: Callable[[Any], str],
) -> list[str]:
    """Code that raises ValueError for lengths that were not translated.

    inputs: each array argument as code names it, with its node. text: an expression as code. dims: a length in words.
    """
    code = []
    writer = SizeWriter(_unknown)
    for name, node in inputs:
        for axis, size in enumerate(node.meta["val"].shape):
            if isinstance(length(size), Size):
                writer.shown.setdefault(size.node.expr, Subscript(Attribute(Name(name), "shape"), axis))
        code += _fixed_lines(name, node, dims)
    for condition in found:
        otherwise = _comparisons(sympy.Not(condition))
        wanted, refused = _condition(condition, writer, text), _condition(otherwise, writer, text)
        code += [f"    if {refused}:", f"        raise ValueError({f'translated for {wanted}'!r})"]
    return code


def _fixed_lines(name: str, node: Node, dims: Callable[[Any], str]) -> list[str]:
    fixed, shape = fixed_axes(node), [length(size) for size in node.meta["val"].shape]
    if not fixed:
        return []
    first, last = min(fixed), max(fixed)
    tests = [f"{name}.shape[{axis}] != {size}" for axis, size in fixed.items()]
    if len(fixed) > 1 and len(fixed) == last + 1 - first:
        cut = f"[{first or ''}:{last + 1 if last + 1 < len(shape) else ''}]" if len(fixed) < len(shape) else ""
        tests = [f"{name}.shape{cut} != {tuple(fixed.values())}"]
    lengths = ", ".join(map(dims, shape))
    message = f"{name} must be of shape ({lengths}{',' if len(shape) == 1 else ''})"
    return [f"    if {' or '.join(tests)}:", f"        raise ValueError({message!r})"]


def length(size: Any) -> int | Size:
    """A length as an int where it is fixed, which torch also writes as a symbolic integer."""
    if not isinstance(size, torch.SymInt):
        return size
    return int(size.node.expr) if size.node.expr.is_Integer else Size(size.node.expr, 0)


def _condition(condition: sympy.Basic, writer: SizeWriter, text: Callable[[Any], str]) -> str:
    if isinstance(condition, (sympy.And, sympy.Or)):
        parts = [f"({_condition(part, writer, text)})" for part in sorted(condition.args, key=str)]
        return (" and " if isinstance(condition, sympy.And) else " or ").join(parts)
    return text(writer.condition(condition))


def _unknown(expr: sympy.Expr) -> Any:
    raise Unsupported(f"the size {expr} is the length of no argument's axis")
