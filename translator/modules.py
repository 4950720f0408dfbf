"""The module tree as the emitted file will hold it: which modules become classes, layers, tuples or dicts, and their arrays.

Only what the graph reads has a place in it. A path in this tree is the path of the emitted leaf, and the torch name.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.fx import Graph

from op_table import layers
from op_table.dtypes import to_numpy
from op_table.expr import Expr, Value, eqx, key
from translator.captured import Captured
from translator.hierarchy import ModuleCall
from translator.lower import Sizes, arguments, op_name, operand_value, packet
from translator.modes import choose

CLASS, LAYER, TUPLE, DICT, INLINE = "class", "layer", "tuple", "dict", "inline"

_DICTS = {"torch.nn.modules.container.ModuleDict", "torch.nn.modules.container.ParameterDict"}

# A module without arrays is worth a class of its own from this many nodes on; below, its code stands in its parent.
_WORTH_A_CLASS = 4


@dataclass(frozen=True)
class Array:
    """A parameter or buffer that is a leaf. dtype is torch's as numpy names it; value is the captured tensor.

    is_state: whether forward writes to it, so that the leaf says where in the state it is.
    """

    fqn: str
    shape: tuple[int, ...]
    dtype: Any
    is_buffer: bool
    value: torch.Tensor
    is_state: bool = False


@dataclass(frozen=True)
class LayerUse:
    """A module that is one layer of the op table: how it is built, over how many axes of one example it acts (None: over batches)."""

    constructor: Expr
    event_ndim: int | None
    needs_key: bool
    input: int = 0  # the position of the op's argument that the layer is called with
    draws: bool = False  # whether its call takes a key
    lift: Expr | None = None  # the function that calls it on a batch, if it is not jax.vmap


@dataclass(eq=False)
class Module:
    """A node of the tree. entries are its children and arrays in torch's order, by name."""

    path: str
    type_name: str = ""
    kind: str = CLASS
    entries: dict[str, Module | Array] = field(default_factory=dict)
    calls: list[ModuleCall] = field(default_factory=list)
    layer: LayerUse | None = None
    callable: bool = False
    wrapped: str | None = None  # a root whose own children are indexed: TUPLE or DICT, held in one field

    def walk(self) -> Iterator[Module]:
        """This module and all below it, parents first."""
        yield self
        for entry in self.entries.values():
            if isinstance(entry, Module):
                yield from entry.walk()


def is_field_name(name: str) -> bool:
    """Whether a torch attribute name can be a field of an emitted class: a plain identifier that Python does not mangle or own."""
    return name.isidentifier() and name.isascii() and not keyword.iskeyword(name) and not name.startswith("__")


def build(captured: Captured, graph: Graph, root: ModuleCall, sizes: Sizes) -> Module:
    """The tree of everything that graph reads."""
    tree = Module("", root.type_name, calls=[root], callable=True)
    used = {
        captured.targets[n.name]
        for n in graph.nodes
        if n.op == "placeholder" and n.users and n.name in captured.targets
    }
    order = [name for name in captured.state if name in used and name in captured.persistent]
    order += [name for name in captured.mutated if name not in captured.persistent]
    buffers = {s.target for s in captured.program.graph_signature.input_specs if s.kind.name == "BUFFER"}
    for name in order:
        tensor = captured.tensors[name] if name in captured.tensors else captured.state[name]
        parent, _, last = name.rpartition(".")
        shape, state = tuple(tensor.shape), name in captured.mutated
        array = Array(name, shape, to_numpy(tensor.dtype), name in buffers, tensor, state)
        _place(tree, parent).entries[last] = array
    for call in list(root.calls())[1:]:
        if any(True for _ in call.nodes()):
            _place(tree, call.path).calls.append(call)
    for module in list(tree.walk())[1:]:
        _settle(module, captured, sizes)
    _agree(tree)
    for module in tree.walk():
        if module.entries and all(name.isdecimal() for name in module.entries):
            module.entries = dict(sorted(module.entries.items(), key=lambda entry: int(entry[0])))
    if tree.entries and not all(map(is_field_name, tree.entries)):
        tree.wrapped = TUPLE if all(name.isdecimal() for name in tree.entries) else DICT
    return tree


def _agree(tree: Module) -> None:
    """Where one layer is called by a function of the prelude, others of its kind are, too: see `layers.agrees`."""
    uses = [module for module in tree.walk() if module.layer is not None]
    lifts = {key(module.layer.lift): module.layer.lift for module in uses if module.layer.lift is not None}
    for lift in lifts.values():
        for module in uses:
            if layers.agrees(module.layer.constructor, module.layer.lift, lift) and _takes_batches(module):
                module.layer = replace(module.layer, lift=lift)


def _takes_batches(module: Module) -> bool:
    """Whether every call of a layer gives it one axis more than an example has."""
    inputs = [call.items[0].args[module.layer.input].meta["val"] for call in module.calls]
    return all(value.ndim - 1 == module.layer.event_ndim for value in inputs)


def _place(tree: Module, path: str) -> Module:
    for part in path.split(".") if path else ():
        prefix = f"{tree.path}.{part}" if tree.path else part
        tree = tree.entries.setdefault(part, Module(prefix))  # type: ignore[assignment]
    return tree


def _settle(module: Module, captured: Captured, sizes: Sizes) -> None:
    module.type_name = _type_name(module, captured)
    arrays = [entry for entry in module.entries.values() if isinstance(entry, Array)]
    has_arrays = any(isinstance(e, Array) for m in module.walk() for e in m.entries.values())
    if not has_arrays and (use := _dropout(module)) is not None:
        module.kind, module.layer = LAYER, use
    elif not has_arrays:
        nodes = max((sum(1 for _ in call.nodes()) for call in module.calls), default=0)
        own = module.type_name.startswith("torch.nn.") or not module.calls
        module.kind = INLINE if own or nodes < _WORTH_A_CLASS else CLASS
    elif module.calls and arrays and (use := _layer(module, captured, sizes)) is not None:
        module.kind, module.layer = LAYER, use
    elif all(name.isdecimal() for name in module.entries):
        module.kind = TUPLE
    elif module.type_name in _DICTS or not all(map(is_field_name, module.entries)):
        module.kind = DICT
    else:
        module.kind = CLASS
    module.callable = module.kind == CLASS and bool(module.calls) and not any(call.split for call in module.calls)


def _type_name(module: Module, captured: Captured) -> str:
    if module.calls:
        return module.calls[0].type_name
    if captured.module is not None:
        cls = type(captured.module.get_submodule(module.path))
        return f"{cls.__module__}.{cls.__qualname__}"
    return ""


def _dropout(module: Module) -> LayerUse | None:
    """torch.nn.Dropout as Equinox's, if every call of it drops in training and gives its argument in evaluation."""
    shares = []
    for call in module.calls:
        if module.type_name != "torch.nn.modules.dropout.Dropout" or call.split or len(call.items) != 2:
            return None
        drop, choice = call.items
        if isinstance(drop, ModuleCall) or isinstance(choice, ModuleCall) or choice.target is not choose:
            return None
        if packet(drop) != "dropout" or choice.args != (drop.args[0], drop) or len(drop.users) > 1 or drop.args[1] == 1:
            return None
        shares.append(drop.args[1])
    return LayerUse(eqx.nn.Dropout(shares[0]), None, False, draws=True) if len(set(shares)) == 1 else None


def _layer(module: Module, captured: Captured, sizes: Sizes) -> LayerUse | None:
    """The layer that a module is, if every call of it runs one op on the module's own arrays and the op table has that layer."""
    found: list[tuple[Any, LayerUse]] = []
    for call in module.calls:
        if call.split or len(call.items) != 1 or isinstance(call.items[0], ModuleCall):
            return None
        node = call.items[0]
        layer = layers.lookup(call.type_name, op_name(node))
        if layer is None:
            return None
        names = [argument.name for argument in node.target._schema.arguments]
        given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
        own = {}
        if not isinstance(given.get(layer.input), torch.fx.Node):
            return None
        for name, arg in given.items():
            if isinstance(arg, torch.fx.Node) and name != layer.input:
                target = captured.targets.get(arg.name)
                if target != f"{module.path}.{layer.leaves.get(name, name)}":
                    return None
                own[name] = target
        if set(own.values()) != {f"{module.path}.{name}" for name in module.entries}:
            return None
        args, kwargs = arguments(node, lambda n: operand_value(n, sizes), sizes)
        constructor = layer.constructor(*args, **kwargs)
        if constructor is None:
            return None
        event = layer.event_ndim(*args, **kwargs) if callable(layer.event_ndim) else layer.event_ndim
        lift = layer.lift(*args, **kwargs) if layer.lift is not None else None
        use = LayerUse(constructor, event, layer.needs_key, names.index(layer.input), lift=lift)
        found.append((key((constructor, lift)), use))
    first = found[0]
    return first[1] if all(k == first[0] and use.event_ndim == first[1].event_ndim for k, use in found) else None


__all__ = [
    "CLASS",
    "DICT",
    "INLINE",
    "LAYER",
    "TUPLE",
    "Array",
    "LayerUse",
    "Module",
    "Value",
    "build",
    "is_field_name",
]
