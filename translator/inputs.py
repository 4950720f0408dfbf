"""Further inputs to verify with: other values like the example's, and other lengths of its dynamic axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from torch.utils import _pytree as pytree

from translator.captured import Captured
from translator.reference import flat_inputs, user_input_names


@dataclass(frozen=True)
class Case:
    """One call to compare the two modules with. evaluation: in evaluation mode, of a module that is in training mode."""

    name: str
    args: tuple
    kwargs: Mapping[str, Any]
    evaluation: bool = False


def example(captured: Captured) -> Case:
    """The call that the module was captured with."""
    return Case("example", captured.args, captured.kwargs)


def random(captured: Captured, seed: int) -> Case:
    """A call of the example's shapes, dtypes and ranges of values."""
    return _resampled(captured, f"random {seed}", {}, seed)


def resized(captured: Captured) -> Iterator[Case]:
    """Calls with other lengths of the dynamic axes, the most telling first; torch may refuse any of them.

    The lengths lie within the program's range constraints. Axes that may be one to the module (see `_axes`) keep one length. In
    the first case every axis grows by another amount, so that no two can stand for each other unseen.
    """
    hints = {symbol: int(length) for symbol, length in captured.hints.items()}
    axes = _axes(captured, hints)
    groups = list(dict.fromkeys(axes.values()))
    steps = [{s: n + 1 + groups.index(axes[s]) for s, n in hints.items()}, {s: 2 * n for s, n in hints.items()}]
    steps += [{s: n + 1 for s, n in hints.items()}]
    for step in (lambda n: 2 * n, lambda n: n + 1):
        steps += [{s: step(n) if axes[s] == group else n for s, n in hints.items()} for group in groups]
    steps += [{s: n + step for s, n in hints.items()} for step in (2, 4, 8, 16, 32)]
    steps += [{s: max(n // 2, 1) for s, n in hints.items()}]
    seen = [hints]
    for seed, lengths in enumerate(steps):
        if lengths not in seen and all(_allowed(captured, symbol, n) for symbol, n in lengths.items()):
            seen.append(lengths)
            changed = ", ".join(f"{hints[s]} -> {n}" for s, n in lengths.items() if n != hints[s])
            yield _resampled(captured, f"sizes {changed}", lengths, 100 + seed)


def _axes(captured: Captured, hints: Mapping[sympy.Symbol, int]) -> dict[sympy.Symbol, tuple[int, int]]:
    """What tells axes apart: the length in the example, and its how-manieth axis of that length it is in its array.

    torch.export often leaves two axes free of each other where the module means one (the batch axes of two arguments), and torch
    then runs on unequal ones without a word. Two axes of one array are never one.
    """
    axes: dict[sympy.Symbol, tuple[int, int]] = {}
    for node in _placeholders(captured):
        value = node.meta.get("val")
        here: list[int] = []
        for size in value.shape if isinstance(value, torch.Tensor) else ():
            symbol = size.node.expr if isinstance(size, torch.SymInt) else None
            if symbol in hints:
                axes.setdefault(symbol, (hints[symbol], here.count(hints[symbol])))
                here.append(hints[symbol])
    return {symbol: axes.get(symbol, (length, 0)) for symbol, length in hints.items()}


def _placeholders(captured: Captured) -> list[torch.fx.Node]:
    """The nodes of the flattened call, in order."""
    placeholders = {node.name: node for node in captured.program.graph.nodes if node.op == "placeholder"}
    return [placeholders[name] for name in user_input_names(captured.program)]


def _allowed(captured: Captured, symbol: sympy.Symbol, length: int) -> bool:
    constraint = captured.program.range_constraints.get(symbol)
    return constraint is None or bool(constraint.lower <= length) and bool(length <= constraint.upper)


def _resampled(captured: Captured, name: str, lengths: Mapping[sympy.Symbol, int], seed: int) -> Case:
    leaves, structure = flat_inputs(captured.program, captured.args, captured.kwargs)
    nodes = _placeholders(captured)
    generator = torch.Generator().manual_seed(seed)
    fresh = []
    for leaf, node in zip(leaves, nodes, strict=True):
        if isinstance(leaf, torch.Tensor):
            shape = [_length(size, lengths) for size in node.meta["val"].shape]
            leaf = _sample(leaf.detach(), shape, generator, _rows(node))
        fresh.append(leaf)
    args, kwargs = pytree.tree_unflatten(fresh, structure)
    return Case(name, args, kwargs)


def _rows(node: torch.fx.Node) -> int | None:
    """How many rows the embedding has that an input is looked up in: all of them are to be seen, whatever the example holds."""
    for user in node.users:
        if user.target is torch.ops.aten.embedding.default and user.args[1] is node:
            rows = user.args[0].meta["val"].shape[0]
            return rows if isinstance(rows, int) else None
    return None


def _length(size: Any, lengths: Mapping[sympy.Symbol, int]) -> int | None:
    """An axis's new length; None where it stays."""
    expr = size.node.expr if isinstance(size, torch.SymInt) else None
    return int(expr.xreplace(dict(lengths))) if expr is not None and lengths else None


def _sample(
    example: torch.Tensor, shape: list[int | None], generator: torch.Generator, rows: int | None = None
) -> torch.Tensor:
    """Values like the example's, of another shape. rows: the length of the table that they are indices into, if they are.

    Other integers are drawn from its range, floats with its mean and spread within its range. What may be a mask (booleans, at most
    two values, infinities) keeps its rows: they are repeated to the new lengths, and shuffled along the first axis.
    """
    for axis, length in enumerate(shape):
        if length is not None and length != example.shape[axis]:
            example = example.index_select(axis, torch.arange(length) % example.shape[axis])
    if example.numel() == 0:
        return example.clone()
    mask = (
        example.dtype == torch.bool
        or example.is_complex()
        or example.is_floating_point()
        and not example.isfinite().all()
    )
    if mask or len(torch.unique(example)) <= 2 and example.numel() > 2:
        return example[torch.randperm(len(example), generator=generator)] if example.ndim else example.clone()
    low, high = (example.min(), example.max()) if rows is None else (torch.tensor(0), torch.tensor(rows - 1))
    if not example.is_floating_point():
        return torch.randint(int(low), int(high) + 1, example.shape, generator=generator, dtype=example.dtype)
    wide = example.double()
    noise = torch.randn(example.shape, generator=generator, dtype=torch.float64)
    return (wide.mean() + noise * wide.std(correction=0)).clamp(low.double(), high.double()).to(example.dtype)
