"""Checks op rules against torch: a function is exported, each of its nodes is lowered by its rule, and what the rules built is run."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch

from op_table.expr import Expr, RandomKey, Size, Value, evaluate
from tests.function import Function
from translator import arrays, fake_kernels
from translator.lower import Sizes, lower_node, operand_value
from translator.source import Printer

# float32 results of one op differ by rounding alone; a few ops sum over hundreds of terms.
TOLERANCE = {"float32": 2e-5, "float16": 2e-3, "bfloat16": 2e-2, "complex64": 2e-5}


class _Printer(Printer):
    def _literal(self, part: Any) -> tuple[str, int]:
        return ("key", 10) if isinstance(part, RandomKey) else super()._literal(part)


def to_array(tensor: torch.Tensor) -> jax.Array:
    return jax.device_put(arrays.to_array(tensor))  # jnp.asarray would compile a program for every shape


def lowered(function: Callable, *tensors: torch.Tensor, compiled: bool = True) -> tuple[Any, list[str]]:
    """What the rules make of function on tensors, and the ops that were lowered."""
    with fake_kernels.installed():
        program = torch.export.export(Function(function), tensors, strict=False)
    sizes = Sizes({})
    env: dict[Any, Any] = {}
    given: dict[str, Any] = {}
    feeds = iter(tensors)
    kinds = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    steps: list[tuple[str, Callable]] = []
    ops = []
    returned = None
    printer = _Printer(lambda value: value.name, lambda function: function.__name__)
    for node in program.graph.nodes:
        if node.op == "placeholder":
            spec = kinds[node.name]
            tensor = next(feeds) if spec.kind.name == "USER_INPUT" else program.constants.get(spec.target)
            if tensor is None:
                tensor = program.state_dict[spec.target]
            env[node] = operand_value(node, sizes)
            given[node.name] = to_array(tensor)
        elif node.target is operator.getitem:
            source, index = node.args
            env[node] = operand_value(node, sizes)
            steps.append((node.name, lambda known, source=source.name, index=index: known[source][index]))
        elif node.op == "call_function" and node.meta["val"] is None:
            continue  # an assertion on what is known while exporting
        elif node.op == "call_function":
            result = lower_node(node, env.__getitem__, sizes)
            jax.tree.map(printer.text, result, is_leaf=lambda part: isinstance(part, Expr))
            ops.append(str(node.target))
            steps.append((node.name, lambda known, result=result: evaluate(result, known)))
            env[node] = operand_value(node, sizes)
        elif node.op == "output":
            returned = node.args[0]

    def run(known: dict[str, Any]) -> Any:
        for name, step in steps:
            known[name] = step(known)
        return torch.fx.map_arg(returned, lambda n: known[n.name])

    return (jax.jit(run) if compiled else run)(given), ops


def check(function: Callable, *tensors: torch.Tensor, op: str | None = None, tolerance: float | None = None) -> None:
    """Assert that the rules' result equals torch's: shapes, dtypes (as JAX holds them), NaN places and values.

    op: the op that must have been lowered (`aten.add.Tensor`), so that a test cannot pass by exporting to something else.
    tolerance: relative to the largest magnitude of the result; by dtype unless given.
    """
    expected = torch.utils._pytree.tree_leaves(function(*(t.clone() for t in tensors)))
    output, ops = lowered(function, *tensors)
    found = jax.tree.leaves(output)
    assert op is None or op in ops, f"{op} is not among the lowered ops {ops}"
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        compare(ours, theirs, tolerance)


def compare(ours: jax.Array, theirs: torch.Tensor, tolerance: float | None = None) -> None:
    """Assert that an array equals a tensor, as `check` does."""
    theirs = to_array(theirs)
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, (ours.aval, theirs.aval)
    wide = np.complex128 if ours.dtype.kind == "c" else np.float64
    a, b = np.asarray(ours).astype(wide), np.asarray(theirs).astype(wide)
    if theirs.dtype.kind in "biu":
        np.testing.assert_array_equal(a, b)
    else:
        bound = tolerance if tolerance is not None else TOLERANCE.get(str(theirs.dtype), 1e-9)
        finite = np.abs(b[np.isfinite(b)])
        np.testing.assert_allclose(a, b, rtol=bound, atol=bound * (finite.max() if finite.size else 1.0))


__all__ = ["Size", "Value", "check", "compare", "lowered", "to_array"]
