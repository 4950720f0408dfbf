"""Which reshapes copy, as they run.

Where torch.export traces an op with other strides than it gives (batch norm of what is not contiguous), a reshape that is a view
looks like a copy, and a write to it would be lost. So a program that writes to what it may have reshaped is run once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Graph, Interpreter, Node
from torch.utils import _pytree as pytree

from translator.arrays import memory_of
from translator.functionalise import COPIED, VIEW_OR_COPY, mutates, shares_memory, updates_statistics
from translator.lower import packet


def record(program: ExportedProgram) -> None:
    """Note in the meta of each node that views or copies which of the two it does on the program's example inputs.

    Nothing is noted where no write depends on it, or torch cannot run the program.
    """
    if program.example_inputs is None or not _matters(program.graph):
        return
    recorder = _Recorder(program.graph_module, garbage_collect_values=True)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            recorder.run(*_feeds(program))
    except Exception:  # on the meta device, say: what was traced has to do
        return
    for node, copied in recorder.copied.items():
        node.meta[COPIED] = copied


def _feeds(program: ExportedProgram) -> Iterator[Any]:
    """What the placeholders are given: of what the program may write to, copies."""
    given = iter(pytree.tree_leaves(program.example_inputs))
    known: dict[Any, Any] = {**program.constants, **program.state_dict}
    written = _written(program.graph)
    for node, spec in zip(program.graph.find_nodes(op="placeholder"), program.graph_signature.input_specs, strict=True):
        value = next(given, None) if spec.kind is InputKind.USER_INPUT else known.get(spec.target)
        read_only = spec.kind is InputKind.PARAMETER and memory_of(node.meta.get("val")) not in written
        yield _twin(value) if isinstance(value, torch.Tensor) and not read_only else value


def _written(graph: Graph) -> set[int | None]:
    """The memory of what is written to, running statistics aside."""
    writes = (node for node in graph.nodes if mutates(node) and not updates_statistics(node))
    targets = (node.args[0] for node in writes if node.args)
    return {memory_of(target.meta.get("val")) for target in targets if isinstance(target, Node)}


def _matters(graph: Graph) -> bool:
    """Whether what is written to may have been reshaped before, or be so afterwards."""
    written = _written(graph)
    either = [node for node in graph.nodes if packet(node) in VIEW_OR_COPY]
    if not written or not either or not shares_memory(graph):
        return bool(written and either)
    return any(memory_of(n.meta.get("val")) in written for node in either for n in (node, *node.all_input_nodes))


def _twin(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the same values and strides in memory of its own."""
    if tensor.layout is not torch.strided or tensor.is_conj() or tensor.is_neg():
        return tensor.clone()
    own = tensor.detach().untyped_storage().clone()
    return tensor.new_empty(0).set_(own, tensor.storage_offset(), tensor.size(), tensor.stride())


class _Recorder(Interpreter):
    def __init__(self, module: torch.fx.GraphModule, **options: Any) -> None:
        super().__init__(module, **options)
        self.copied: dict[Node, bool] = {}

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if packet(n) in VIEW_OR_COPY and isinstance(n.args[0], Node):
            self.copied[n] = memory_of(result) != memory_of(self.env[n.args[0]])
        return result
