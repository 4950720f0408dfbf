"""Capture: a module and its example inputs become a functional FX graph with provenance.

torch.export does the tracing. Shapes are dynamic wherever it finds that legal; what runs without gradients or under autocast
is inlined, the bodies of control flow become regions of the graph (see `regions`); what a module returns in classes that
torch does not know (caches, dataclasses) is registered.
"""

from __future__ import annotations

import contextlib
import inspect
import time
import warnings
from collections.abc import Mapping
from typing import Any

import sympy
import torch
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Graph, Node
from torch.utils import _pytree as pytree

from translator import (
    fake_kernels,
    generated,
    guards,
    pytrees,
    recurrent_shapes,
    regions,
    remat,
    stack_traces,
    whole_ops,
)
from translator.autocast import Autocast
from translator.captured import Captured
from translator.errors import CaptureError
from translator.functionalise import Undecided, replace_in_place
from translator.gradients import keep_needed, stopped
from translator.logs import quiet
from translator.parameters import recorded
from translator.torch_functionalise import decompositions

_INLINED = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4}


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
    notes: list[str] = []
    if isinstance(module, ExportedProgram):
        program, source = module, None
        if not args and not kwargs and program.example_inputs:
            args, kwargs = program.example_inputs
    else:
        program, source = _export(module, tuple(args), dict(kwargs or {}), dynamic_shapes, notes), module
    seconds = time.perf_counter() - started
    try:
        graph = regions.expand(_functional_graph(program.graph, program.graph_module), _functional_graph)
    except Undecided:
        program = _functionalised(program)
        graph = regions.expand(_prepared_graph(program.graph, program.graph_module), _prepared_graph)
        _refuse_mutation(program, notes)
    specs = program.graph_signature.input_specs
    targets = {s.arg.name: s.target for s in specs if s.kind is not InputKind.USER_INPUT and s.target}
    constants = regions.lift_constants(graph)
    targets |= {name: name for name in constants}
    remat.wrap(graph, targets.keys())
    tensors = {**constants, **program.constants, **program.state_dict}
    state = dict(source.state_dict(keep_vars=True)) if source is not None else dict(program.state_dict)
    state = {name: tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}
    non_persistent = {s.target for s in specs if s.kind is InputKind.BUFFER and not s.persistent}
    kinds = (InputKind.PARAMETER, InputKind.USER_INPUT)
    keep_needed(graph, {s.arg.name for s in specs if s.kind in kinds})
    hints = _hints(graph, args, kwargs or {}, program)
    notes += _fixed_axes(program, args, kwargs or {}, hints, dynamic_shapes)
    return Captured(
        graph=graph,
        program=program,
        args=tuple(args),
        kwargs=dict(kwargs or {}),
        state=state,
        targets=targets,
        tensors=tensors,
        persistent=frozenset(state) - non_persistent,
        hints=hints,
        module=source,
        class_name=type(source).__name__ if source is not None else "Model",
        conditions=guards.conditions(program, user_inputs(graph, program), hints),
        notes=tuple(notes),
        seconds=seconds,
    )


def _export(
    module: torch.nn.Module, args: tuple, kwargs: dict, dynamic_shapes: Any, notes: list[str]
) -> ExportedProgram:
    pytrees.register(args, kwargs)
    args, kwargs = _distinct(args, kwargs)

    def export(shapes: Any) -> ExportedProgram:
        patches = [
            stack_traces.whole(),
            recurrent_shapes.analytic(),
            recorded(module),
            whole_ops.kept(),
            remat.recorded(),
            fake_kernels.installed(),
        ]
        with contextlib.ExitStack() as stack, generated.recorded() as bodies:
            for patch in patches:
                stack.enter_context(patch)
            program = _quietly(lambda: torch.export.export(module, args, kwargs, dynamic_shapes=shapes, strict=False))
        bodies.restore(program.graph_module, module)
        return program

    def attempt(shapes: Any) -> ExportedProgram:
        try:
            return export(shapes)
        except Exception as error:
            if "not a known type" not in str(error) and "pytree" not in str(error):
                raise
        with torch.no_grad():
            pytrees.register(_quietly(lambda: module(*args, **kwargs)))
        return export(shapes)

    if dynamic_shapes != "auto":
        try:
            return attempt(dynamic_shapes)
        except Exception as error:
            raise CaptureError(explain(error)) from error
    try:
        return attempt(_all_dynamic(module, args, kwargs))
    except Exception as dynamic_error:
        try:
            program = attempt(None)
        except Exception as error:
            raise CaptureError(explain(error)) from error
        reason = str(dynamic_error).strip().splitlines() or [type(dynamic_error).__name__]
        notes.append(f"all shapes are fixed to the example's: torch.export refused dynamic ones ({reason[0][:200]})")
        return program


def _distinct(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """The same call with a tensor that it holds twice copied: torch.export would take the second place for both."""
    leaves, structure = pytree.tree_flatten((args, kwargs))
    seen: set[int] = set()
    for position, leaf in enumerate(leaves):
        if isinstance(leaf, torch.Tensor):
            leaves[position] = leaf.clone() if id(leaf) in seen else leaf
            seen.add(id(leaf))
    return pytree.tree_unflatten(leaves, structure)


def _all_dynamic(module: torch.nn.Module, args: tuple, kwargs: dict) -> Any:
    shapes = ShapesCollection()
    for leaf in pytree.tree_leaves((args, kwargs)):
        if isinstance(leaf, torch.Tensor) and leaf.ndim:
            shapes[leaf] = {axis: Dim.AUTO for axis in range(leaf.ndim)}
    return shapes.dynamic_shapes(module, args, kwargs) if len(shapes._shapes) else None


def _quietly(function: Any) -> Any:
    """torch.export logs and warns about what it then handles."""
    with (
        warnings.catch_warnings(),
        quiet("torch.fx.experimental.symbolic_shapes"),
        quiet("torch.export"),
        quiet("torch._export.non_strict_utils"),
    ):
        warnings.simplefilter("ignore")
        return function()


def explain(error: Exception) -> str:
    """What a user can do about an error of torch.export."""
    text = str(error).strip()
    name = type(error).__name__
    if "data-dependent" in text or "GuardOnDataDependent" in name or "UnbackedSymInt" in name:
        advice = (
            "forward branches on, or sizes an array by, the values in a tensor, which no trace can follow (nor can jax.jit). "
            "Use torch.where for a choice between values, torch.cond for a branch, a mask in place of a variable-length result, "
            "and pass numbers that steer the program as Python ints"
        )
    elif "not a known type" in text or "pytree" in text:
        advice = "an input or output is of a class that torch does not flatten: register it with torch.export.register_dataclass"
    elif "mutat" in text or "assign" in text.lower() and "attribute" in text.lower():
        advice = "forward assigns to attributes of the module: return the value, or register it as a buffer and update that in place"
    else:
        advice = "torch.export could not trace the module; this is what it said"
    return f"{advice}.\n{name}: {text[:2000]}"


def inline_regions(graph: Graph, owner: torch.nn.Module) -> Graph:
    """A copy of graph in which what runs without gradients, or with or without autocast, is part of the graph around it."""
    copy = Graph()

    def add(source: Graph, holder: torch.nn.Module, bound: dict[Node, Any], autocast: Autocast | None = None) -> Any:
        for node in source.nodes:
            if node in bound:
                continue
            name = getattr(node.target, "__name__", "") if node.op == "call_function" else ""
            if name in _INLINED:
                flags, (body, *inner) = node.args[: _INLINED[name]], node.args[_INLINED[name] :]
                casting = autocast
                if name == "wrap_with_autocast":
                    device, dtype, enabled = flags[:3]
                    casting = Autocast(device, dtype or torch.get_autocast_dtype(device)) if enabled else None
                submodule = getattr(holder, body.target)
                feeds = [bound.get(arg, arg) if isinstance(arg, Node) else arg for arg in inner]
                inputs = [n for n in submodule.graph.nodes if n.op == "placeholder"]
                results = add(submodule.graph, submodule, dict(zip(inputs, feeds, strict=True)), casting)
                without = name == "wrap_with_set_grad_enabled" and not flags[0]
                bound[node] = stopped(copy, results) if without else results
            elif node.op == "call_function" and name == "getitem" and isinstance(bound[node.args[0]], (tuple, list)):
                bound[node] = bound[node.args[0]][node.args[1]]
            elif node.op == "get_attr" and isinstance(getattr(holder, str(node.target), None), torch.nn.Module):
                bound[node] = copy.node_copy(node)
                bound[node].meta[regions.BODY] = getattr(holder, node.target)
            elif node.op == "get_attr" and isinstance(getattr(holder, str(node.target), None), torch.Tensor):
                bound[node] = copy.node_copy(node)
                bound[node].meta[regions.CONSTANT] = getattr(holder, node.target)
            elif node.op == "output":
                return torch.fx.node.map_arg(node.args[0], bound.__getitem__)
            else:
                bound[node] = copy.node_copy(node, bound.__getitem__)
                if autocast is not None and node.op == "call_function":
                    autocast.cast(copy, bound[node])
                if node.op == "placeholder":
                    bound[node].name = node.name  # a graph gives no node the name of a builtin, as `input` is
        raise CaptureError("a region of the graph has no output")

    result = add(graph, owner, {})
    copy.output(result)
    for node in reversed(list(copy.nodes)):
        if regions.BODY in node.meta and not node.users:
            copy.erase_node(node)
    return copy


def _prepared_graph(graph: Graph, owner: torch.nn.Module) -> Graph:
    copy = inline_regions(graph, owner)
    regions.prepare(copy)
    return copy


def _functionalised(program: ExportedProgram) -> ExportedProgram:
    """program by torch's own functionalisation."""
    table = decompositions(program.graph)
    try:
        return _quietly(lambda: program.run_decompositions(table))
    except Exception as error:
        raise CaptureError(explain(error)) from error


def _functional_graph(graph: Graph, owner: torch.nn.Module) -> Graph:
    """A copy of graph without no-grad regions and in-place ops. Raises Undecided where `replace_in_place` cannot tell."""
    copy = _prepared_graph(graph, owner)
    if not replace_in_place(copy):
        raise Undecided
    return copy


def _refuse_mutation(program: ExportedProgram, notes: list[str]) -> None:
    mutated = [s.target for s in program.graph_signature.output_specs if s.kind is OutputKind.BUFFER_MUTATION]
    if mutated:
        raise CaptureError(
            f"forward updates buffers ({', '.join(map(str, mutated))}), and the emitted module would not: "
            "call module.eval() first if it is batch norm in training mode, or return the new values"
        )
    for spec in program.graph_signature.output_specs:
        if spec.kind is OutputKind.USER_INPUT_MUTATION:
            notes.append(
                f"torch writes into the argument {spec.target}; the emitted module leaves its arguments as they are"
            )


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


__all__ = ["capture", "explain", "forward_parameters", "inline_regions", "user_inputs"]
