"""The truth that a translation is measured against: the exported graph, run by torch in float64.

`module.double()` alone would not be it, since many models cast to float32 within forward (Llama's RMSNorm). Here every dtype
that the graph names is widened with the parameters and inputs, so that nothing is rounded to less than float64 on the way.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import sympy
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Graph, GraphModule, Node
from torch.utils import _pytree as pytree

from translator import determined
from translator.captured import Captured
from translator.region_interpreter import RegionInterpreter
from translator.trees import map_tensors, torch_leaves

WIDE = {torch.complex64: torch.complex128, torch.complex32: torch.complex128} | dict.fromkeys(
    (torch.float32, torch.float16, torch.bfloat16), torch.float64
)


# Ops whose kernels compute with numbers of float32 in float64, too: in hardsigmoid's gradient 1/6 is one.
_INEXACT = {torch.ops.aten.hardsigmoid.default: lambda x: (x + 3).clamp(0, 6) / 6}


def widened(tensor: torch.Tensor) -> torch.Tensor:
    """tensor in float64 or complex128 where it is floating or complex; else itself."""
    return tensor.to(WIDE.get(tensor.dtype, tensor.dtype))


class Reference:
    """A graph that torch can run, in float64 or as it stands.

    It is torch's own exported graph, which no pass of the translator has touched; simplified: the graph that was translated
    instead, whose nodes the emitted calls name. evaluation: that of the evaluation mode of a module in training mode. by_chance:
    whether it draws random numbers, where it does; if not, see `determined`.
    """

    def __init__(
        self,
        captured: Captured,
        wide: bool = True,
        simplified: bool = False,
        evaluation: bool = False,
        by_chance: bool = True,
    ):
        self.captured, self.wide, self.by_chance = captured, wide, by_chance
        program = captured.evaluation if evaluation else captured.program
        assert program is not None, "there is no program of evaluation mode"
        self.program, owner = program, program.graph_module
        self.graph = _runnable(owner, captured.graph if simplified else owner.graph, wide, simplified)
        known = {**captured.tensors, **program.constants, **program.state_dict}
        specs = program.graph_signature.input_specs
        held = {spec.arg.name: known[spec.target] for spec in specs if spec.kind is not InputKind.USER_INPUT}
        self.held = {**{n: captured.tensors[t] for n, t in captured.targets.items()}, **held} if simplified else held
        self.buffers = {s.arg.name: s.target for s in specs if s.target in captured.mutated}

    def run(self, args: tuple, kwargs: Mapping[str, Any], record: frozenset[str] = frozenset()) -> tuple[dict, dict]:
        """The output tensors and numbers by name, and the values of the recorded nodes by node name."""
        held = {name: tensor.detach() for name, tensor in self.held.items()}
        with torch.no_grad():
            outputs, _, values = self.call(args, kwargs, held, record)
        return outputs, values

    def call(
        self, args: tuple, kwargs: Mapping[str, Any], held: Mapping[str, Any], record: frozenset[str] = frozenset()
    ) -> tuple[dict, dict, dict]:
        """As run, with the tensors that parameters, buffers and constants hold by placeholder, and with gradients.

        Second of the results are the tensors that the buffers which forward writes to hold afterwards, by torch name.
        """
        program = self.program
        feeds = dict(zip(user_input_names(program), flat_inputs(program, args, kwargs)[0], strict=True)) | dict(held)
        if self.wide:
            feeds = map_tensors(widened, feeds)
        feeds |= {name: feeds[name].clone() for name in self.buffers}  # the graph writes to them
        values = [feeds[node.name] for node in self.graph.graph.nodes if node.op == "placeholder"]
        recorder = _Recorder(self.graph, record, self._lengths(feeds), self.by_chance)
        with _default_dtype(torch.float64 if self.wide else torch.get_default_dtype()):
            flat = recorder.run(*values)
        buffers = {target: feeds[name] for name, target in self.buffers.items()}
        outputs = []
        for value, spec in zip(flat, program.graph_signature.output_specs, strict=True):
            if spec.kind is OutputKind.BUFFER_MUTATION:
                buffers[spec.target] = value
            elif spec.kind is OutputKind.USER_OUTPUT:
                outputs.append(value)
        return torch_leaves(pytree.tree_unflatten(outputs, program.call_spec.out_spec)), buffers, recorder.values

    def _lengths(self, feeds: Mapping[str, Any]) -> dict[sympy.Symbol, int]:
        """The length that each dynamic axis has in a call."""
        lengths = {}
        for node in self.program.graph.nodes:
            recorded = node.meta.get("val") if node.op == "placeholder" else None
            if isinstance(recorded, torch.Tensor):
                for size, length in zip(recorded.shape, feeds[node.name].shape, strict=True):
                    if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol:
                        lengths[size.node.expr] = length
        return lengths


class _Recorder(RegionInterpreter):
    def __init__(
        self, module: GraphModule, record: frozenset[str], lengths: Mapping[sympy.Symbol, int], by_chance: bool = True
    ):
        super().__init__(module)
        self.record, self.lengths, self.by_chance, self.values = record, lengths, by_chance, {}

    def call_function(self, target: Any, args: tuple, kwargs: dict) -> Any:
        if target is torch.ops.aten.copy_.default and args[0] is args[1]:
            return args[0]  # `self.steps += 1`, which autograd would take for one more change
        if target in _INEXACT and args[0].dtype == torch.float64:
            return _INEXACT[target](*args)
        if not self.by_chance and determined.draws(target):
            return determined.run(target, args, kwargs)
        return super().call_function(target, args, kwargs)

    def fetch_args_kwargs_from_env(self, n: Node) -> tuple[tuple, dict]:
        return torch.fx.node.map_aggregate(super().fetch_args_kwargs_from_env(n), self._length)

    def _length(self, arg: Any) -> Any:
        """Passes may leave a symbolic size itself in the graph, rather than a node that computes it."""
        return int(arg.node.expr.xreplace(dict(self.lengths))) if isinstance(arg, torch.SymInt) else arg

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n.name in self.record and not self.now:
            self.values[n.name] = value
        return value


def _runnable(owner: torch.nn.Module, graph: Graph, wide: bool, simplified: bool = False) -> GraphModule:
    """A GraphModule of a copy of graph under the same node names, every dtype in it widened if wide."""
    copy, mapped = Graph(), {}
    for node in graph.nodes:
        if "_assert_" in str(node.target):  # on dtypes that are widened here, and on lengths that torch misjudges
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of symbolic sizes among the arguments, see _Recorder
            mapped[node] = copy.node_copy(node, mapped.__getitem__)
            mapped[node].name = node.name  # the graph would rename what is called like a builtin
        if simplified:  # a copy that was dropped is missed by a view, but not by a reshape
            if node.target is torch.ops.aten.view.default:
                mapped[node].target = torch.ops.aten.reshape.default
            _give_tensors(copy, mapped[node])
        if wide and isinstance(node.target, torch._ops.OpOverload):
            mapped[node].args = torch.fx.node.map_aggregate(mapped[node].args, _widened_dtype)
            mapped[node].kwargs = torch.fx.node.map_aggregate(mapped[node].kwargs, _widened_dtype)
    module = GraphModule(owner, copy)
    for node in copy.nodes:  # the bodies of torch.cond and its like
        body = getattr(owner, str(node.target), None) if node.op == "get_attr" else None
        if isinstance(body, GraphModule):
            setattr(module, node.target, _runnable(body, body.graph, wide))
    return module


def _give_tensors(graph: Graph, node: Node) -> None:
    """The simplified graph has numbers where arrays of one number were; torch takes arrays there."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return
    for position, (given, wanted) in enumerate(zip(node.args, node.target._schema.arguments, strict=False)):
        if isinstance(given, (bool, int, float)) and str(wanted.type) == "Tensor":
            with graph.inserting_before(node):
                dtype = {bool: torch.bool, int: torch.int64}.get(type(given))  # None: the default of floats
                number = graph.call_function(torch.ops.aten.scalar_tensor.default, (given,), {"dtype": dtype})
                node.update_arg(position, number)


def _widened_dtype(arg: Any) -> Any:
    return WIDE.get(arg, arg) if isinstance(arg, torch.dtype) else arg


def user_input_names(program: ExportedProgram) -> list[str]:
    """The placeholders of the flattened call, in order."""
    specs = program.graph_signature.input_specs
    return [spec.arg.name for spec in specs if spec.kind is InputKind.USER_INPUT]


def flat_inputs(program: ExportedProgram, args: tuple, kwargs: Mapping[str, Any]) -> tuple[list, pytree.TreeSpec]:
    """The leaves and the structure of a call, keywords in the order in which the program was exported with them."""
    names = program.call_spec.in_spec.child(1).context
    return pytree.tree_flatten((tuple(args), {name: kwargs[name] for name in names}))


@contextlib.contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
