"""Capture: a module and its example inputs become a functional FX graph with provenance.

torch.export does the tracing, and what it gives becomes one graph in `traced`. Shapes are dynamic wherever it finds that
legal; what a module returns in classes that torch does not know (caches, dataclasses) is registered.
"""

from __future__ import annotations

import contextlib
import inspect
import random
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import sympy
import torch
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.export.graph_signature import InputKind
from torch.fx import Graph, Node
from torch.utils import _pytree as pytree

from translator import (
    averages,
    fake_kernels,
    generated,
    guards,
    items,
    multihead,
    pytrees,
    recurrent_shapes,
    remat,
    stack_traces,
    whole_ops,
)
from translator.captured import Captured, in_training
from translator.errors import CaptureError
from translator.gradients import keep_needed
from translator.parameters import recorded
from translator.traced import explain, in_both_modes, quietly, thread, traced


def capture(
    module: torch.nn.Module | ExportedProgram,
    args: tuple = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = "auto",
) -> Captured:
    """Trace module on example inputs.

    dynamic_shapes: "auto" (every axis of every tensor is dynamic where torch.export finds that legal), None (all fixed),
    or what torch.export.export takes. An ExportedProgram is taken as it is, with its own example inputs unless given.
    Raises CaptureError with what in the module stands in the way.
    """
    started = time.perf_counter()
    args, kwargs = tuple(args), dict(kwargs or {})
    notes: list[str] = []
    if isinstance(module, ExportedProgram):
        program, source = module, None
        if not args and not kwargs and program.example_inputs:
            args, kwargs = program.example_inputs
    else:
        program, source = _export(module, args, kwargs, dynamic_shapes, notes), module
    seconds = time.perf_counter() - started
    found = traced(program)
    evaluation = _evaluation(source, args, kwargs, found.program, notes) if in_training(source) else None
    merged = in_both_modes(found, evaluation, notes) if evaluation is not None else None
    if evaluation is not None and merged is None:
        found, evaluation = traced(program), None  # what was to be merged is no graph of one mode any more
    if merged is None:
        thread(found, found.mutated)
    graph, program, targets = found.graph, found.program, found.targets
    notes += found.notes
    remat.wrap(graph, targets.keys())
    specs = program.graph_signature.input_specs
    tensors = {**found.constants, **program.constants, **program.state_dict}
    state = dict(source.state_dict(keep_vars=True)) if source is not None else dict(program.state_dict)
    state = {name: tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}
    non_persistent = {s.target for s in specs if s.kind is InputKind.BUFFER and not s.persistent}
    kinds = (InputKind.PARAMETER, InputKind.USER_INPUT)
    items.keep_as_arrays(graph)
    keep_needed(graph, {s.arg.name for s in specs if s.kind in kinds})
    hints = _hints(graph, args, kwargs, program)
    notes += _fixed_axes(program, args, kwargs, hints, dynamic_shapes)
    conditions = guards.conditions(program, user_inputs(graph, program), hints)
    if evaluation is not None:
        conditions += guards.conditions(evaluation, user_inputs(graph, program), hints)
    return Captured(
        graph=graph,
        program=program,
        evaluation=evaluation,
        evaluation_returns=found.evaluation_returns,
        args=tuple(args),
        kwargs=dict(kwargs),
        state=state,
        targets=targets,
        tensors=tensors,
        persistent=frozenset(state) - non_persistent,
        mutated=found.mutated,
        hints=hints,
        module=source,
        class_name=type(source).__name__ if source is not None else "Model",
        conditions=tuple(dict.fromkeys(conditions)),
        notes=tuple(notes),
        seconds=seconds,
    )


def _evaluation(
    module: torch.nn.Module, args: tuple, kwargs: dict, training: ExportedProgram, notes: list[str]
) -> ExportedProgram | None:
    """What a module that is in training mode does in evaluation mode, its axes dynamic where they are in training.

    None where torch.export cannot tell.
    """
    modes = {child: child.training for child in module.modules()}
    try:
        module.eval()
        return _export(module, args, kwargs, _same_axes(module, args, kwargs, training), [])
    except CaptureError as error:
        notes.append(f"evaluation mode could not be traced beside training mode: {str(error).splitlines()[0][:200]}")
        return None
    finally:
        for child, mode in modes.items():
            child.training = mode


def _same_axes(module: torch.nn.Module, args: tuple, kwargs: dict, program: ExportedProgram) -> Any:
    """The dynamic axes of a program as torch.export takes them."""
    args, kwargs = _distinct(args, kwargs)
    values = (node.meta.get("val") for node in user_inputs(program.graph, program))
    pairs = zip(pytree.tree_leaves((args, kwargs)), values, strict=True)
    axes = [
        (leaf, [axis for axis, size in enumerate(value.shape) if isinstance(size, torch.SymInt)])
        for leaf, value in pairs
        if isinstance(value, torch.Tensor)
    ]
    return _dynamic(module, args, kwargs, axes)


def _export(
    module: torch.nn.Module, args: tuple, kwargs: dict, dynamic_shapes: Any, notes: list[str]
) -> ExportedProgram:
    pytrees.register(args, kwargs)
    args, kwargs = _distinct(args, kwargs)

    def export(shapes: Any) -> ExportedProgram:
        patches = [
            stack_traces.whole(),
            recurrent_shapes.analytic(),
            multihead.written_out(module),  # before recorded puts hooks on its layers
            recorded(module),
            whole_ops.kept(),
            remat.recorded(),
            fake_kernels.installed(),
            averages.traceable(),
        ]
        with contextlib.ExitStack() as stack, generated.recorded() as bodies:
            for patch in patches:
                stack.enter_context(patch)
            before = _generators()
            program = quietly(lambda: torch.export.export(module, args, kwargs, dynamic_shapes=shapes, strict=False))
            if drawn := [name for name, state in _generators().items() if state != before[name]]:
                raise CaptureError(
                    f"forward draws from {drawn[0]}'s random generator, and what it draws while it is traced would be the "
                    "same in every call of the emitted module: turn that off, draw it outside and pass it, or use torch's"
                )
        bodies.restore(program.graph_module, module)
        return program

    def attempt(shapes: Any) -> ExportedProgram:
        try:
            return export(shapes)
        except Exception as error:
            if "not a known type" not in str(error) and "pytree" not in str(error):
                raise
        with torch.no_grad():
            pytrees.register(quietly(lambda: module(*args, **kwargs)))
        return export(shapes)

    if dynamic_shapes != "auto":
        try:
            return attempt(dynamic_shapes)
        except CaptureError:
            raise
        except Exception as error:
            raise CaptureError(explain(error)) from error
    try:
        tensors = (leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor))
        return attempt(_dynamic(module, args, kwargs, [(tensor, range(tensor.ndim)) for tensor in tensors]))
    except CaptureError:
        raise
    except Exception as dynamic_error:
        try:
            program = attempt(None)
        except Exception as error:
            raise CaptureError(explain(error)) from error
        reason = str(dynamic_error).strip().splitlines() or [type(dynamic_error).__name__]
        notes.append(f"all shapes are fixed to the example's: torch.export refused dynamic ones ({reason[0][:200]})")
        return program


def _generators() -> dict[str, Any]:
    """The states of the random generators that no trace records."""
    name, words, *rest = np.random.get_state()
    return {"numpy": (name, words.tobytes(), *rest), "Python": random.getstate()}


def _distinct(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """The same call with a tensor that it holds twice copied: torch.export would take the second place for both."""
    leaves, structure = pytree.tree_flatten((args, kwargs))
    seen: set[int] = set()
    for position, leaf in enumerate(leaves):
        if isinstance(leaf, torch.Tensor):
            leaves[position] = leaf.clone() if id(leaf) in seen else leaf
            seen.add(id(leaf))
    return pytree.tree_unflatten(leaves, structure)


def _dynamic(
    module: torch.nn.Module, args: tuple, kwargs: dict, axes: Iterable[tuple[torch.Tensor, Iterable[int]]]
) -> Any:
    """What torch.export takes to try these axes of the tensors in a call as dynamic; None where there are none."""
    shapes = ShapesCollection()
    for tensor, places in axes:
        if auto := dict.fromkeys(places, Dim.AUTO):
            shapes[tensor] = auto
    return shapes.dynamic_shapes(module, args, kwargs) if len(shapes._shapes) else None


def user_inputs(graph: Graph, program: ExportedProgram) -> list[Node]:
    """The placeholders that stand for the flattened user inputs, in order."""
    names = [s.arg.name for s in program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT]
    placeholders = {node.name: node for node in graph.nodes if node.op == "placeholder"}
    return [placeholders[name] for name in names]


def _hints(graph: Graph, args: tuple, kwargs: Mapping[str, Any], program: ExportedProgram) -> dict[sympy.Symbol, int]:
    hints: dict[sympy.Symbol, int] = {}
    leaves = pytree.tree_leaves((args, kwargs)) if args or kwargs else [None] * len(user_inputs(graph, program))
    for node, leaf in zip(user_inputs(graph, program), leaves, strict=False):
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor):
            continue
        for axis, size in enumerate(value.shape):
            expr = size.node.expr if isinstance(size, torch.SymInt) else None
            if isinstance(expr, sympy.Symbol):
                hints[expr] = leaf.shape[axis] if isinstance(leaf, torch.Tensor) else size.node.hint
    return hints


def _fixed_axes(
    program: ExportedProgram, args: tuple, kwargs: Mapping, hints: Mapping, dynamic_shapes: Any
) -> list[str]:
    """A note for each axis that was asked to be dynamic, and that torch.export fixed."""
    if dynamic_shapes != "auto" or not hints:
        return []
    notes = []
    for node in user_inputs(program.graph, program):
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor):
            sizes = [(axis, guards.length(size)) for axis, size in enumerate(value.shape)]
            for axis, size in sizes:
                if not isinstance(size, int):
                    continue
                why = (
                    "the example's length is one, which torch.export always fixes"
                    if size == 1
                    else "the module needs it"
                )
                notes.append(f"axis {axis} of {node.name} is fixed to {size}: {why}")
    return notes


def forward_parameters(module: torch.nn.Module | None) -> list[inspect.Parameter]:
    """The parameters of forward, without self; empty where there is no module."""
    return list(inspect.signature(module.forward).parameters.values()) if module is not None else []


__all__ = ["capture", "forward_parameters", "user_inputs"]
