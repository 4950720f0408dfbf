"""The `__call__` of one class: its statements become lines, loops are rolled, single reads inlined, values named, and all is written."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Any

from op_table.expr import Attribute, Name, Subscript, Value, transform, values, walk
from translator import annotations, functions, scans
from translator.body import Leaf, SizeValue, Statement
from translator.classes import Branch, Definition, Given
from translator.comprehension import Comprehension, comprehend
from translator.early import return_early
from translator.inline import duplicate_cheap, inline
from translator.keys import beside, called
from translator.lengths import unpack_shapes
from translator.lines import Assign, Def, For, If, Line, Return, reads, rewrite, writes
from translator.loops import Item, ItemLeaf, Roller
from translator.lower import packet
from translator.modules import DICT, TUPLE
from translator.naming import Namer
from translator.optional import drop_unread, name_nothings, without_nothings
from translator.parameters import parameter, passed_as
from translator.source_names import LengthNames, argument_names, assigned_names, usable
from translator.state import State, read, write
from translator.tidy import tidy
from translator.tokens import replace_numbers

if TYPE_CHECKING:
    from translator.codegen import File


class Method:
    """Writes the `__call__` of a definition."""

    def __init__(self, file: File, definition: Definition, repeated: Set[str]):
        """repeated: see `Initialiser`."""
        assert definition.body is not None
        self.repeated = repeated if file.scan_layers else frozenset()
        self.file, self.definition, self.body = file, definition, definition.body
        self.bodies = file.program.bodies
        self.module = definition.module
        self.prefix = f"{self.module.path}." if self.module.path else ""
        self.nodes = self.bodies.nodes
        self.length_names: dict[str, str] = {}
        self.is_root = definition is file.program.root

    def source(self) -> str:
        """The text of the method: rolled into loops where that works out, else written out line by line."""
        try:
            return self._source(roll=True)
        except KeyError:  # a loop lost track of a value: the plain form is longer, and right
            return self._source(roll=False)

    def _source(self, roll: bool) -> str:
        definition = self.definition
        lines = self._lines()
        after: list[Any] = [tuple(definition.outputs)]
        if self.is_root:
            after = [transform(self.file.outputs.expression(self.bodies), self.body.resolve)]
        name_nothings(lines, self._takes_optional)
        after = self._take_lists(lines, after)
        after = duplicate_cheap(lines, after)
        lines = functions.reduced(lines)
        lines = Roller(self.bodies.by_path, self.prefix, after).run(lines) if roll else lines
        definition.stacked = scans.find(lines, list(values(after)), self.repeated, self._stacks)
        after = [comprehend(expr) for expr in after] if self.is_root else self._give_lists(after[0])
        drop_unread(lines, _read_after(after))
        after = return_early(lines, after)
        self.assigned = assigned_names(self._nodes(), self.body.call.frame) | functions.result_names(self.nodes)
        called_there = zip(
            (value.name for value in self.body.inputs), self._argument_names(self.body.inputs), strict=False
        )
        theirs = LengthNames(self._nodes(), self.body.call.frame, dict(called_there), self.assigned)
        self.length_names = unpack_shapes(lines, after, self.body.inputs, self.file.dims, theirs.of)
        taken = {d.name for d in self.file.program.definitions} | set(self.file.outputs.class_names)
        results = {path: d.results for path, d in self.file.program.of.items() if d.results}
        hints = self._constant_names() | functions.hints(self.nodes) | self.length_names | called(self.body.statements)
        hints |= self._state_names() | {v.name: "state" for line in lines for v in writes(line) if isinstance(v, State)}
        names = Namer(taken, hints, self.assigned, self._fallback_names(), self.nodes, results)
        arguments = [*self.body.inputs, *self._size_arguments(lines, after), *definition.extras]
        names.arguments(arguments, self._argument_names(arguments))
        if self.body.key is not None:
            names.arguments([self.body.key], ["key"])
        self.names = names
        rough = self.file.printer(lambda value: self._rough_name(value, names.names))
        for _ in range(2):  # what is tidied is shorter, and may then be written where it is read
            after = tidy(lines, inline(lines, after, rough.text))
        rewrite(lines, without_nothings)
        names.reserved |= set(self.file.copied.sources)
        names.run(lines, _read_after(after))
        self.printer = self.file.printer(self._name)
        text = self._header(arguments)
        text += self.file.outputs.argument_checks(self.file) if self.is_root else []
        text += self._block(lines, 1)
        result = after[0]
        if isinstance(result, tuple) and not self.is_root:
            result = result[0] if len(result) == 1 else result
        parts = result if isinstance(result, tuple) else (result,)
        if not self.is_root:
            pairs = zip(parts, self._returned(), strict=True)
            self.definition.results = [self._result_name(part, value) for part, value in pairs]
        text.append(f"    return {self._returned_text(result)}")
        return "\n".join(text)

    def _stacks(self, path: str) -> bool:
        """Whether the leaves of a container's items may be stacked, in every instance of the class."""
        paths = scans.in_instances(self.definition, path)
        containers = [self.bodies.by_path[path] for path in paths]
        inner = any(stacked.startswith(f"{path}.") for stacked in self.file.stacked for path in paths)
        tied = [*self.file.tied, *self.file.tied.values()]
        apart = self.module.wrapped or inner
        return not apart and all(scans.may_stack(self.bodies.captured, container, tied) for container in containers)

    def _returned_text(self, result: Any) -> str:
        """A result as it stands after `return`: several without the parentheses of a tuple."""
        text = self.printer.text(result)
        return text[1:-1] if isinstance(result, tuple) and len(result) > 1 else text

    # From statements to lines.

    def _lines(self) -> list[Line]:
        offset = len(self.definition.places)
        numbers = [sum(1 for t in walk(s.expr) if isinstance(t, (bool, int, float))) for s in self.body.statements]
        offset -= sum(numbers)
        places = iter(self.definition.places[offset:])
        assigns = [self._assign(statement, places) for statement in self.body.statements]
        return self._nested(assigns, 0, len(assigns))

    def _nested(self, assigns: list[Assign], position: int, end: int, inside: Branch | None = None) -> list[Line]:
        """The lines of statements position..end, with the code of optional fields and of local functions in blocks of its own."""
        branches = {branch.first: branch for branch in self.definition.branches if branch is not inside}
        lines: list[Line] = []
        while position < end:
            branch, function = branches.get(position), self.body.statements[position].opens
            if branch is not None:
                inner = self._nested(assigns, branch.first, branch.last, branch)
                lines.append(If(branch.field, inner, list(branch.results)))
                position = branch.last
            elif function is not None:
                close = next(i for i in range(position, end) if any(t is function for t in assigns[i].targets))
                inner = self._nested(assigns, position + 1, close)
                lines.append(Def(function, inner, assigns[close].expr, assigns[close].node))
                position = close + 1
            else:
                lines.append(assigns[position])
                position += 1
        return lines

    def _assign(self, statement: Statement, places: Any) -> Assign:
        def placed(number: Any) -> Any:
            return transform(next(places), lambda p: Attribute(Name("self"), p.text) if isinstance(p, Name) else p)

        expr = replace_numbers(statement.expr, placed)
        field = None
        if statement.call is not None:
            field = next((p for p in reversed(statement.call.path.split(".")) if not p.isdecimal()), "output")
        child = statement.call.frame if statement.call is not None else 0
        path = statement.call.path if statement.call is not None else None
        targets = list(statement.targets)
        return Assign(targets, expr, statement.node, statement.frame, field, child, path, statement.nesting)

    def _fallback_names(self) -> dict[str, str]:
        """What values are called where they are passed, or by helpers that made them."""
        names = assigned_names(self._nodes(), self.body.call.frame, elsewhere=True)
        made = {t.name for statement in self.body.statements for t in statement.targets if t is not None}
        passed = {name: passed_as(self.nodes[name]) for name in made if name in self.nodes}
        names |= called(self.body.statements)
        return names | {name: parameter for name, parameter in passed.items() if parameter and usable(parameter)}

    def _constant_names(self) -> dict[str, str]:
        """Buffers that are constants go by their own names; numbers that the code itself makes have none."""
        names = {name: target.rpartition(".")[2] for name, target in self.bodies.captured.targets.items()}
        return {name: last for name, last in names.items() if usable(last) and "tensor" not in last}

    def _state_names(self) -> dict[str, str]:
        """What states are called, and what is read from them or written to them: as the buffer."""
        names = {}
        for statement in self.body.statements:
            names |= {t.name: "state" for t in statement.targets if isinstance(t, State)}
            node = statement.node
            if node is not None and node.target in (read, write):
                held = [node] if node.target is read else map(_copied, node.args[2::2])
                for buffer, value in zip(node.args[1::2], held, strict=True):
                    last = self.bodies.captured.targets[buffer.name].rpartition(".")[2]
                    names |= {value.name: last} if usable(last) else {}
        return names

    def _nodes(self) -> list[Any]:
        return [statement.node for statement in self.body.statements if statement.node is not None]

    def _returned(self) -> list[Value | None]:
        """The value that each part of the result is; None for a list."""
        places = self.definition.returns or range(len(self.definition.outputs))
        return [None if isinstance(at, list) else self.definition.outputs[at] for at in places]

    def _result_name(self, part: Any, value: Value | None) -> str | None:
        """What a part of the result is called here, or by the source where it is written in the return."""
        if isinstance(part, Value):
            return self.printer.text(part)
        called = self.assigned.get(value.name) if value is not None else None
        return called or next(iter(self.names.of_base(part)), None)

    def _takes_optional(self, path: str) -> bool:
        """Whether the module at a path is of a class that takes optional arguments."""
        definition = self.file.program.of.get(path)
        return definition is not None and bool(definition.extras)

    # Lists that a loop gathers are returned whole, not item by item.

    def _give_lists(self, result: tuple) -> list[Any]:
        """The result with the items of each gathered list replaced by the list; the definition remembers which went where."""
        lists: dict[str, list[tuple[int, int]]] = {}
        for position, part in enumerate(result):
            if isinstance(part, Subscript) and isinstance(part.value, Value) and "__list" in part.value.name:
                lists.setdefault(part.value.name, []).append((part.index, position))
        whole = {name: sorted(items) for name, items in lists.items() if len(items) > 1}
        whole = {name: items for name, items in whole.items() if [i for i, _ in items] == list(range(len(items)))}
        returns: list[list[int] | int] = []
        parts: list[Any] = []
        for position, part in enumerate(result):
            name = part.value.name if isinstance(part, Subscript) and isinstance(part.value, Value) else None
            if name not in whole:
                returns.append(position)
                parts.append(part)
            elif whole[name][0][1] == position:
                returns.append([at for _, at in whole[name]])
                parts.append(part.value)
        self.definition.returns = returns if whole else None
        return [tuple(parts)]

    def _take_lists(self, lines: list[Line], after: list[Any]) -> list[Any]:
        """Calls of children that return lists assign to lists, and what read an item reads it from there."""
        items: dict[str, Any] = {}
        for line in lines:
            if isinstance(line, Def):
                (line.result,) = self._take_lists(line.lines, [line.result])
            for inner in line.lines if isinstance(line, If) else [line]:
                definition = self.file.program.of.get(inner.path or "") if isinstance(inner, Assign) else None
                if definition is not None and inner.path and definition.returns is not None:
                    inner.targets = [self._list_target(inner.targets, at, items) for at in definition.returns]
        if not items:
            return after

        def change(part: Any) -> Any:
            return items.get(part.name, part) if isinstance(part, Value) else part

        rewrite(lines, change)
        return [transform(expr, change) for expr in after]

    def _list_target(self, targets: list[Value | None], at: list[int] | int, items: dict[str, Any]) -> Value | None:
        if isinstance(at, int):
            return targets[at]
        parts = [targets[position] for position in at]
        if all(part is None for part in parts):
            return None
        first = next(part for part in parts if part is not None)
        gathered = Value(f"{first.name}__list", (), "float32")
        items |= {part.name: Subscript(gathered, index) for index, part in enumerate(parts) if part is not None}
        return gathered

    # Names.

    def _size_arguments(self, lines: list[Line], after: list[Any]) -> list[Value]:
        read = {v.name: v for line in lines for v in reads(line) if isinstance(v, SizeValue)}
        by_size = {v.size_expr.expr: v for v in read.values()}
        return [by_size.get(size.expr, SizeValue(f"size_{i}", size)) for i, size in enumerate(self.body.sizes)]

    def _argument_names(self, arguments: list[Value]) -> list[str]:
        arrays = [v for v in arguments if not isinstance(v, SizeValue)]
        if self.is_root:
            stateful = any(isinstance(value, State) for value in arrays)
            return [*self.file.outputs.input_names, *(["state"] if stateful else [])]
        hints = {}
        for value in arrays:
            node = self.nodes.get(value.source if isinstance(value, Given) else value.name)
            if isinstance(value, Given) and node is not None and parameter(node, value.path):
                hints[value.name] = parameter(node, value.path).partition(".")[0]
                continue
            name = assigned_names([node], 0).get(node.name) if node is not None and node.op == "call_function" else None
            if node is not None and node.op == "placeholder" and not isinstance(value, Leaf):
                name = self.file.outputs.names_of_inputs.get(value.name)
            if isinstance(value, Leaf):
                name = value.fqn.rpartition(".")[2]
            if name:
                hints[value.name] = name
        names = argument_names(self.body.call, arrays, self.nodes, hints)
        words = [*(["key"] if self.body.key is not None else []), *("state" for v in arrays if isinstance(v, State))]
        for word in words:
            names = [beside(word, name) for name in names]
        names = ["state" if isinstance(v, State) else name for v, name in zip(arrays, names, strict=True)]
        for value in arguments:
            if isinstance(value, SizeValue):
                name = self.file.dims.name(value.size_expr, 0, 0)
                names.append(name if name not in names else f"{name}_{len(names)}")
        return names

    def _rough_name(self, value: Value, names: dict[str, str]) -> str:
        if isinstance(value, (Leaf, ItemLeaf, Item)):
            return self._path(value, lambda item: "block")
        if value.name in names:
            return names[value.name]
        if value.name in self.length_names:
            return self.length_names[value.name]
        return self.assigned.get(value.name.partition("__")[0]) or "x_value"

    def _name(self, value: Value) -> str:
        if isinstance(value, (Leaf, ItemLeaf)) and value.name not in self.names.names:
            return self._path(value, lambda item: self.names.names[item.name])
        return self.names.names[value.name]

    def _path(self, value: Value, item_name: Any) -> str:
        if isinstance(value, Item):
            return item_name(value)
        if isinstance(value, ItemLeaf):
            return path_text(self.bodies.by_path, item_name(value.item), value.item.path, value.path)
        start = "self.layers" if self.module.wrapped else "self"
        return path_text(self.bodies.by_path, start, self.module.path, value.fqn[len(self.prefix) :])

    # Text.

    def _header(self, arguments: list[Value]) -> list[str]:
        signature = annotations.signature(self.file, self.definition, arguments, self.names.names)
        return [f"def __call__({', '.join(signature.parameters)}) -> {signature.result}:"]

    def _block(self, lines: list[Line], indent: int) -> list[str]:
        pad = "    " * indent
        text: list[str] = []
        for line in lines:
            match line:
                case Def():
                    short = functions.lambda_text(line, self.printer)
                    if short is not None:
                        self.names.names[line.function.name] = short
                    else:
                        text += functions.written(line, self.printer, self._block, indent)
                case Assign():
                    targets = functions.target_text(line, self.printer.name)
                    comma = "," if len(line.targets) == 1 and line.unpacks else ""
                    value = self.printer.text(line.expr)
                    if value != targets:
                        text.append(f"{pad}{targets}{comma} = {value}")
                case Return():
                    text.append(f"{pad}if self.inference:")
                    text += [
                        *self._block(line.lines, indent + 1),
                        f"{pad}    return {self._returned_text(line.result)}",
                    ]
                case If():
                    for result, otherwise in line.results:
                        name, value = self.printer.name(result), self.printer.text(otherwise)
                        text += [f"{pad}{name} = {value}"] if name != value else []
                    text.append(f"{pad}if {self._is_there(line.field)}:")
                    text += self._block(line.lines, indent + 1)
                    for value in (self.printer.text(o) for _, o in line.results if isinstance(o, Given)):
                        text.append(f"{pad}elif {value} is None:")
                        text.append(f'{pad}    raise ValueError("{value} is needed where there is no {line.field}")')
                case For():
                    taken = set(self.names.names.values())
                    text += (
                        scans.written(line, self.printer, self._block, indent, taken)
                        if line.scanned
                        else self._for(line, indent)
                    )
        return text

    def _is_there(self, field: str) -> str:
        """The test that an optional field is there; one that holds no arrays is only told of."""
        argument = next(argument for argument in self.definition.arguments if argument.field == field)
        return f"self.{argument.name}" if argument.in_body else f"self.{field} is not None"

    def _for(self, line: For, indent: int) -> list[str]:
        pad = "    " * indent
        text = [f"{pad}{self.printer.name(variable)} = []" for variable, _ in line.collected]
        items = ", ".join(self.printer.name(item) for item in line.items)
        iterables = [self.printer.text(iterable) for iterable in line.iterables]
        over = iterables[0] if len(iterables) == 1 else f"zip({', '.join(iterables)})"
        text.append(f"{pad}for {items} in {over}:")
        text += self._block(line.lines, indent + 1)
        for variable, value in line.carried:
            if self.printer.name(variable) != self.printer.name(value):
                text.append(f"{pad}    {self.printer.name(variable)} = {self.printer.name(value)}")
        for variable, value in line.collected:
            text.append(f"{pad}    {self.printer.name(variable)}.append({self.printer.text(value)})")
        return text


def _copied(node: Any) -> Any:
    """What a node is a copy of, if it is one."""
    return node.args[1] if packet(node) == "copy" else node


def path_text(by_path: dict[str, Any], start: str, base: str, rest: str) -> str:
    """How code writes the path from a module (written start, at base) to what lies at rest below it."""
    text, path = start, base
    for part in rest.split(".") if rest else ():
        holder = by_path.get(path)
        kind = (holder.wrapped or holder.kind) if holder is not None else None
        text += f"[{part}]" if kind == TUPLE else f"[{part!r}]" if kind == DICT else f".{part}"
        path = f"{path}.{part}" if path else part
    return text


def _read_after(exprs: list[Any]) -> list[Value]:
    """The values that the result reads, those in comprehensions included."""
    found = list(values(exprs))
    for part in walk(exprs):
        if isinstance(part, Comprehension):
            found += part.lists
    return found
