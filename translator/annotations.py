"""Types, shapes and docstrings of the emitted file."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy

from op_table.dtypes import is_complex, is_float
from op_table.expr import Size, Value
from translator.body import Body, SizeValue
from translator.captured import in_training
from translator.classes import Definition, Given
from translator.state import State

if TYPE_CHECKING:
    from translator.codegen import File


# The parameter of what draws random numbers, and the type of a state.
KEY = "key: PRNGKeyArray"
STATE = "eqx.nn.State"

_IMAGE = ("batch", "channels", "height", "width")


def array_type(dtype: np.dtype) -> str:
    """The jaxtyping name of a dtype's kind."""
    if np.dtype(dtype).kind == "b":
        return "Bool"
    return "Complex" if is_complex(dtype) else "Float" if is_float(dtype) else "Int"


class Dimensions:
    """Names of dynamic axes: by their place in the root's arguments (batch, seq, height, width).

    layout: "nhwc" where images have their channels last within.
    """

    def __init__(self, root: Body | None, layout: str | None = None):
        self.image = ("batch", "height", "width", "channels") if layout == "nhwc" else _IMAGE
        self.names: dict[sympy.Expr, str] = {}
        for value in root.inputs if root is not None else ():
            for axis, size in enumerate(value.shape):
                if isinstance(size, Size) and isinstance(size.expr, sympy.Symbol):
                    self.names.setdefault(size.expr, self._choose(value, axis))

    def _choose(self, value: Value, axis: int) -> str:
        if axis == 0 and value.ndim > 0:
            return "batch"
        if value.ndim == 4 and [isinstance(size, Size) for size in value.shape[1:]] == [True, True, False]:
            return ("height", "width")[axis - 1]
        spatial = value.ndim - 2
        if value.ndim >= 4 and axis >= 2 and spatial <= 3:
            return ("depth", "height", "width")[3 - spatial :][axis - 2]
        base = "seq" if axis == 1 and value.ndim <= 3 else "length"
        taken = set(self.names.values())
        name, count = base, 2
        while name in taken:
            name, count = f"{base}_{count}", count + 1
        return name

    def name(self, size: Any, axis: int, ndim: int, source: str | None = None) -> str:
        """A name for a length in code: its dimension's, the source's, or one by its place."""
        if isinstance(size, Size) and size.expr in self.names:
            return self.names[size.expr]
        if source is not None:
            return source
        if ndim == 4:
            return self.image[axis]
        if axis == 0 and ndim > 1:
            return "batch"
        return "features" if ndim in (2, 3) and axis == ndim - 1 and not isinstance(size, Size) else "length"

    def text(self, size: Any) -> str:
        """A length in a jaxtyping annotation."""
        if not isinstance(size, Size):
            return str(size)
        return self.names.get(size.expr, "_")


@dataclass(frozen=True)
class Signature:
    parameters: list[str]
    result: str


def shaped(dims: Dimensions, values: list[Value]) -> str:
    """The annotation of one array, given the value that it is in each instance: lengths that differ are left open."""
    first = values[0]
    if isinstance(first, State):
        return STATE
    axes = []
    for axis in range(first.ndim):
        texts = {dims.text(value.shape[axis]) if value.ndim == first.ndim else "_" for value in values}
        axes.append(texts.pop() if len(texts) == 1 else "_")
    if any(value.ndim != first.ndim for value in values):
        axes = ["..."]
    text = " ".join(axes)
    return f'{array_type(first.dtype)}[Array, "{text if len(axes) != 1 else " " + text if not text.isdecimal() else text}"]'


def signature(file: File, definition: Definition, arguments: list[Value], names: dict[str, str]) -> Signature:
    """The typed parameters and result of a `__call__`."""
    bodies = [
        (member, file.program.bodies.body_of(member.module, member.module.calls[0])) for member in definition.members
    ]
    if definition is file.program.root:
        return Signature(["self", *file.outputs.parameters(file)], file.outputs.annotation(file))
    parameters = ["self"]
    for value in arguments:
        if isinstance(value, SizeValue):
            parameters.append(f"{names[value.name]}: int")
        else:
            same = [body.inputs[member.inputs[value.name]] for member, body in bodies if value.name in member.inputs]
            optional = " | None = None" if isinstance(value, Given) else ""
            parameters.append(f"{names[value.name]}: {shaped(file.dims, same)}{optional}")
    if definition.body.key is not None:
        parameters += ["*", KEY]
    results = []
    for at in definition.returns or range(len(definition.outputs)):
        output = definition.outputs[at[0] if isinstance(at, list) else at]
        same = [v for member, body in bodies for v in body.outputs if v.name == member.same.get(output.name)]
        text = shaped(file.dims, same)
        results.append(f"list[{text}]" if isinstance(at, list) else text)
    result = results[0] if len(results) == 1 else f"tuple[{', '.join(results)}]" if results else "None"
    return Signature(parameters, result)


def docstring(text: str, indent: str = "") -> str:
    """text as a docstring: one line if it fits. Backslashes and quotes in it are made harmless."""
    text = text.replace("\\", "\\\\").replace('"""', "'''").replace("\r", " ")
    if text.endswith('"'):
        text += " "
    lines = text.split("\n")
    if len(lines) == 1:
        wrapped = textwrap.wrap(text, 92)
        return f'"""{text}"""' if len(wrapped) <= 1 else '"""' + "\n".join(wrapped) + '\n"""'
    return '"""' + text + '\n"""'


def class_docstring(definition: Definition, root_type: str) -> str:
    """Where a class came from: the torch class, and the paths of its instances."""
    paths = [member.module.path for member in sorted(definition.members, key=lambda m: m.module.path)]
    origin = _plain(definition.type_name)
    if paths == [""]:
        return docstring(f"{origin}.")
    if origin.startswith("torch.nn.modules."):
        origin = f"torch.nn.{origin.rpartition('.')[2]}"
    known = not origin or origin.rpartition(".")[0] == root_type.rpartition(".")[0]
    text = ""
    for shown in (3, 2, 1):
        where = _plain(path_pattern(paths, shown))
        for text in (f"{where}.",) if known else (f"{origin}: {where}.", f"{where}."):
            if len(text) <= 88:
                return docstring(text)
    return docstring(text)


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def path_pattern(paths: list[str], most: int = 3) -> str:
    """Many paths in a few words, at most so many of their patterns: `encoder.layer.*.attention (x12)`."""
    if len(paths) == 1:
        return paths[0]
    patterns: dict[str, int] = {}
    for path in paths:
        pattern = ".".join("*" if part.isdecimal() else part for part in path.split("."))
        patterns[pattern] = patterns.get(pattern, 0) + 1
    if len(patterns) == 1:
        return f"{next(iter(patterns))} (x{len(paths)})"
    shown = list(patterns)[:most]
    more = f" and {len(patterns) - most} more" if len(patterns) > most else ""
    return f"{', '.join(shown)}{more} (x{len(paths)})"


def module_docstring(file: File) -> str:
    """What the file is, its inputs and outputs, and how it is run."""
    definition = file.program.root
    arguments = ", ".join(
        f"{name}: {_inner(shaped(file.dims, [value]), value)}"
        for name, value in zip(file.outputs.input_names, definition.body.inputs, strict=False)
    )
    stateful = file.outputs.state is not None
    called = [*file.outputs.call_names, *(["state=state"] if stateful else [])]
    called += ["key=jax.random.key(0)"] if definition.body.key is not None else []
    results = file.outputs.described(file, lambda value: _inner(shaped(file.dims, [value]), value))
    mode = "training" if in_training(file.program.bodies.captured.module) else "evaluation"
    untraced = bool(file.program.bodies.captured.value_lengths)
    model = "model" if untraced else "eqx.filter_jit(model)"
    lines = [
        f"{definition.name}, translated from {_plain(definition.type_name)} ({mode} mode).",
        "",
        *textwrap.wrap(arguments, 96),
        *textwrap.wrap(f"->  {results}", 94, initial_indent="    ", subsequent_indent="        "),
        "",
        f'    model{", state" if stateful else ""} = load("model.safetensors")',
        f"    outputs{', state' if stateful else ''} = {model}({', '.join(called)})",
    ]
    if mode == "training" and file.program.bodies.captured.evaluation is None:
        lines += ["", "eqx.nn.inference_mode changes nothing here: for evaluation, translate module.eval()."]
    if untraced:
        lines += ["", "Not for jax.jit: the lengths of some arrays depend on values."]
    return docstring("\n".join(lines))


def _inner(annotation: str, value: Value) -> str:
    axes = annotation.partition('"')[2].rpartition('"')[0].strip()
    return f"{np.dtype(value.dtype).name}[{axes.replace(' ', ', ')}]"


__all__ = [
    "Dimensions",
    "Signature",
    "array_type",
    "class_docstring",
    "docstring",
    "module_docstring",
    "shaped",
    "signature",
]
