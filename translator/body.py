"""Bodies: each module call becomes a list of lowered statements over the arrays that its class has at hand.

A call of a child that is a class or a layer of its own is one statement; the code of any other child is written in place,
its statements tagged with the child's path. Symbolic sizes become `x.shape[i]` of an array of the same body; one that no
array there shows becomes an argument.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy
import torch
from torch.fx import Node

from op_table.dtypes import written
from op_table.expr import (
    Call,
    Expr,
    Function,
    Name,
    Operation,
    Prelude,
    RandomKey,
    Size,
    Subscript,
    Value,
    children,
    transform,
    values,
    walk,
)
from op_table.prelude.batched import batched
from op_table.registry import Unsupported
from translator import provenance
from translator.captured import Captured
from translator.constants import constant, short_names
from translator.errors import Problem, UnsupportedOps
from translator.functions import Functions, nested
from translator.hierarchy import ModuleCall, is_item, is_size
from translator.keys import Key, thread
from translator.lower import Sizes, lower_node, op_name, operand_value
from translator.modules import CLASS, INLINE, LAYER, Module
from translator.parameters import parameter, returned_order
from translator.regions import argument, closes, is_control_flow, opens
from translator.sizes import SizeValue, SizeWriter
from translator.state import State, is_state, placeholder


class Leaf(Value):
    """An array or a module of the tree, by its fqn: written as a path from `self` in the class that holds it.

    name is the placeholder of an array, which no other value of the graph has; a module has none.
    """

    def __init__(self, fqn: str, shape: tuple = (), dtype: Any = "float32", name: str | None = None):
        super().__init__(name or f"module {fqn}", shape, np.dtype(dtype))
        self.fqn = fqn


@dataclass(eq=False)
class Statement:
    """One assignment: the values in targets (None for a part that nothing reads) are what expr gives.

    node: the FX node it came from, for its name in the source; call: the child's call that it is. groups: the paths of the
    children whose code this is, outermost first. frame: the depth in the stack trace of the code it is part of. arranged:
    whether a child's call has its arguments and results in the order of the child's class.
    """

    targets: tuple[Value | None, ...]
    expr: Any
    node: Node | None = None
    call: ModuleCall | None = None
    groups: tuple[str, ...] = ()
    frame: int = 0
    arranged: bool = False
    opens: Function | None = (
        None  # the local function of which what follows is the code, up to the statement that makes it
    )
    nesting: Any = (
        None  # how the result's parts are nested, where not in one flat tuple: tuples of positions in targets
    )


@dataclass(eq=False)
class Body:
    """What one call of a class does. inputs are its arguments, sizes the symbolic sizes that come after them as ints."""

    module: Module
    call: ModuleCall
    inputs: list[Value] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    key: Key | None = None  # what its random numbers are drawn from; no part of inputs
    resolve: Callable[[Any], Any] = lambda part: part  # writes a size by what the body has at hand


class Bodies:
    """Lowers every node of a tree once, and builds the body of each call of a class."""

    def __init__(self, captured: Captured, tree: Module, sizes: Sizes):
        self.captured, self.tree, self.sizes = captured, tree, sizes
        self.by_path = {module.path: module for module in tree.walk()}
        self.values: dict[str, Value] = {}
        self.problems: list[Problem] = []
        self.constants: dict[str, torch.Tensor] = {}
        self.lowered: dict[str, Any] = {}
        self.ops: dict[str, int] = {}
        self.keyed: set[str] = set()  # the modules that take a key even if they draw nothing

    @functools.cached_property
    def constant_names(self) -> dict[str, str]:
        """What the source calls each tensor that no checkpoint carries."""
        tensors, persistent = self.captured.tensors, self.captured.persistent
        leaves = persistent | set(self.captured.mutated)
        fixed = [t for t in self.captured.targets.values() if t not in leaves and t in tensors]
        return short_names({target: tensors[target] for target in fixed})

    @functools.cached_property
    def nodes(self) -> dict[str, Node]:
        """The graph's nodes by name."""
        return {node.name: node for node in self.captured.graph.nodes}

    def lower_all(self, root: ModuleCall) -> None:
        """Lower every node. Raises UnsupportedOps naming all that cannot be."""
        functions = Functions(self)
        for node in root.nodes():
            if functions.take(node) or is_item(node) or node.op == "get_attr":
                continue
            self.ops[op_name(node)] = self.ops.get(op_name(node), 0) + 1
            try:
                self.lowered[node.name] = lower_node(node, self.operand, self.sizes)
            except Unsupported as error:
                stack = node.meta.get("nn_module_stack") or {}
                path = next(reversed(stack.values()))[0] if stack else ""
                self.problems.append(Problem(op_name(node), path, provenance.user_line(node), str(error)))
                functions.lost.add(node)
        if self.problems:
            raise UnsupportedOps(self.problems)

    def operand(self, node: Node) -> Any:
        """What stands for a node where another reads it: a Value, a leaf of the tree, or a size."""
        if is_size(node) and not is_item(node):
            return self.sizes.read(node.meta["val"])
        if node.name not in self.values:
            target = self.captured.targets.get(node.name)
            if is_state(node):
                self.values[node.name] = State(node.name)
            elif target is not None and (target in self.captured.persistent or target in self.captured.mutated):
                value = node.meta["val"]
                shaped = operand_value(node, self.sizes)
                self.values[node.name] = Leaf(target, tuple(value.shape), shaped.dtype, node.name)
            else:
                self.values[node.name] = operand_value(node, self.sizes)
        return self.values[node.name]

    def result(self, node: Node) -> Any:
        """What stands for a node in the root's result: a constant is written out."""
        value = self.operand(node)
        if not isinstance(value, Value) or not self._is_constant(value):
            return value
        expr = self._constant(value)  # numpy's where code computes with it; what is returned is an array of JAX's
        return transform(expr, lambda part: Name("jnp") if isinstance(part, Name) and part.text == "np" else part)

    def body(self, module: Module, call: ModuleCall) -> Body:
        """The body of one call of a class, its sizes resolved."""
        body = Body(module, call)
        self._fill(body, call, ())
        own = f"{call.path}({module.calls.index(call)})"
        body.statements, body.key = thread(body.statements, own, module.path)
        if body.key is None and module.path in self.keyed:
            body.key = Key(f"{own}key", "key")
        inside = {t.name for s in body.statements for t in s.targets if t is not None}
        own = f"{module.path}." if module.path else ""
        reads: dict[str, Value] = {}
        for statement in body.statements:
            for part in walk(statement.expr):
                if isinstance(part, Value) and part.name not in inside and not self.is_own(part, own):
                    reads.setdefault(part.name, part)
        order = self._input_order(call)
        arguments = (v for v in reads.values() if not self._is_constant(v) and v is not body.key)
        body.inputs = sorted(arguments, key=lambda value: order.get(value.name, len(order)))
        self._add_constants(body, [v for v in reads.values() if self._is_constant(v)])
        if call is self.tree.calls[0]:
            body.inputs = [self.operand(n) for n in self.root_inputs()]
        returned = sorted(call.outputs, key=lambda node: returned_order(node, call.path))
        body.outputs = [self.operand(node) for node in returned]
        self._resolve_sizes(body)
        return body

    def _resolve_sizes(self, body: Body) -> None:
        """Write symbolic sizes as lengths of the arrays at hand. What no array of the body shows becomes an argument of it."""
        extra: dict[sympy.Expr, SizeValue] = {}

        def argument(expr: sympy.Expr) -> Expr:
            if body.call is self.tree.calls[0]:
                raise Unsupported(f"the size {expr} is the length of no argument's axis")
            return extra.setdefault(
                expr, SizeValue(f"size_{len(extra) + 1}_{expr}", Size(expr, self.sizes.value(expr)))
            )

        writer = SizeWriter(argument)
        for value in body.inputs:
            writer.show(value)
        around: list[dict[sympy.Expr, Expr]] = []
        for statement in body.statements:
            if statement.opens is not None:
                around.append(dict(writer.shown))
            try:
                statement.expr = transform(statement.expr, writer.resolve)
            except Unsupported as error:
                node = statement.node
                op, line = (op_name(node), provenance.user_line(node)) if node is not None else ("a size", "")
                raise UnsupportedOps([Problem(op, body.module.path, line, str(error))]) from error
            if any(isinstance(value, Function) for value in statement.targets):
                writer.shown = around.pop()  # what a function's own arrays show is not known outside of it
                continue
            for value in statement.targets:
                if value is not None:
                    writer.show(value)
        body.sizes = [value.size_expr for value in extra.values()]
        body.resolve = writer.resolve

    def _input_order(self, call: ModuleCall) -> dict[str, int]:
        """The places of a call's inputs by name: as its forward takes them, and then in the order of their first use."""
        forward = provenance.forward_names(call.type_name)
        names = [(parameter(node, call.path) or "").partition(".")[0] for node in call.inputs]
        places = [forward.index(name) if name in forward else len(forward) for name in names]
        ordered = sorted(zip(places, range(len(places)), call.inputs, strict=True), key=lambda entry: entry[:2])
        return {self.operand(node).name: position for position, (_, _, node) in enumerate(ordered)}

    def root_inputs(self) -> list[Node]:
        from translator.capture import user_inputs

        nodes = user_inputs(self.captured.graph, self.captured.program)
        state = placeholder(self.captured.graph)
        return [n for n in nodes if isinstance(n.meta.get("val"), torch.Tensor)] + (
            [state] if state is not None else []
        )

    def is_own(self, value: Value, prefix: str) -> bool:
        """Whether a value is a leaf (or module) of the tree below prefix."""
        return isinstance(value, Leaf) and value.fqn.startswith(prefix)

    def _is_constant(self, value: Value) -> bool:
        target = self.captured.targets.get(value.name)
        return target is not None and not isinstance(value, Leaf)

    def _add_constants(self, body: Body, values: list[Value]) -> None:
        names = {value.name: value.name for value in values}
        for statement in body.statements:  # a copy of a constant is the constant by another name
            if isinstance(statement.expr, Value) and statement.expr.name in names:
                names |= {t.name: names[statement.expr.name] for t in statement.targets if t is not None}
        computed = {names[name] for s in body.statements for name in _computed_with(s.expr, names.keys())}
        for value in reversed(values):
            expr = self._constant(value)
            if value.name in computed:  # numpy would compute with it, and takes nothing that JAX traces
                dtype = {"dtype": written(value.dtype)} if value.dtype.kind in "fcV" else {}
                expr = Name("jnp").asarray(expr, **dtype)
            body.statements.insert(0, Statement((value,), expr, frame=body.call.frame))

    def _constant(self, value: Value) -> Expr:
        target = self.captured.targets[value.name]
        name = self.constant_names[target]
        expr, stored = constant(name, self.captured.tensors[target])
        if stored is not None:
            self.constants[name] = stored
        return expr

    def _fill(self, body: Body, call: ModuleCall, groups: tuple[str, ...]) -> None:
        for item in call.items:
            if isinstance(item, ModuleCall):
                self._child(body, item, groups)
            elif item.op != "get_attr":
                self._node(body, item, groups)

    def _node(self, body: Body, node: Node, groups: tuple[str, ...]) -> None:
        frame = body.call.frame
        if node.target is opens:
            function = self.lowered[node.name]
            targets = tuple(values(function.parameters))
            body.statements.append(Statement(targets, (), node, None, groups, frame, opens=function))
        elif node.target is closes:
            function = self.operand(node)
            body.statements.append(Statement((function,), function.result, node, None, groups, frame))
        elif (parts := self.parts(node)) is not None:
            nesting = nested(parts[1]) if is_control_flow(node) else None
            body.statements.append(Statement(*parts, node, None, groups, frame, nesting=nesting))

    def parts(self, node: Node) -> tuple[tuple[Value | None, ...], Any] | None:
        """The values that a node gives and the expression that makes them; None where other nodes' statements do."""
        if is_item(node):
            source, index = node.args
            result = self.lowered.get(source.name)
            return ((self.operand(node),), result[index]) if isinstance(result, (tuple, list)) else None
        if node.target is argument:
            return None
        result = self.lowered[node.name]
        recorded = node.meta["val"]
        if not isinstance(recorded, (tuple, list)):
            return (self.operand(node),), result
        if not isinstance(result, Expr):
            return None
        parts: list[Value | None] = [None] * len(recorded)
        for user in node.users:
            if is_item(user):
                parts[user.args[1]] = self.operand(user)
        if len(parts) == 1 and isinstance(result.aval, (tuple, list)):
            result = result[0]
        return tuple(parts), result

    def _child(self, body: Body, call: ModuleCall, groups: tuple[str, ...]) -> None:
        module = self.by_path[call.path]
        if module.kind == LAYER:
            node = call.items[0]
            assert isinstance(node, Node) and module.layer is not None
            x = self.operand(node.args[module.layer.input])
            leaf = Leaf(module.path)
            options = {"key": RandomKey()} if module.layer.draws else {}
            lifted = module.layer.lift
            expr = lifted(leaf, x) if lifted is not None else lift(leaf, x.ndim, module.layer.event_ndim)(x, **options)
            result = call.items[-1]
            body.statements.append(Statement((self.operand(result),), expr, result, call, groups, body.call.frame))
        elif module.kind == CLASS and module.callable:
            child = self.body_of(module, call)
            named = (("key", child.key),) if child.key is not None else ()
            expr = Call(Leaf(module.path), (*child.inputs, *child.sizes), named)
            node = call.outputs[0] if call.outputs else None
            body.statements.append(Statement(tuple(child.outputs), expr, node, call, groups, body.call.frame))
        else:
            own = module.kind != INLINE or not call.type_name.startswith("torch.nn.")
            self._fill(body, call, (*groups, call.path) if own else groups)

    def body_of(self, module: Module, call: ModuleCall) -> Body:
        """The body of a call, built once."""
        memo = self.__dict__.setdefault("_bodies", {})
        if call not in memo:
            memo[call] = self.body(module, call)
        return memo[call]


def _computed_with(part: Any, constants: Set[str]) -> Iterator[str]:
    """The constants that an expression does more with than to hand them to JAX, beside what is traced or in a call of jnp."""
    for child in children(part):
        yield from _computed_with(child, constants)
        if isinstance(child, Value) and child.name in constants:
            beside = any(isinstance(v, Value) and v.name not in constants for v in walk(part))
            of_jax = isinstance(part, Call) and not isinstance(part.function, (Prelude, Value))
            index = isinstance(part, Subscript) and child is part.index
            handed = (isinstance(part, Operation) or index) and beside or of_jax and child is not part.function
            if not handed and not isinstance(part, (tuple, list, dict)):
                yield child.name


def lift(layer: Expr, ndim: int, event_ndim: int | None) -> Expr:
    """A layer that takes one example of event_ndim axes, over an array of ndim axes."""
    if event_ndim is None or ndim == event_ndim:
        return layer
    if ndim == event_ndim + 1:
        return Name("jax").vmap(layer)
    return Prelude(batched)(layer) if event_ndim == 1 else Prelude(batched)(layer, event_ndim)


__all__ = ["Bodies", "Body", "Leaf", "SizeValue", "Statement", "lift"]
