"""One graph for both modes: a module that is translated in training mode is traced in evaluation mode, too, and the two are merged.

The graph of the training mode is kept. What evaluation does as well is matched node by node; what it does otherwise is added,
and where the two meet again a node chooses: dropout gives its argument in evaluation, batch norm uses other statistics,
stochastic depth leaves out what it draws. So `eqx.nn.inference_mode` of the emitted module is torch's `eval()`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Graph, Node
from torch.utils import _pytree as pytree

from translator import regions
from translator.affine import size_expr
from translator.functionalise import DROPOUT
from translator.lower import op_name, packet
from translator.provenance import calls
from translator.state import is_state, link, placeholder, read, write


class Unmatched(Exception):
    """Evaluation cannot be told from training within one graph. The text says why."""


def choose(evaluation: Any, training: Any) -> Any:
    """The first in evaluation mode, the second in training."""
    raise NotImplementedError("a marker")


@dataclass(frozen=True)
class Merged:
    """added: the constants that evaluation brought in, by the names of their placeholders. returned_apart: how many outputs at
    the end (before the state) are evaluation's alone, where it returns something else than training."""

    added: dict[str, torch.Tensor]
    returned_apart: int = 0


def merge(
    training: Graph,
    evaluation: Graph,
    constants: Mapping[str, torch.Tensor],
    others: Mapping[str, torch.Tensor],
    same_structure: bool = True,
) -> Merged:
    """Let the graph of the training mode do in evaluation what the other does.

    constants, others: the tensors that are no parameters, buffers or inputs, by the names of their placeholders, of training and
    of evaluation. same_structure: whether what the two return is nested alike. Raises Unmatched, and then the graph must not be used.
    """
    merging = _Merging(training, evaluation, constants, others)
    merging.run(same_structure)
    return Merged(merging.added, merging.apart)


class _Merging:
    """One walk over the graph of evaluation, in order.

    same: the node of the merged graph that gives, in evaluation, what each node of evaluation's own graph gives. equal: for
    constants that are equal, the first of them. place: the last node before which all that has been merged stands.
    """

    def __init__(self, training: Graph, evaluation: Graph, constants: Mapping, others: Mapping):
        self.graph, self.evaluation = training, evaluation
        self.constants, self.others = constants, others
        self.added: dict[str, torch.Tensor] = {}
        self.apart = 0
        self.same: dict[Node, Node] = {}
        self.equal: dict[Node, Node] = {}
        self.choices: dict[tuple[Node, Node], Node] = {}
        self.inside = regions.scopes(training)

    def run(self, same_structure: bool) -> None:
        self._placeholders()
        for graph in (self.graph, self.evaluation):
            _settle_flags(graph)
        pairs = _aligned(self.graph, self.evaluation)
        matched: set[Node] = set()
        self.place = [node for node in self.graph.nodes if node.op == "placeholder"][-1]
        for node in self.evaluation.nodes:
            if node.op == "placeholder":
                continue
            if node.op == "output":
                self._outputs(node, same_structure)
                continue
            partner = pairs.get(node)
            if partner is not None and _is_switched(partner, node):
                self.same[node] = self._switch(partner, node)
                matched.add(partner)
                partner = self.same[node]
            elif partner is not None and self._match(partner, node):
                self.same[node] = partner
                matched.add(partner)
            else:
                if node.target is write or self.inside.get(self.place.next) or regions.is_control_flow(node):
                    raise Unmatched("evaluation updates a buffer, or runs control flow, that training does not")
                with self.graph.inserting_after(self.place):
                    copy = self.graph.node_copy(node, self.same.__getitem__)
                copy.meta = dict(node.meta)
                self.same[node] = self.place = copy
            if partner is not None:
                self.place = partner
        self._keep_state(matched)
        link(self.graph)

    def _placeholders(self) -> None:
        """Parameters, buffers, constants and inputs have the same names in both graphs, and inputs the same lengths."""
        mine = {node.name: node for node in self.graph.nodes if node.op == "placeholder"}
        for node in self.evaluation.nodes:
            if node.op != "placeholder":
                continue
            if node.name in self.others:
                self.same[node] = self._constant(node, mine)
                continue
            partner = placeholder(self.graph) if is_state(node) else mine.get(node.name)
            if partner is None or not is_state(node) and not _alike(partner, node):
                raise Unmatched(f"evaluation takes {node.name} otherwise than training does")
            self.same[node] = partner

    def _constant(self, node: Node, mine: Mapping[str, Node]) -> Node:
        """The placeholder of training's constant that is the same, or a new one."""
        tensor = self.others[node.name]
        equal = [n for n, other in self.constants.items() if n in mine and _same_numbers(tensor, other)]
        if equal:
            self.equal |= {mine[name]: mine[equal[0]] for name in equal}
            return mine[equal[0]]
        with self.graph.inserting_before(next(iter(self.graph.nodes))):
            made = self.graph.placeholder(f"evaluation_{node.name}")
        made.meta = dict(node.meta)
        self.added[made.name] = tensor
        return made

    def _match(self, partner: Node, node: Node) -> bool:
        """Whether partner does in evaluation what node does, once it chooses what it is given by the mode."""
        mine, structure = pytree.tree_flatten((partner.args, dict(partner.kwargs)))
        other, theirs = pytree.tree_flatten((node.args, dict(node.kwargs)))
        if structure != theirs:
            return False
        chosen: dict[Node, Node] = {}
        for a, b in zip(mine, other, strict=True):
            if isinstance(a, Node) and isinstance(b, Node):
                source = self.same[b]
                if source is self.equal.get(a, a) or is_state(a) or _same_size(a, b):
                    continue
                if chosen.setdefault(a, source) is not source or not _alike(a, source):
                    return False
            elif isinstance(a, Node) or isinstance(b, Node) or not _equal(a, b):
                return False
        if chosen and (self.inside[partner] or any(self.inside.get(n) for pair in chosen.items() for n in pair)):
            raise Unmatched("a branch or loop body differs between the modes")
        for a, source in chosen.items():
            partner.replace_input_with(a, self._choice(source, a, partner))
        return True

    def _switch(self, partner: Node, node: Node) -> Node:
        """Let dropout give its argument in evaluation mode, whatever reads it."""
        source = self.same[node.args[0]]
        if source is not partner.args[0]:
            partner.replace_input_with(partner.args[0], self._choice(source, partner.args[0], partner))
        with self.graph.inserting_after(partner):
            choice = self.graph.call_function(choose, (partner.args[0], partner))
        choice.meta = {
            k: partner.meta[k] for k in ("nn_module_stack", "stack_trace", "custom", "val") if k in partner.meta
        }
        partner.replace_all_uses_with(choice, delete_user_cb=lambda user: user is not choice)
        return choice

    def _choice(self, source: Node, own: Node, reader: Node) -> Node:
        if (source, own) not in self.choices:
            later = max(source, own)
            place = later if later.op == "call_function" else reader.prev
            home = own if own.op == "call_function" else later if later.op == "call_function" else reader
            with self.graph.inserting_after(place):
                node = self.graph.call_function(choose, (source, own))
            node.meta = {k: home.meta[k] for k in ("nn_module_stack", "stack_trace", "custom") if k in home.meta}
            node.meta["val"] = own.meta["val"]
            self.choices[source, own] = node
        return self.choices[source, own]

    def _outputs(self, output: Node, same_structure: bool) -> None:
        """Choose each output by the mode; where the two return something else, evaluation's come after training's."""
        end = next(node for node in self.graph.nodes if node.op == "output")
        mine, other = list(end.args[0]), [self.same.get(n, n) if isinstance(n, Node) else n for n in output.args[0]]
        state = [mine.pop()] if isinstance(mine[-1], Node) and is_state(mine[-1]) else []
        other = other[: -len(state)] if state else other
        if same_structure and all(map(_exchangeable, mine, other)):
            chosen = [
                a if a is b or not isinstance(a, Node) else self._choice(b, a, end)
                for a, b in zip(mine, other, strict=True)
            ]
        else:
            chosen, self.apart = [*mine, *other], len(other)
        end.args = ((*chosen, *state),)

    def _keep_state(self, matched: set[Node]) -> None:
        """What training alone writes to the state is written in training alone: once for all that one call writes in a row."""
        runs: list[list[Node]] = []
        for node in [node for node in self.graph.nodes if node.target in (read, write)]:
            node.args = (None, *node.args[1:])  # which state it takes is settled afterwards
            if node.target is write and node not in matched:
                follows = bool(runs) and runs[-1] and calls(runs[-1][-1]) == calls(node)
                runs = [*runs[:-1], [*runs[-1], node]] if follows else [*runs, [node]]
            elif node.target is write:
                runs.append([])  # ends a run
        for *others, last in filter(None, runs):
            last.args = (None, *(part for node in (*others, last) for part in node.args[1:]))
            last.kwargs = {"training_alone": True}
            for node in others:
                self.graph.erase_node(node)


def _same_numbers(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


def _settle_flags(graph: Graph) -> None:
    """An op that drops nothing says that it is in evaluation mode, whichever it is in."""
    for node in graph.nodes:
        if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
            continue
        names = [argument.name for argument in node.target._schema.arguments]
        given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
        share = given.get("dropout", given.get("p"))
        if given.get("train") is True and (share == 0 or given.get("num_layers") == 1):
            node.args = tuple(False if name == "train" else arg for name, arg in zip(names, node.args, strict=False))


def _is_switched(partner: Node, node: Node) -> bool:
    """Whether two nodes are a dropout that is on in training and off in evaluation."""
    if packet(partner) not in DROPOUT or partner.kwargs or node.kwargs or len(partner.args) != 3 or len(node.args) != 3:
        return False
    return partner.args[1] == node.args[1] and (partner.args[2], node.args[2]) == (True, False)


def _aligned(training: Graph, evaluation: Graph) -> dict[Node, Node]:
    """The node of training's graph that stands in the place of each of evaluation's: the same op, in the same module, in the same order."""
    mine, other = (
        [n for n in graph.nodes if n.op in ("call_function", "get_attr")] for graph in (training, evaluation)
    )
    matcher = difflib.SequenceMatcher(None, list(map(_what, mine)), list(map(_what, other)), autojunk=False)
    return {other[block.b + i]: mine[block.a + i] for block in matcher.get_matching_blocks() for i in range(block.size)}


def _what(node: Node) -> tuple:
    path = next((path for path, _ in reversed((node.meta.get("nn_module_stack") or {}).values())), "")
    held = tuple(n.name for n in node.all_input_nodes if n.op == "placeholder" and not is_state(n))
    return op_name(node) if node.op == "call_function" else str(node.target), path, held


def _alike(a: Node, b: Node) -> bool:
    """Whether two nodes give arrays of the same shape and dtype."""
    x, y = a.meta.get("val"), b.meta.get("val")
    if not isinstance(x, torch.Tensor) or not isinstance(y, torch.Tensor):
        return not isinstance(x, (torch.Tensor, tuple, list)) and type(x) is type(y) and _equal(x, y)
    return x.dtype == y.dtype and x.ndim == y.ndim and all(map(_equal, x.shape, y.shape))


def _exchangeable(a: Any, b: Any) -> bool:
    """Whether two outputs are the same number, or arrays of one shape and dtype."""
    if isinstance(a, Node) and isinstance(b, Node):
        return a is b or _alike(a, b)
    return not isinstance(a, Node) and not isinstance(b, Node) and (a is b or _equal(a, b))


def _same_size(a: Node, b: Node) -> bool:
    sizes = (torch.SymInt, torch.SymFloat, torch.SymBool)
    return isinstance(a.meta.get("val"), sizes) and _equal(a.meta["val"], b.meta.get("val"))


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.SymInt) or isinstance(b, torch.SymInt):
        return (
            isinstance(a, (int, torch.SymInt)) and isinstance(b, (int, torch.SymInt)) and size_expr(a) == size_expr(b)
        )
    if isinstance(a, (torch.SymFloat, torch.SymBool)) or isinstance(b, (torch.SymFloat, torch.SymBool)):
        return str(a) == str(b)
    return type(a) is type(b) and (a == b or a != a and b != b)
