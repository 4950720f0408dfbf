"""Traced: what torch.export made of a module becomes one functional graph, of one mode or of both.

In-place ops are replaced, what runs without gradients or under autocast is part of the graph around it, buffers that forward
writes to are state (see `state`), and the graphs of training and evaluation are merged (see `modes`).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Graph, Node

from translator import as_run, expands, idle_writes, modes, overlaps, regions, state, statistics, transforms
from translator.autocast import Autocast
from translator.errors import CaptureError, Undecided
from translator.functionalise import mutates, replace_in_place
from translator.gradients import stopped
from translator.logs import quiet
from translator.torch_functionalise import decompositions

_INLINED = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4}


@dataclass
class Traced:
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


def traced(program: ExportedProgram) -> Traced:
    notes: list[str] = []
    transforms.require_known(program)
    as_run.record(program)
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
    return Traced(program, graph, finals, targets, constants, notes)


def thread(traced: Traced, mutated: tuple[str, ...]) -> None:
    """Let the buffers of these names be state."""
    if mutated:
        of = {traced.targets.get(node.name): node for node in traced.graph.nodes if node.op == "placeholder"}
        state.thread(traced.graph, [of[name] for name in mutated], traced.finals, traced.targets)


def in_both_modes(training: Traced, evaluation: ExportedProgram, notes: list[str]) -> Traced | None:
    """training with what evaluation does otherwise; None, and a note, where the two cannot be told apart in one graph."""
    other = traced(evaluation)
    mutated = tuple(dict.fromkeys((*training.mutated, *other.mutated)))
    try:
        same_structure = training.program.call_spec.out_spec == evaluation.call_spec.out_spec
        for part in (training, other):
            thread(part, mutated)
        merged = modes.merge(training.graph, other.graph, training.loose(), other.loose(), same_structure)
    except modes.Unmatched as reason:
        notes.append(f"the emitted module does in evaluation mode what it does in training mode: {reason}")
        return None
    training.constants |= merged.added
    training.targets |= {name: name for name in merged.added}
    training.mutated, training.evaluation_returns = mutated, merged.returned_apart
    return training


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
    overlaps.require_apart(copy)
    idle_writes.drop(copy)
    regions.prepare(copy)
    if any(mutates(node) for node in copy.nodes):
        expands.as_views(copy)
    return copy


def _functionalised(program: ExportedProgram) -> ExportedProgram:
    """program by torch's own functionalisation."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            expands.as_views(module.graph)
            module.recompile()
    table = decompositions(program.graph)
    try:
        return quietly(lambda: program.run_decompositions(table))
    except Exception as error:
        raise CaptureError(explain(error)) from error


def _functional(program: ExportedProgram) -> tuple[Graph, dict[Node, Node]]:
    """The program's graph without no-grad regions and in-place ops, and what each buffer that it writes to holds in the end."""
    specs = program.graph_signature.input_specs
    buffers = {s.arg.name for s in specs if s.kind is InputKind.BUFFER}
    graph = _prepared_graph(program.graph, program.graph_module)
    if transforms.stand_in(graph):
        raise Undecided
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


def quietly(function: Any) -> Any:
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
    elif "functorch tensor" in text or "fake tensor in the exported program constant's list" in text:
        advice = transforms.ADVICE
    elif "not a known type" in text or "pytree" in text:
        advice = "an input or output is of a class that torch does not flatten: register it with torch.export.register_dataclass"
    elif "mutat" in text or "assign" in text.lower() and "attribute" in text.lower():
        advice = "forward assigns to attributes of the module: return the value, or register it as a buffer and update that in place"
    else:
        advice = "torch.export could not trace the module; this is what it said"
    return f"{advice}.\n{name}: {text[:2000]}"
