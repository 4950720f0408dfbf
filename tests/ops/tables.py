"""Tables of checks: many rows (an op, a function that calls it, its tensors) in one export, which is what takes the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import torch

from tests.ops.harness import compare, lowered

Row = tuple[str, Callable, Sequence[torch.Tensor]]


def check_table(rows: Sequence[Row], tolerance: float | None = None) -> None:
    """Assert that the rules of every row give what torch gives, as `harness.check` does, and nothing weakly typed.

    A weakly typed array would let the next operand decide the dtype, where torch lets both.
    """

    def run(*tensors: torch.Tensor) -> list[Any]:
        feed = iter(tensors)
        return [function(*(next(feed) for _ in inputs)) for _, function, inputs in rows]

    tensors = [tensor.clone() for _, _, inputs in rows for tensor in inputs]
    expected = run(*(tensor.clone() for tensor in tensors))
    outputs, ops = lowered(run, *tensors)
    missing = {op for op, _, _ in rows} - set(ops)
    assert not missing, f"not lowered: {sorted(missing)}, but {sorted(set(ops))}"
    found = iter(jax.tree.leaves(outputs))
    failures = []
    for number, ((op, _, _), theirs) in enumerate(zip(rows, expected, strict=True)):
        for wanted in torch.utils._pytree.tree_leaves(theirs):
            ours = next(found)
            try:
                assert not ours.weak_type, f"weakly typed: {ours.aval}"
                compare(ours, wanted, tolerance)
            except AssertionError as error:
                failures.append(f"row {number}, {op}: {str(error).strip()[:600]}")
    assert not failures, "\n".join(failures)


def double(rows: Sequence[Row]) -> list[Row]:
    """The rows with float64 for float32."""
    return [(op, f, [t.double() if t.dtype == torch.float32 else t for t in inputs]) for op, f, inputs in rows]


def check_both(rows: Sequence[Row], tolerance: float = 1e-12) -> None:
    """`check_table`, and again in float64 with JAX in its 64-bit mode."""
    check_table(rows)
    with jax.enable_x64(True):
        check_table(double(rows), tolerance)
