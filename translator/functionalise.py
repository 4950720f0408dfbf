"""In-place ops become out-of-place ones, and what else shows the memory they write to is brought up to date.

torch's own functionalisation handles more but takes longer than the export itself, and replaces ops. Here each tensor of
the graph is followed to the memory it lies in. A write makes every other tensor there out of date; one that is read
later is built again: a view from its base, a base by putting the view that was written back into it. Where that cannot be
done for certain (an op that views or copies as strides have it, a write to an input) the caller runs torch's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._ops import HigherOrderOperator, OpOverload
from torch.fx import Graph, Node

from translator.arrays import memory_of
from translator.errors import Undecided
from translator.gradients import stop_gradient
from translator.parameters import hand_over
from translator.statistics import batch_norm

aten = torch.ops.aten

Call = tuple[OpOverload, tuple]

# Views that show each element once, and how what was written to one is put back into its base.
_WRITE_BACK: dict[str, Callable[..., Call | None]] = {
    "select": lambda base, part, dim, index: (aten.select_scatter.default, (base, part, dim, index)),
    "slice": lambda base, part, *at: (aten.slice_scatter.default, (base, part, *at)),
    "narrow": lambda base, part, dim, start, length: _narrowed(base, part, dim, start, length),
    "diagonal": lambda base, part, *at, **named: (aten.diagonal_scatter.default, (base, part, *at)) if not named else None,
    "permute": lambda base, part, dims: (aten.permute.default, (part, _inverse(dims))),
    "transpose": lambda base, part, a, b: (aten.transpose.int, (part, a, b)),
    "swapaxes": lambda base, part, a, b: (aten.transpose.int, (part, a, b)),
    "swapdims": lambda base, part, a, b: (aten.transpose.int, (part, a, b)),
    "movedim": lambda base, part, a, b: (aten.movedim.int if isinstance(a, int) else aten.movedim.intlist, (part, b, a)),
    "t": lambda base, part: (aten.t.default, (part,)),
    "numpy_T": lambda base, part: (aten.numpy_T.default, (part,)),
    "mT": lambda base, part: (aten.mT.default, (part,)),
}  # fmt: skip

_RESHAPING = {"view", "view_as", "unflatten", "unsqueeze", "squeeze"}

# Ops whose schema says that they view, and that copy where the memory format or the dtype asks for it.
VIEW_OR_COPY = {"reshape", "reshape_as", "flatten", "ravel", "contiguous", "to", "resolve_conj", "resolve_neg"}

# In the meta of such a node: whether its result lies in other memory than its argument, as it runs (see as_run.py).
COPIED = "copied"

DROPOUT = {"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"}

# Ops whose schema does not say that they may return their argument, or views of it.
_MAY_RETURN_ARGUMENT = DROPOUT | {
    "type_as", "atleast_1d", "atleast_2d", "atleast_3d", "conj_physical", "pad", "sum_to_size", "to_dense", "_unsafe_view",
}  # fmt: skip
_MAY_VIEW_ARGUMENTS = {
    "broadcast_tensors", "meshgrid", "einsum", "cartesian_prod", "chain_matmul", "flatten_dense_tensors",
    "unflatten_dense_tensors", "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes",
}  # fmt: skip

_SAME_TENSOR = {"alias", "detach", "positive"}
_SPLITTING = {"split", "split_with_sizes", "chunk", "tensor_split", "unbind"}

# Ops that read a tensor's metadata alone, which no write changes.
_READ_NO_VALUES = {"sym_size", "sym_stride", "sym_numel", "sym_storage_offset", "_assert_tensor_metadata"}

# Ops whose result has the dtype of their first argument, whatever else they are given.
_KEEP_DTYPE = {"copy", "fill", "zero", "masked_fill", "index_put", "relu", "silu", "hardswish", "dropout"}


@dataclass(eq=False)
class _Memory:
    """Memory that no other tensor of the graph shows but these.

    current: the node that holds what each shows now; one that is missing is out of date. outside: whether it is an
    input's, a parameter's, a buffer's or a constant's.
    """

    tensors: list[Node]
    current: dict[Node, Node]
    outside: bool = False
    written: bool = False


@dataclass(frozen=True)
class _View:
    """How a tensor shows the memory of base: as op(base, *args, **kwargs).

    op is None where it may also be a copy. distinct: whether it shows no element twice. write_back: see _WRITE_BACK.
    """

    base: Node
    op: OpOverload | None = None
    args: tuple = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    distinct: bool = False
    write_back: Callable[..., Call | None] | None = None


def replace_in_place(graph: Graph, buffers: Set[str] = frozenset()) -> dict[Node, Node]:
    """Rewrite the in-place ops of graph. Returns what each buffer that they write to holds in the end.

    buffers: the placeholders of buffers, which may be written to. Raises Undecided if that cannot be done for certain, and
    then the graph must not be used.
    """
    if not any(mutates(node) for node in graph.nodes):
        return {}
    return _Rewriting(graph, buffers).run()


class _Rewriting:
    """One walk over a graph in order.

    tensors: the first node that stood for each node's tensor. items: the first node that took each item of a result.
    holders: the first node that lay in each storage. made: the nodes that were added. shared: whether the example values share
    memory as the tensors do, so that other memory is a copy; those of a program that was loaded from a file do not.
    """

    def __init__(self, graph: Graph, buffers: Set[str]) -> None:
        self.graph, self.buffers = graph, buffers
        self.tensors: dict[Node, Node] = {}
        self.memory: dict[Node, _Memory] = {}
        self.views: dict[Node, _View] = {}
        self.items: dict[tuple[Node, int], Node] = {}
        self.holders: dict[int | Node, Node] = {}
        self.made: list[Node] = []
        self.shared = shares_memory(graph)

    def run(self) -> dict[Node, Node]:
        finals: dict[Node, Node] = {}
        for node in list(self.graph.nodes):
            if _name(node) not in _READ_NO_VALUES:
                self._bring_up_to_date(node)
            if _changes_shape(node):
                self._replace_view(node)
            if mutates(node):
                self._write(node)
            elif node.op == "output":
                finals = self._written_buffers(node)
            else:
                self._enter(node)
        for node in reversed(self.made):
            if not node.users and node not in finals.values():
                self.graph.erase_node(node)
        return finals

    def _written_buffers(self, output: Node) -> dict[Node, Node]:
        """What each buffer that was written to shows in the end."""
        finals = {}
        for buffer in [node for node in self.graph.nodes if node.name in self.buffers]:
            if self.memory[self.tensors[buffer]].written:
                final = self._current(buffer, output)
                if final is None:
                    raise Undecided
                if final is not buffer:  # else the write was to memory that may only be the buffer's
                    finals[buffer] = final
        return finals

    def _bring_up_to_date(self, reader: Node) -> None:
        for node in reader.all_input_nodes:
            tensor = self.tensors.get(node)
            if tensor is None or not self.memory[tensor].written:
                continue
            now = self._current(tensor, reader)
            if now is None:
                raise Undecided
            if now is not node:
                hand_over(node, now)
                reader.replace_input_with(node, now)

    def _current(self, tensor: Node, reader: Node) -> Node | None:
        """The node that holds what tensor shows when reader runs; None if it is out of date and cannot be built again."""
        current = self.memory[tensor].current
        if tensor not in current:
            view = self.views.get(tensor)
            if view is None or view.op is None:
                return None
            base = self._current(view.base, reader)
            if base is None:
                return None
            with self.graph.inserting_before(reader):
                current[tensor] = self._make(view.op, (base, *view.args), view.kwargs, tensor, reader)
        return current[tensor]

    def _make(self, op: OpOverload, args: tuple, kwargs: dict[str, Any], tensor: Node, place: Node) -> Node:
        """A new node for what tensor shows, that runs where place does."""
        node = self.graph.call_function(op, args, kwargs)
        node.meta = {key: value for key, value in tensor.meta.items() if key in ("val", "tensor_meta")}
        line = tensor if tensor.meta.get("nn_module_stack") == place.meta.get("nn_module_stack") else place
        node.meta |= {key: line.meta[key] for key in ("nn_module_stack", "stack_trace") if key in line.meta}
        hand_over(tensor, node)
        self.tensors[node] = tensor
        self.made.append(node)
        return node

    def _replace_view(self, node: Node) -> None:
        """`x.unsqueeze_(0)` writes no values: what it gives is the view of x that x is from then on."""
        name = _name(node).removesuffix("_")
        outside = self.memory[self.tensors[node.args[0]]].outside
        if name != "detach" and (outside or name not in _RESHAPING | _WRITE_BACK.keys()):
            raise Undecided
        views = getattr(aten, name)
        node.target = getattr(views, node.target._overloadname, None) or views.int

    def _write(self, node: Node) -> None:
        """Let an in-place op only give its result, which is what its tensor, and in part each base of that, shows from now."""
        functional = _functional(node.target)
        tensor = self.tensors.get(node.args[0]) if node.args and isinstance(node.args[0], Node) else None
        if functional is None or tensor is None or self.memory[tensor].outside or not self._distinct(tensor):
            raise Undecided
        self._replace_op(node, functional)
        self.tensors[node] = tensor
        memory = self.memory[tensor]
        current = {tensor: node}
        part = tensor
        while (view := self.views.get(part)) is not None and view.write_back is not None:
            base = self._current(view.base, node)
            call = view.write_back(base, current[part], *view.args, **view.kwargs) if base is not None else None
            if call is None:
                break
            with self.graph.inserting_after(current[part]):
                current[view.base] = self._make(*call, {}, view.base, node)
            part = view.base
        memory.current, memory.written = current, True

    def _distinct(self, tensor: Node) -> bool:
        """Whether tensor shows no element of its memory twice: then a write changes what it writes to, and no more."""
        while (view := self.views.get(tensor)) is not None:
            if not view.distinct:
                return False
            tensor = view.base
        return True

    def _replace_op(self, node: Node, functional: OpOverload) -> None:
        """The out-of-place op promotes to a common dtype, where the in-place one keeps that of what it writes to."""
        dtype = node.meta["val"].dtype
        result = node.meta["val"] if _name(node).rstrip("_") in _KEEP_DTYPE else _result(functional, node)
        if result.dtype == dtype:
            node.target = functional
            return
        with self.graph.inserting_before(node):
            promoted = self.graph.call_function(functional, node.args, node.kwargs)
        promoted.meta = {**node.meta, "val": result}
        node.target, node.args, node.kwargs = aten.to.dtype, (promoted, dtype), {}

    def _enter(self, node: Node) -> None:
        """Note which memory the result of a node lies in."""
        if isinstance(node.meta.get("val"), (int, float, torch.SymInt, torch.SymFloat, torch.SymBool)):
            return
        same = self._same(node)
        self.tensors[node] = self.tensors[same] if same is not None else node
        if same is not None:
            return
        outside = node.op in ("placeholder", "get_attr") and node.name not in self.buffers
        self.memory[node] = _Memory([node], {node: node}, outside)
        found = self._views(node) if node.op == "call_function" else []
        holder = self.holders.setdefault(_storage(node) or node, node)
        if holder is not node:
            found.append(_View(holder))
        if found:
            self.views[node] = found[0]
        for view in found:
            self._merge(self.memory[view.base], self.memory[node])

    def _merge(self, one: _Memory, other: _Memory) -> None:
        if one is other:
            return
        one.tensors += other.tensors
        one.current |= other.current
        one.outside |= other.outside
        one.written |= other.written
        self.memory |= dict.fromkeys(other.tensors, one)

    def _same(self, node: Node) -> Node | None:
        """An earlier node for the very tensor that a node gives."""
        if node.target is operator.getitem:
            first = self.items.setdefault((node.args[0], node.args[1]), node)
            return first if first is not node else None
        if node.target is stop_gradient:
            return node.args[0]
        returned = _name(node) in _SAME_TENSOR or drops_nothing(node)
        return node.args[0] if returned and isinstance(node.args[0], Node) else None

    def _views(self, node: Node) -> list[_View]:
        """What a node may show: of what, and how."""
        inputs = [self.tensors[n] for n in node.all_input_nodes if n in self.tensors]
        if node.target is operator.getitem:
            return [self._item(node)] if inputs and inputs[0] in self.views else []
        if isinstance(node.target, HigherOrderOperator) or node.target is batch_norm:
            return []  # torch refuses a branch or body that gives a view of its inputs
        if not isinstance(node.target, OpOverload) or _name(node) in _MAY_VIEW_ARGUMENTS:
            return [] if self._copied(node, inputs) else [_View(tensor) for tensor in inputs]
        name = _name(node)
        if name not in _MAY_RETURN_ARGUMENT and all(r.alias_info is None for r in node.target._schema.returns):
            return []
        if not node.args or not isinstance(node.args[0], Node):
            return [_View(tensor) for tensor in inputs]
        base, args, kwargs = self.tensors[node.args[0]], node.args[1:], dict(node.kwargs)
        if name in VIEW_OR_COPY or name in _MAY_RETURN_ARGUMENT:
            # Only of these: torch traces dropout and its like with kernels that copy where those that run do not.
            copied = node.meta.get(COPIED, name in VIEW_OR_COPY and self._copied(node, [base]))
            if _dtype(node) != _dtype(base) or copied:
                return []
            if COPIED not in node.meta and (_storage(node) is None or _storage(node) != _storage(base)):
                return [_View(base, distinct=True)]
            return [_View(base, node.target, args, kwargs, True, _reshaped)]
        write_back = _reshaped if name in _RESHAPING and _dtype(node) == _dtype(base) else _WRITE_BACK.get(name)
        # A base that was built again may lie in memory in another order, in which torch could not view it.
        op = aten.reshape.default if node.target is aten.view.default else node.target
        return [_View(base, op, args, kwargs, write_back is not None or name in _SPLITTING, write_back)]

    def _copied(self, node: Node, inputs: list[Node]) -> bool:
        """Whether a tensor lies in other memory than all that it was made from."""
        storage = _storage(node)
        return self.shared and storage is not None and all(_storage(tensor) not in (None, storage) for tensor in inputs)

    def _item(self, node: Node) -> _View:
        """An item of a split is a slice, one of an unbind a row of what was split."""
        source, position = self.tensors[node.args[0]], node.args[1]
        view, parts = self.views[source], source.meta.get("val")
        name = _name(source)
        if view.op is None or name not in _SPLITTING or not isinstance(parts, (list, tuple)):
            return _View(source, distinct=view.distinct)
        place = {a.name: a.default_value for a in view.op._schema.arguments[1:]}
        place |= dict(zip(place, view.args, strict=False)) | view.kwargs
        dim = place["dim"]
        if name == "unbind":
            return _View(view.base, aten.select.int, (dim, position), {}, True, _WRITE_BACK["select"])
        last = position + 1 == len(parts)
        lengths = [part.shape[dim] for part in parts[: position if last else position + 1]]
        if not all(isinstance(length, int) for length in lengths):
            return _View(source, distinct=True)
        start, end = sum(lengths[:position]), None if last else sum(lengths)
        return _View(view.base, aten.slice.Tensor, (dim, start, end), {}, True, _WRITE_BACK["slice"])


def shares_memory(graph: Graph) -> bool:
    """Whether the example values share memory as the tensors do."""
    return all(_storage(node) == _storage(node.args[0]) for node in graph.nodes if _returns_written(node))


def _reshaped(base: Node, part: Node, *args: Any, **kwargs: Any) -> Call:
    return aten.reshape_as.default, (part, base)


def _narrowed(base: Node, part: Node, dim: int, start: Any, length: Any) -> Call | None:
    if not isinstance(start, int) or not isinstance(length, int) or start < 0:
        return None
    return aten.slice_scatter.default, (base, part, dim, start, start + length)


def _inverse(dims: list[int]) -> list[int]:
    return [[d % len(dims) for d in dims].index(axis) for axis in range(len(dims))]


def _name(node: Node) -> str:
    return node.target._schema.name.partition("::")[2] if isinstance(node.target, OpOverload) else ""


def _dtype(node: Node) -> torch.dtype | None:
    return getattr(node.meta.get("val"), "dtype", None)


def _storage(node: Node) -> int | None:
    """What identifies the memory of a node's example value: those of one trace share it as the tensors they stand for do."""
    return memory_of(node.meta.get("val"))


def _changes_shape(node: Node) -> bool:
    return isinstance(node.target, OpOverload) and torch.Tag.inplace_view in node.target.tags


def mutates(node: Node) -> bool:
    if node.op != "call_function" or not isinstance(node.target, OpOverload):
        return False
    return node.target._schema.is_mutable or updates_statistics(node)


def drops_nothing(node: Node) -> bool:
    """Whether a node is a dropout in evaluation mode, which returns its argument."""
    return _name(node) in DROPOUT and len(node.args) > 2 and node.args[2] is False


def _returns_written(node: Node) -> bool:
    """Whether a node writes to its first argument and returns it."""
    if not mutates(node) or updates_statistics(node) or not node.args or not isinstance(node.args[0], Node):
        return False
    returns = node.target._schema.returns
    return len(returns) == 1 and returns[0].alias_info is not None and _storage(node.args[0]) is not None


def updates_statistics(node: Node) -> bool:
    """Whether a norm updates running statistics, of which its schema says nothing."""
    if node.target not in (aten.batch_norm.default, aten.instance_norm.default, aten.native_batch_norm.default):
        return False
    return node.args[5] is not False and node.args[3] is not None


def _functional(op: OpOverload) -> OpOverload | None:
    """`aten.add.Tensor` for `aten.add_.Tensor`; None if torch has no op that gives what op would write to its first argument."""
    namespace, _, name = op._schema.name.partition("::")
    written = [a.name for a in op._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    if not name.endswith("_") or written != [op._schema.arguments[0].name]:
        return None
    # `__iand__` is written as `__and__`, `add_` as `add`.
    plain = f"__{name[3:]}" if name.startswith("__i") else name.rstrip("_")
    packet = getattr(getattr(torch.ops, namespace), plain, None)
    overloads = [getattr(packet, overload) for overload in packet.overloads()] if packet is not None else []
    for overload in sorted(overloads, key=lambda o: o._overloadname != op._overloadname):
        returns = overload._schema.returns
        plain_result = len(returns) == 1 and returns[0].alias_info is None and not overload._schema.is_mutable
        if plain_result and _arguments(overload) == _arguments(op):
            return overload
    return None


def _arguments(op: OpOverload) -> list[tuple[str, str]]:
    """The arguments' names and types; what is written to may be called anything."""
    first, *others = op._schema.arguments
    return [("", str(first.type)), *((argument.name, str(argument.type)) for argument in others)]


def _result(op: OpOverload, node: Node) -> torch.Tensor:
    """The example value of op on the arguments of node."""
    try:
        args, kwargs = torch.fx.node.map_arg((node.args, dict(node.kwargs)), lambda n: n.meta["val"])
        with node.meta["val"].fake_mode, torch.no_grad():
            return op(*args, **kwargs)
    except Exception as error:
        raise Undecided from error
