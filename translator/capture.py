"""Capture: a module and its example inputs become a functional FX graph with provenance.

torch.export does the tracing. Shapes are dynamic wherever it finds that legal; what runs without gradients or under autocast
is inlined, the bodies of control flow become regions of the graph (see `regions`); what a module returns in classes that
torch does not know (caches, dataclasses) is registered.
"""

from __future__ import annotations

import contextlib
import inspect
import random
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy
import torch
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Graph, Node
from torch.utils import _pytree as pytree

from translator import (
    averages,
    fake_kernels,
    generated,
    guards,
    modes,
    pytrees,
    recurrent_shapes,
    regions,
    remat,
    stack_traces,
    statistics,
    whole_ops,
)
from translator import (
    state as state_of,
)
from translator.autocast import Autocast
from translator.captured import Captured, in_training
from translator.errors import CaptureError, Undecided
from translator.functionalise import replace_in_place
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
    args, kwargs = tuple(args), dict(kwargs or {})
    notes: list[str] = []
    if isinstance(module, ExportedProgram):
        program, source = module, None
        if not args and not kwargs and program.example_inputs:
            args, kwargs = program.example_inputs
    else:
        program, source = _export(module, args, kwargs, dynamic_shapes, notes), module
    seconds = time.perf_counter() - started
    traced = _traced(program)
    evaluation = _evaluation(source, args, kwargs, traced.program, notes) if in_training(source) else None
    merged = _in_both_modes(traced, evaluation, notes) if evaluation is not None else None
    if merged is None:
        traced, evaluation = _traced(program), None
        _thread(traced, traced.mutated)
    else:
        traced = merged
    graph, program, targets = traced.graph, traced.program, traced.targets
    notes += traced.notes
    remat.wrap(graph, targets.keys())
    specs = program.graph_signature.input_specs
    tensors = {**traced.constants, **program.constants, **program.state_dict}
    state = dict(source.state_dict(keep_vars=True)) if source is not None else dict(program.state_dict)
    state = {name: tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}
    non_persistent = {s.target for s in specs if s.kind is InputKind.BUFFER and not s.persistent}
    kinds = (InputKind.PARAMETER, InputKind.USER_INPUT)
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
        evaluation_returns=traced.evaluation_returns,
        args=tuple(args),
        kwargs=dict(kwargs),
        state=state,
        targets=targets,
        tensors=tensors,
        persistent=frozenset(state) - non_persistent,
        mutated=traced.mutated,
        hints=hints,
        module=source,
        class_name=type(source).__name__ if source is not None else "Model",
        conditions=tuple(dict.fromkeys(conditions)),
        notes=tuple(notes),
        seconds=seconds,
    )


@dataclass
class _Traced:
    """A program as a functional graph. finals: what each buffer that it writes to holds in the end. targets: see Captured.

    constants: the tensors that no program carries, which control flow or evaluation brought in. notes: for the user.
    """

    program: ExportedProgram
    graph: Graph
    finals: dict[Node, Node]
    targets: dict[str, str]
    constants: dict[str, torch.Tensor]
    notes: list[str] = field(default_factory=list)
    evaluation_returns: int = 0

    def __post_init__(self) -> None:
        self.mutated = tuple(self.targets[buffer.name] for buffer in self.finals)

    def loose(self) -> dict[str, torch.Tensor]:
        """The tensors of the placeholders that are no parameters, buffers or inputs."""
        known = {**self.program.constants, **self.constants}
        specs = self.program.graph_signature.input_specs
        held = {s.arg.name for s in specs if s.kind in (InputKind.PARAMETER, InputKind.BUFFER)}
        return {name: known[t] for name, t in self.targets.items() if name not in held and t in known}


def _traced(program: ExportedProgram) -> _Traced:
    notes: list[str] = []
    try:
        graph, finals = _functional(program)
    except Undecided:
        program = _functionalised(program)
        graph = regions.expand(_prepared_graph(program.graph, program.graph_module), _prepared_graph)
        finals = _mutated(program, graph, notes)
    specs = program.graph_signature.input_specs
    targets = {s.arg.name: s.target for s in specs if s.kind is not InputKind.USER_INPUT and s.target}
    constants = regions.lift_constants(graph)
    targets |= {name: name for name in constants}
    return _Traced(program, graph, finals, targets, constants, notes)


def _thread(traced: _Traced, mutated: tuple[str, ...]) -> None:
    """Let the buffers of these names be state."""
    if mutated:
        of = {traced.targets.get(node.name): node for node in traced.graph.nodes if node.op == "placeholder"}
        state_of.thread(traced.graph, [of[name] for name in mutated], traced.finals, traced.targets)


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
    shapes = ShapesCollection()
    args, kwargs = _distinct(args, kwargs)
    for leaf, node in zip(pytree.tree_leaves((args, kwargs)), user_inputs(program.graph, program), strict=True):
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor):
            axes = [axis for axis, size in enumerate(value.shape) if isinstance(size, torch.SymInt)]
            if axes:
                shapes[leaf] = dict.fromkeys(axes, Dim.AUTO)
    return shapes.dynamic_shapes(module, args, kwargs) if len(shapes._shapes) else None


def _in_both_modes(training: _Traced, evaluation: ExportedProgram, notes: list[str]) -> _Traced | None:
    """training with what evaluation does otherwise; None, and a note, where the two cannot be told apart in one graph."""
    other = _traced(evaluation)
    mutated = tuple(dict.fromkeys((*training.mutated, *other.mutated)))
    try:
        same_structure = training.program.call_spec.out_spec == evaluation.call_spec.out_spec
        for traced in (training, other):
            _thread(traced, mutated)
        merged = modes.merge(training.graph, other.graph, training.loose(), other.loose(), same_structure)
    except modes.Unmatched as reason:
        notes.append(f"the emitted module does in evaluation mode what it does in training mode: {reason}")
        return None
    training.constants |= merged.added
    training.targets |= {name: name for name in merged.added}
    training.mutated, training.evaluation_returns = mutated, merged.returned_apart
    return training


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
            averages.traceable(),
        ]
        with contextlib.ExitStack() as stack, generated.recorded() as bodies:
            for patch in patches:
                stack.enter_context(patch)
            before = _generators()
            program = _quietly(lambda: torch.export.export(module, args, kwargs, dynamic_shapes=shapes, strict=False))
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
            pytrees.register(_quietly(lambda: module(*args, **kwargs)))
        return export(shapes)

    if dynamic_shapes != "auto":
        try:
            return attempt(dynamic_shapes)
        except CaptureError:
            raise
        except Exception as error:
            raise CaptureError(explain(error)) from error
    try:
        return attempt(_all_dynamic(module, args, kwargs))
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
                around = set(copy.nodes)
                results = add(submodule.graph, submodule, dict(zip(inputs, feeds, strict=True)), casting)
                without = name == "wrap_with_set_grad_enabled" and not flags[0]
                bound[node] = stopped(copy, results, around) if without else results
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


def _functional(program: ExportedProgram) -> tuple[Graph, dict[Node, Node]]:
    """The program's graph without no-grad regions and in-place ops, and what each buffer that it writes to holds in the end."""
    specs = program.graph_signature.input_specs
    buffers = {s.arg.name for s in specs if s.kind is InputKind.BUFFER}
    graph = _prepared_graph(program.graph, program.graph_module)
    statistics.write_out(graph)
    finals = replace_in_place(graph, buffers)
    return regions.expand(graph, _functional_graph), finals


def _functional_graph(graph: Graph, owner: torch.nn.Module) -> Graph:
    """A copy of graph without no-grad regions and in-place ops. Raises Undecided where `replace_in_place` cannot tell."""
    copy = _prepared_graph(graph, owner)
    replace_in_place(copy)
    return copy


def _mutated(program: ExportedProgram, graph: Graph, notes: list[str]) -> dict[Node, Node]:
    """What each buffer that a program writes to holds in the end, as torch's functionalisation gives it; the outputs without that."""
    output = next(node for node in graph.nodes if node.op == "output")
    placeholders = {node.name: node for node in graph.nodes if node.op == "placeholder"}
    inputs = {s.target: placeholders[s.arg.name] for s in program.graph_signature.input_specs if s.target}
    finals: dict[Node, Node] = {}
    returned = []
    for spec, result in zip(program.graph_signature.output_specs, output.args[0], strict=True):
        if spec.kind is OutputKind.BUFFER_MUTATION:
            finals[inputs[spec.target]] = result
        elif spec.kind is OutputKind.USER_INPUT_MUTATION:
            notes.append(
                f"torch writes into the argument {spec.target}; the emitted module leaves its arguments as they are"
            )
        elif spec.kind is OutputKind.USER_OUTPUT:
            returned.append(result)
        else:
            raise CaptureError(
                f"forward writes to {spec.target}, and only buffers can be state: return the new value, or register it as one"
            )
    output.args = (tuple(returned),)
    return finals


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
