"""The fields of an emitted class and its `__init__`, which builds it with fresh weights."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from op_table.dtypes import is_float, written
from op_table.expr import Attribute, Call, Expr, Name, jax, jnp
from translator import fresh
from translator.annotations import array_type
from translator.classes import Argument, Definition
from translator.constants import formula
from translator.constructors import full_call, short_call
from translator.errors import TranslationError
from translator.modules import CLASS, DICT, INLINE, LAYER, TUPLE, Array, Module
from translator.tokens import replace_numbers, same_number

if TYPE_CHECKING:
    from translator.codegen import File

# Up to so many keys have names; more are drawn from an iterator.
_NAMED_KEYS = 6

# A constructor of the file that takes more numbers than this is called with their names, where they fit on a line.
_POSITIONAL, _NAMED_LENGTH = 3, 64


class Initialiser:
    """Writes the fields and the `__init__` of a definition."""

    def __init__(self, file: File, definition: Definition):
        self.file, self.definition = file, definition
        self.module = definition.module
        self.printer = file.printer(lambda value: value.name)
        self.array_places: dict[str, tuple] = {}
        self._find_array_places(self.module, iter(definition.places))
        self.position = 0
        self.keys = 0
        self.limit: Any = None  # one over its square root is the `limit` of uniform draws
        self.runs: dict[str, list[int]] = {}
        self.repeated: set[str] = set()  # tuples whose items are instances of one class, built alike

    def _find_array_places(self, entry: Module, places: Iterator[Any]) -> None:
        for child in entry.entries.values():
            if isinstance(child, Array):
                self.array_places[child.fqn] = tuple(next(places) for _ in child.shape)
            elif child.kind == LAYER:
                replace_numbers(full_call(child.layer.constructor), lambda number: next(places))
            elif child.kind == CLASS:
                for _ in self.file.program.of[child.path].arguments:
                    next(places)
            else:
                self._find_array_places(child, places)

    def fields(self) -> list[str]:
        """The field lines, then those of static numbers that `__call__` reads."""
        entries = self._entries()
        if self.module.wrapped:
            lines = [f"layers: {self._type(self._wrapped())}"]
        else:
            lines = [f"{name}: {self._type(entry)}" for name, entry in entries.items()]
            optional = set(self.definition.optional)
            lines = [f"{line} | None" if line.partition(":")[0] in optional else line for line in lines]
        if self.definition.inference:
            if "inference" in self.module.entries:
                raise TranslationError(
                    f"{self.module.path or 'the root module'} holds something called `inference`, the name by which Equinox "
                    "sets the mode: rename it, or translate the module in evaluation mode"
                )
            lines.append("inference: bool")
        for argument in self.definition.arguments:
            if argument.in_body:
                kind = type(argument.values[0]).__name__
                lines.append(f"{argument.name}: {kind} = eqx.field(static=True)")
        return lines

    def _entries(self) -> dict[str, Any]:
        return {name: entry for name, entry in self.module.entries.items() if not _nothing(entry)}

    def _wrapped(self) -> Module:
        return Module("", "", self.module.wrapped or TUPLE, dict(self.module.entries))

    def _type(self, entry: Module | Array) -> str:
        if isinstance(entry, Array):
            return "eqx.nn.StateIndex" if entry.is_state else f'{array_type(entry.dtype)}[Array, "{self._dims(entry)}"]'
        if _nothing(entry):
            return "None"
        if entry.kind == LAYER:
            return self.printer.text(entry.layer.constructor.function)
        if entry.kind == CLASS:
            return self.file.program.of[entry.path].name
        types = [self._type(child) for child in _children(entry)]
        if entry.path in self.definition.stacked:
            return f"{types[0]}  # {len(types)} of them, each leaf one stack"
        if entry.kind == DICT:  # its items are told apart by their keys, which no type says
            return f"dict[str, {types[0] if len(set(types)) == 1 else 'Any'}]"
        if len(types) > 1 and len(set(types)) == 1:
            return f"tuple[{types[0]}, ...]"
        runs = self.runs.get(entry.path, [1] * len(types))
        if max(runs) > 1:
            starts = itertools.accumulate(runs, initial=0)
            types = [
                f"*tuple[{types[at]}, ...]" if run > 1 else types[at] for run, at in zip(runs, starts, strict=False)
            ]
            if sum(run > 1 for run in runs) > 1:  # a tuple's type has room for one part of any length
                plain = dict.fromkeys(text.removeprefix("*tuple[").removesuffix(", ...]") for text in types)
                return f"tuple[{' | '.join(plain)}, ...]"
        return f"tuple[{', '.join(types)}]"

    def _dims(self, array: Array) -> str:
        sizes = self.array_places[array.fqn]
        if len(sizes) == 1 and not isinstance(sizes[0], int):
            return f" {self.printer.text(sizes[0])}" if isinstance(sizes[0], Name) else "_"
        return " ".join(str(n) if isinstance(n, int) else n.text if isinstance(n, Name) else "_" for n in sizes)

    # __init__

    def source(self) -> str:
        lines = []
        assigned = []
        if self.module.wrapped:
            assigned.append(("layers", self._build(self._wrapped(), "layers")))
        else:
            for name, entry in self.module.entries.items():
                value = self._build(entry, name)
                if not _nothing(entry):
                    assigned.append((name, value))
        switches = {argument.field: argument.name for argument in self.definition.arguments}
        prepared = self._key_lines()
        if self.limit is not None:
            prepared.append(f"    limit = 1 / math.sqrt({self.printer.text(self.limit)})")
        for name, value in assigned:
            if name in switches:
                lines += [f"    self.{name} = None", f"    if {switches[name]}:", f"        self.{name} = {value}"]
            else:
                lines.append(f"    self.{name} = {value}")
        text = "\n".join([*prepared, *lines])
        for number in range(self.keys):
            text = text.replace(f"<key {number}>", self._key(number))
        for argument in self.definition.arguments:
            if argument.in_body:
                text += f"\n    self.{argument.name} = {argument.name}"
        if self.definition.inference:
            text += "\n    self.inference = False"
        if not text.strip():
            return "" if not self.is_root else "def __init__(self, *, key: PRNGKeyArray):\n    pass"
        return f"{self._header()}\n{text}"

    @property
    def is_root(self) -> bool:
        return self.definition is self.file.program.root

    def _header(self) -> str:
        parameters = ["self"]
        for argument in sorted(self.definition.arguments, key=lambda a: a.default is not None):
            default = "" if argument.default is None else f" = {self.printer.text(argument.default)}"
            parameters.append(f"{argument.name}: {type(argument.values[0]).__name__}{default}")
        if self.keys or self.is_root:
            parameters += ["*", "key: PRNGKeyArray"]
        self.definition.needs_key = bool(self.keys)
        return f"def __init__({', '.join(parameters)}):"

    def _key_lines(self) -> list[str]:
        if self.keys < 2:
            return []
        if self.keys <= _NAMED_KEYS:
            names = ", ".join(f"k{i + 1}" for i in range(self.keys))
            number = "" if self.keys == 2 else f", {self.keys}"
            return [f"    {names} = jax.random.split(key{number})"]
        return [f"    keys = iter(jax.random.split(key, {self.keys}))"]

    def _key(self, number: int) -> str:
        if self.keys == 1:
            return "key"
        return f"k{number + 1}" if self.keys <= _NAMED_KEYS else "next(keys)"

    def _next_key(self) -> str:
        self.keys += 1
        return f"<key {self.keys - 1}>"

    def _build(self, entry: Module | Array, name: str) -> str:
        if isinstance(entry, Array):
            array = self._array(entry, name)
            return f"eqx.nn.StateIndex({array})" if entry.is_state else array
        if _nothing(entry):
            return "None"
        if entry.kind == LAYER:
            call = short_call(self._placed(full_call(entry.layer.constructor)))
            key = [f"key={self._next_key()}"] if entry.layer.needs_key else []
            return self._call(self.printer.text(call.function), call, key)
        if entry.kind == CLASS:
            definition = self.file.program.of[entry.path]
            pairs = [(argument, self._place()) for argument in definition.arguments]
            required = [pair for pair in pairs if pair[0].default is None]
            args = [self._argument(*pair, named=True) for pair in required]
            if len(args) <= _POSITIONAL or len(", ".join(args)) > _NAMED_LENGTH:
                args = [self._argument(*pair, named=False) for pair in required]
                keyword = next((i for i, arg in enumerate(args) if "=" in arg), len(args))
                args[keyword:] = [self._argument(*pair, named=True) for pair in required[keyword:]]
            args += [self._argument(*pair, named=True) for pair in pairs if not _is_default(*pair)]
            key = [f"key={self._next_key()}"] if definition.needs_key else []
            return f"{definition.name}({', '.join([*args, *key])})"
        return self._container(entry, name)

    def _argument(self, argument: Argument, value: Any, named: bool) -> str:
        text = self.printer.text(value)
        plain = type(argument.values[0]) is int and not named
        return text if plain else f"{argument.name}={text}"

    def _container(self, entry: Module, name: str) -> str:
        children = _children(entry)
        if entry.kind == TUPLE and (repeated := self._repeated(children, name, entry.path)) is not None:
            return repeated
        if entry.kind == TUPLE:
            items, self.runs[entry.path] = self._runs(children, name)
            return f"({', '.join(items)}{',' if len(children) == 1 else ''})"
        built = [self._build(child, child_name) for child_name, child in _named_children(entry)]
        if entry.kind == DICT:
            return "{" + ", ".join(f"{n!r}: {b}" for (n, _), b in zip(_named_children(entry), built, strict=True)) + "}"
        raise AssertionError(f"{entry.path} is no container")

    def _runs(self, children: list, name: str) -> tuple[list[str], list[int]]:
        """The items of a tuple, three or more equal ones in a row as a comprehension; and how many each stands for."""
        items: list[str] = []
        counts: list[int] = []
        while children:
            for count in range(len(children), 2, -1):
                repeated = self._repeated(children[:count], name, None)
                if repeated is not None:
                    items.append(f"*{repeated.removeprefix('tuple')}")
                    break
            else:
                count = 1
                items.append(self._build(children[0], name))
            counts.append(count)
            children = children[count:]
        return items, counts

    def _repeated(self, children: list, name: str, path: str | None) -> str | None:
        """A tuple of equal children as a comprehension. path: that of the tuple, where they are all of it."""
        if len(children) < 2 or any(isinstance(c, Array) or _nothing(c) for c in children):
            return None
        position, keys, built = self.position, self.keys, []
        for child in children:
            self.keys = keys
            built.append(self._build(child, name))
            one = self.keys - keys
            if built[-1] != built[0] or one > 1:
                self.position, self.keys = position, keys
                return None
        self.keys = keys
        if path is not None and one and children[0].kind == CLASS:
            self.repeated.add(path)
        if one == 0:
            return f"tuple({built[0]} for _ in range({len(children)}))"
        key = self._next_key()
        if path in self.definition.stacked:
            build = f"lambda k: {built[0].replace(key, 'k')}"
            return f"eqx.filter_vmap({build})(jax.random.split({key}, {len(children)}))"
        return f"tuple({built[0].replace(key, 'k')} for k in jax.random.split({key}, {len(children)}))"

    def _place(self) -> Any:
        self.position += 1
        return self.definition.places[self.position - 1]

    def _placed(self, call: Call) -> Call:
        return replace_numbers(call, lambda number: self._place())

    def _call(self, function: str, call: Call, key: list[str]) -> str:
        args = [self.printer.text(arg) for arg in call.args] + [f"{n}={self.printer.text(v)}" for n, v in call.kwargs]
        return f"{function}({', '.join([*args, *key])})"

    def _array(self, array: Array, name: str) -> str:
        """A fresh array: as torch draws those of its own modules; of others, zeros for biases and unknown buffers, ones for gains,
        small normal numbers for all else."""
        shape = tuple(self._place() for _ in array.shape)
        dtype = None if np.dtype(array.dtype).name == "float32" else written(array.dtype)
        if array.is_buffer and not array.value.is_meta:
            known = formula(array.value, array.dtype)
            if known is not None and all(isinstance(size, int) for size in shape):
                return self.printer.text(known)
        last = array.fqn.rpartition(".")[2]
        plain = {} if dtype is None else {"dtype": dtype}
        if not array.is_buffer and is_float(array.dtype) and self.module.entries.get(last) is array:
            arrays = {name: entry for name, entry in self.module.entries.items() if isinstance(entry, Array)}
            scheme = fresh.scheme(self.module.type_name, last, arrays)
            if scheme is not None and not any(0 in entry.shape for entry in arrays.values()):
                return self.printer.text(self._drawn(scheme, shape, plain))
        if array.is_buffer or not is_float(array.dtype) or "bias" in last and len(shape) == 1:
            ones = array.is_buffer and last.endswith(("var", "scale"))
            return self.printer.text((jnp.ones if ones else jnp.zeros)(_shape(shape), **plain))
        if len(shape) <= 1:
            return self.printer.text(jnp.ones(_shape(shape), **plain))
        normal: Expr = Attribute(Attribute(jax, "random"), "normal")(Name(self._next_key()), shape, **plain)
        return self.printer.text(0.02 * normal)

    def _drawn(self, scheme: fresh.Uniform | str, shape: tuple, plain: dict[str, Any]) -> Expr:
        key, random = Name(self._next_key()), Attribute(jax, "random")
        if scheme == fresh.GLOROT:
            draw = Attribute(Attribute(Attribute(jax, "nn"), "initializers"), "glorot_uniform")()
            return draw(key, shape, *plain.values())
        if scheme == fresh.NORMAL:
            return Attribute(random, "normal")(key, shape, **plain)
        sizes = self.array_places[self.module.entries[scheme.array].fqn]
        sizes = sizes[1:] if scheme.to_last else sizes[1:2]
        self.limit = functools.reduce(operator.mul, sizes)
        limit = Name("limit")
        return Attribute(random, "uniform")(key, shape, **plain, minval=-limit, maxval=limit)


def _shape(shape: tuple) -> Any:
    return shape[0] if len(shape) == 1 else shape


def _is_default(argument: Argument, value: Any) -> bool:
    """Whether an argument goes without saying, or was given by position."""
    return argument.default is None or same_number(value, argument.default)


def _nothing(entry: Module | Array) -> bool:
    return isinstance(entry, Module) and entry.kind == INLINE


def _named_children(entry: Module) -> list[tuple[str, Any]]:
    """The children of a container; a tuple has one for each index up to the last, nothing where torch's has no arrays."""
    if entry.kind != TUPLE:
        return [(name, child) for name, child in entry.entries.items() if not _nothing(child)]
    present = {int(name): child for name, child in entry.entries.items() if not _nothing(child)}
    empty = Module(f"{entry.path}.-", kind=INLINE)
    return [(str(i), present.get(i, empty)) for i in range(max(present) + 1)]


def _children(entry: Module) -> list:
    return [child for _, child in _named_children(entry)]
