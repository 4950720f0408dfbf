"""The root's signature and result: arguments as the torch module takes them, results in the same pytree.

Dataclasses and other containers become NamedTuples with the same fields. Arguments that were no arrays keep the value they
were translated with; another value raises ValueError.
"""

from __future__ import annotations

import inspect
import keyword
import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sympy
import torch
from torch.fx import Node
from torch.utils import _pytree as pytree

from op_table.expr import Call, Conditional, Inference, Name, Value, values
from op_table.registry import Unsupported
from translator import annotations, guards
from translator.body import Bodies
from translator.capture import user_inputs
from translator.captured import Captured
from translator.errors import TranslationError
from translator.keys import beside
from translator.modules import is_field_name
from translator.source_names import RESERVED

if TYPE_CHECKING:
    from translator.codegen import File


_TUPLES = (tuple, torch.Size)


@dataclass(frozen=True)
class Container:
    """A NamedTuple of the emitted file, for a class that the module returns."""

    name: str
    origin: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Parameter:
    """One parameter of the root's `__call__`. text writes its arrays by name; baked are the conditions its constants must meet."""

    name: str
    annotation: str | None
    default: str | None
    keyword_only: bool
    checks: tuple[tuple[str, str], ...]


class Outputs:
    """Reads the root's inputs and outputs from the exported program's own record of them."""

    def __init__(self, captured: Captured, conditions: tuple[sympy.Basic, ...] = ()):
        """conditions: what must hold of the lengths of the arguments."""
        self.captured, self.conditions = captured, conditions
        self.graph_output = next(n for n in captured.graph.nodes if n.op == "output")
        self.containers: dict[tuple[type, tuple[str, ...]], Container] = {}
        leaves = list(self.graph_output.args[0])
        self.state = leaves.pop() if captured.mutated else None
        # What is returned, as (structure, leaves); in evaluation mode, too, where that is something else.
        self.returned = [(captured.program.call_spec.out_spec, leaves)]
        if captured.evaluation_returns:
            count = len(leaves) - captured.evaluation_returns
            specs = (captured.program.call_spec.out_spec, captured.evaluation.call_spec.out_spec)
            self.returned = list(zip(specs, (leaves[:count], leaves[count:]), strict=True))
        for spec, _ in self.returned:
            self._find_containers(spec)
        self._read_inputs()
        if self.state is not None:
            self.make_room("state")

    @property
    def class_names(self) -> list[str]:
        return [container.name for container in self.containers.values()]

    # Results.

    def _find_containers(self, spec: Any) -> None:
        for child in _specs(spec):
            self._find_containers(child)
        names = _field_names(spec)
        if names is None or not all(is_field_name(name) for name in names) or len(set(names)) < len(names):
            return
        key = (spec.type if not isinstance(spec.type, type) or spec.type is not tuple else tuple, tuple(names))
        if key not in self.containers:
            cls = spec.context if spec.type.__name__ == "namedtuple" else spec.type
            base = cls.__name__ if cls.__name__.isidentifier() else "Result"
            if cls.__module__ == "torch.return_types":  # called what the functions are: max, linalg_eigh
                base = "".join(word.capitalize() for word in base.split("_")) + "Result"
            taken = {c.name for c in self.containers.values()} | RESERVED
            name, count = base, 2
            while name in taken:
                name, count = f"{base}{count}", count + 1
            self.containers[key] = Container(name, f"{cls.__module__}.{cls.__qualname__}", tuple(names))

    def _container(self, spec: Any) -> Container | None:
        names = _field_names(spec)
        return None if names is None else self.containers.get((spec.type, tuple(names)))

    def expression(self, bodies: Bodies) -> Any:
        """What the root returns, over the values of its body; with a state, both."""

        def leaf(part: Any) -> Any:
            try:
                return bodies.result(part) if isinstance(part, Node) else part
            except Unsupported as error:
                raise TranslationError(f"the module returns what cannot be translated: {error}") from error

        result, *evaluation = [self._build(spec, map(leaf, leaves).__next__) for spec, leaves in self.returned]
        if evaluation:
            result = Conditional(Inference(), evaluation[0], result)
        return result if self.state is None else (result, bodies.operand(self.state))

    def _build(self, spec: Any, leaf: Callable[[], Any]) -> Any:
        if spec.is_leaf():
            return leaf()
        if spec.type is type(None):
            return None
        parts = [self._build(child, leaf) for child in _specs(spec)]
        container = self._container(spec)
        if container is not None:
            return Call(Name(container.name), (), tuple(zip(container.fields, parts, strict=True)))
        if spec.type in _TUPLES:
            return tuple(parts)
        if spec.type is list:
            return parts
        names = _field_names(spec) or _keys(spec)
        if len({type(name) for name in names or ()}) > 1:
            raise TranslationError(
                f"the module returns a dict with keys of several types ({names}), which JAX cannot sort"
            )
        if names is not None and len(names) == len(parts):
            return dict(zip(names, parts, strict=True))
        raise TranslationError(f"the module returns a {spec.type.__name__}, of which the emitted file has no equal")

    def annotation(self, file: File) -> str:
        texts = [self._annotate(spec, file, iter(leaves)) for spec, leaves in self.returned]
        result = " | ".join(dict.fromkeys(texts))
        return result if self.state is None else f"tuple[{result}, {annotations.STATE}]"

    def _annotate(self, spec: Any, file: File, leaves: Any) -> str:
        if spec.is_leaf():
            part = next(leaves)
            if not isinstance(part, Node):
                return "None" if part is None else type(part).__name__
            value = file.program.bodies.operand(part)
            return annotations.shaped(file.dims, [value]) if isinstance(value, Value) else "int"
        parts = [self._annotate(child, file, leaves) for child in _specs(spec)]
        container = self._container(spec)
        if container is not None:
            return container.name
        if spec.type in _TUPLES:
            return f"tuple[{', '.join(parts) or '()'}]"
        kinds = " | ".join(dict.fromkeys(parts)) or "None"
        return f"list[{kinds}]" if spec.type is list else f"dict[str, {kinds}]"

    def class_sources(self, file: File) -> list[str]:
        """The NamedTuples, inner ones first."""
        types: dict[str, list[str]] = {}

        def visit(spec: Any, leaves: Any) -> str:
            if spec.is_leaf():
                return self._annotate(spec, file, leaves)
            parts = [visit(child, leaves) for child in _specs(spec)]
            container = self._container(spec)
            if container is not None:
                types.setdefault(container.name, parts)
                return container.name
            kinds = " | ".join(dict.fromkeys(parts)) or "None"
            if spec.type in _TUPLES:
                return f"tuple[{', '.join(parts) or '()'}]"
            return f"list[{kinds}]" if spec.type is list else f"dict[str, {kinds}]"

        for spec, leaves in self.returned:
            visit(spec, iter(leaves))
        sources = []
        for container in self.containers.values():
            fields = [f"    {n}: {t}" for n, t in zip(container.fields, types[container.name], strict=True)]
            head = f"class {container.name}(NamedTuple):\n    {annotations.docstring(container.origin + '.')}\n"
            sources.append("\n".join([head, *fields]))
        return sources

    def described(self, file: File, describe: Callable[[Value], str]) -> str:
        """The results in one line for the docstring."""

        def visit(spec: Any, leaves: Any) -> str:
            if spec.is_leaf():
                part = next(leaves)
                value = file.program.bodies.operand(part) if isinstance(part, Node) else part
                return describe(value) if isinstance(value, Value) else repr(value)
            parts = [visit(child, leaves) for child in _specs(spec)]
            names = _field_names(spec) or _keys(spec)
            if names is not None:
                return ", ".join(f"{n}: {p}" for n, p in zip(names, parts, strict=True))
            if len(parts) > 3 and len(set(parts)) == 1:
                return f"{len(parts)} x ({parts[0]})"
            return f"({', '.join(parts)})"

        texts = [visit(spec, iter(leaves)) for spec, leaves in self.returned]
        texts = [text[1:-1] if text.startswith("(") and text.endswith(")") else text for text in texts]
        return "; in evaluation mode ".join(texts)

    # Arguments.

    def _read_inputs(self) -> None:
        nodes = iter(user_inputs(self.captured.graph, self.captured.program))
        self.parameters_read: list[Parameter] = []
        self.input_names: list[str] = []
        self.names_of_inputs: dict[str, str] = {}
        self.call_names: list[str] = []
        in_spec = self.captured.program.call_spec.in_spec
        positional, by_keyword = _specs(in_spec)
        names = self._positional_names(len(_specs(positional)))
        for name, spec in zip(names, _specs(positional), strict=True):
            self._parameter(name, spec, nodes, False)
        for name, spec in zip(_keys(by_keyword) or [], _specs(by_keyword), strict=True):
            self._parameter(name, spec, nodes, name not in self._forward_names())

    def _forward_names(self) -> list[str]:
        if self.captured.module is None:
            return []
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return [p.name for p in inspect.signature(self.captured.module.forward).parameters.values() if p.kind in kinds]

    def _positional_names(self, count: int) -> list[str]:
        names = self._forward_names()[:count]
        if len(names) < count and self.captured.module is not None:
            found = [
                p
                for p in inspect.signature(self.captured.module.forward).parameters.values()
                if p.kind is p.VAR_POSITIONAL
            ]
            base = found[0].name.rstrip("s") if found else "x"
            names += [f"{base}_{i}" for i in range(count - len(names))]
        if len(names) < count:
            used = iter(user_inputs(self.captured.graph, self.captured.program))
            names = (
                [next(used).name for _ in range(count)]
                if count == len(self.leaves_in)
                else [f"x{i}" for i in range(count)]
            )
        return names

    @property
    def leaves_in(self) -> list[Node]:
        return user_inputs(self.captured.graph, self.captured.program)

    def _parameter(self, name: str, spec: Any, nodes: Any, keyword_only: bool) -> None:
        if not is_field_name(name) or name in RESERVED:
            if keyword.iskeyword(name) or not name.isidentifier():
                raise TranslationError(f"forward takes an argument called {name!r}, which no Python function can")
            name = f"{name}_"
        checks: list[tuple[str, str]] = []
        count = len(self.input_names)

        def visit(spec: Any, text: str) -> str | None:
            if spec.is_leaf():
                node = next(nodes)
                value = node.meta.get("val")
                if isinstance(value, torch.Tensor):
                    self.input_names.append(text)
                    self.names_of_inputs[node.name] = name
                    return None
                if not isinstance(value, (bool, int, float, str, type(None))):
                    raise TranslationError(f"the argument {text} is a {type(value).__name__}, which cannot be baked in")
                checks.append((_differs(text, value), f"{text}={value!r}"))
                return _literal(value)
            if spec.type is type(None):
                checks.append((f"{text} is not None", f"{text}=None"))
                return "None"
            names = _field_names(spec) or _keys(spec)
            if spec.type in (tuple, list):
                items = len(_specs(spec))
                checks.append((f"len({text}) != {items}", f"{items} items in {text}"))
            elif spec.type in (dict, OrderedDict, defaultdict):
                checks.append((f"set({text}) != {set_text(names or [])}", f"{text} with the keys {names}"))
            for position, child in enumerate(_specs(spec)):
                inner = names[position] if names is not None else position
                attribute = _field_names(spec) is not None
                visit(child, f"{text}.{inner}" if attribute else f"{text}[{inner!r}]")
            return None

        default = visit(spec, name)
        annotation = None
        if spec.is_leaf() and default is None:
            annotation = "array"
        self.call_names += [name if self._forward_names() or not keyword_only else name] if default is None else []
        self.parameters_read.append(Parameter(name, annotation, default, keyword_only, tuple(checks)))
        del count

    def make_room(self, word: str) -> None:
        """Let no argument be called word, which is that of a PRNG key or a state."""
        self.input_names = [beside(word, name) for name in self.input_names]
        self.call_names = [beside(word, name) for name in self.call_names]
        self.names_of_inputs = {node: beside(word, name) for node, name in self.names_of_inputs.items()}
        self.parameters_read = [replace(read, name=beside(word, read.name)) for read in self.parameters_read]

    def parameters(self, file: File) -> list[str]:
        """The parameters of `__call__` as text: arrays with their shapes, baked arguments with their value as the default."""
        body = file.program.root.body
        by_name = dict(zip(self.input_names, body.inputs, strict=False))
        texts: list[str] = []
        starred = False
        after_default = False
        for parameter in self.parameters_read:
            text = parameter.name
            if parameter.annotation == "array":
                text += f": {annotations.shaped(file.dims, [by_name[parameter.name]])}"
            if parameter.default is not None:
                text += f"={parameter.default}"
            elif after_default and not starred:
                texts.append("*")
                starred = True
            if parameter.keyword_only and not starred:
                texts.append("*")
                starred = True
            after_default |= parameter.default is not None
            texts.append(text)
        if self.state is not None:
            texts += [*(["*"] if after_default and not starred else []), f"state: {annotations.STATE}"]
            starred |= after_default
        if body.key is not None:
            texts += [*([] if starred else ["*"]), annotations.KEY]
        return texts

    def argument_checks(self, file: File) -> list[str]:
        """Lines that refuse another value of a baked argument, and lengths that the translation does not stand for."""
        lines = []
        for parameter in self.parameters_read:
            for test, wanted in parameter.checks:
                lines += [f"    if {test}:", f"        raise ValueError({f'translated with {wanted}'!r})"]
        nodes = [node for node in self.leaves_in if isinstance(node.meta.get("val"), torch.Tensor)]
        named = list(zip(self.input_names, nodes, strict=True))
        return lines + guards.lines(named, self.conditions, file.printer(str).text, file.dims.text)


def _differs(text: str, value: Any) -> str:
    """The test that an argument is another value than a baked one: 3.0 is not 3, nor is -0.0 what 0.0 is."""
    if value is None or isinstance(value, bool):
        return f"{text} is not {value}"
    if isinstance(value, str):
        return f"{text} != {value!r}"
    kind = type(value).__name__
    if isinstance(value, float) and (value == 0 or math.isnan(value)):
        return f"not isinstance({text}, float) or repr({text}) != {repr(value)!r}"
    return f"not isinstance({text}, {kind}) or {text} != {_literal(value)}"


def _literal(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "math.nan" if math.isnan(value) else "math.inf" if value > 0 else "-math.inf"
    return repr(value)


def set_text(names: list) -> str:
    """A set of keys as code."""
    return f"{{{', '.join(map(repr, names))}}}" if names else "set()"


def _specs(spec: Any) -> list:
    children = spec.children() if callable(getattr(spec, "children", None)) else spec.children_specs
    return list(children)


def _keys(spec: Any) -> list | None:
    if spec.type in (dict, OrderedDict):
        return list(spec.context)
    return list(spec.context[1]) if spec.type is defaultdict else None


def _field_names(spec: Any) -> list[str] | None:
    """The field names of a container that is no tuple, list or dict."""
    if spec.is_leaf() or spec.type in (*_TUPLES, list, dict, OrderedDict, defaultdict, type(None)):
        return None
    if spec.type.__module__ == "torch.return_types":  # what torch.max and its like return
        return list(spec.type.__match_args__)
    context = spec.context
    if hasattr(context, "_fields"):
        return list(context._fields)
    if isinstance(context, (tuple, list)):
        names = context[0] if context and isinstance(context[0], (tuple, list)) else context
        if len(names) == len(_specs(spec)) and all(isinstance(name, str) for name in names):
            return [name.lstrip("_") for name in names]  # a NamedTuple has no private fields
    return None


__all__ = ["Container", "Outputs", "Parameter", "pytree", "values"]
