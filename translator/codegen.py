"""Codegen: definitions become the text of the emitted file."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ruff.__main__ import find_ruff_bin

from op_table import layers
from op_table.expr import Name, Value
from translator import annotations, class_names, constants, initialisers, loader, scans
from translator.classes import Definition, Program
from translator.copied import Copied, import_line
from translator.errors import TranslationError
from translator.methods import Method
from translator.modules import CLASS, Array, Module
from translator.outputs import Outputs
from translator.source import Printer

LINE_LENGTH = 100


class File:
    """The emitted file: names of classes, copied prelude, imports, and its parts in order."""

    def __init__(
        self,
        program: Program,
        outputs: Outputs,
        title: str,
        tied: dict[str, str],
        unused: tuple[str, ...],
        frozen: Callable[[Mapping[str, int]], tuple[str, ...]] | None = None,
        scan_layers: bool = False,
        layout: str | None = None,
    ):
        """frozen: gives the patterns of the leaves that are not trained, in a file that is to be trained.

        stacked, once there is the text: the containers whose items are one of stacked leaves, and how many these were.
        """
        self.program, self.outputs, self.title = program, outputs, title
        self.tied, self.unused, self.frozen, self.scan_layers = tied, unused, frozen, scan_layers
        self.stacked: dict[str, int] = {}
        if program.root.body is not None and program.root.body.key is not None:
            outputs.make_room("key")
        program.root.returns_by_mode = len(outputs.returned) > 1
        self.copied = Copied()
        self.roots: set[str] = set()
        self.dims = annotations.Dimensions(program.root.body, layout)
        self._name_classes()

    def _name_classes(self) -> None:
        taken = set(loader.RESERVED) | {
            "Array",
            "Bool",
            "Float",
            "Int",
            "Complex",
            "NamedTuple",
            "PRNGKeyArray",
            "math",
        }
        class_names.name_classes([self.program.root, *self._ordered()], taken | set(self.outputs.class_names))

    def printer(self, names: Any) -> Printer:
        return Printer(names, self.copied.use)

    def text(self) -> str:
        """The whole file, formatted."""
        classes = [self._class(definition) for definition in self._ordered()]
        loader_text, loader_imports = loader.loader_source(
            self.program.root.name,
            self.tied,
            self.unused,
            self._has_convolutions(),
            self.prefix,
            self.outputs.state is not None,
            self._initial(),
            self.stacked,
        )
        if self.frozen is not None:
            trainable, imports = loader.trainable_source(self.program.root.name, self.frozen(self.stacked), self.prefix)
            loader_text, loader_imports = f"{trainable.strip()}\n\n\n{loader_text}", loader_imports | imports
        outputs = self.outputs.class_sources(self)
        constants = loader.CONSTANTS if self.program.bodies.constants else ""
        body = [*self.copied.sources.values(), *outputs, *classes, loader_text]
        imports = self._imports(body, loader_imports)
        parts = [annotations.module_docstring(self), imports, constants, *body]
        return formatted(self._shortened("\n\n\n".join(part.strip() for part in parts if part.strip()) + "\n"))

    def _shortened(self, text: str) -> str:
        """A function on channels-last arrays goes without its suffix where the file has none of that name for torch's layout."""
        for name in self.copied.sources:
            short = re.sub("_last$|Last$", "", name)
            if short != name and not re.search(rf"(?<![\w.]){short}\b", text):
                text = re.sub(rf"\b{name}\b", short, text)
        return text

    def _initial(self) -> str:
        """What mutated buffers hold at first that no checkpoint carries, as a dict; empty if there are none."""
        captured = self.program.bodies.captured
        held = {name: captured.tensors[name] for name in captured.mutated if name not in captured.persistent}
        text = self.printer(lambda value: value.name).text
        return (
            f"{{{', '.join(f'{n!r}: {text(constants.written_out(n, t))}' for n, t in held.items())}}}" if held else ""
        )

    def _has_convolutions(self) -> bool:
        modules = self.program.bodies.tree.walk()
        return any(m.layer is not None and layers.is_convolution(m.layer.constructor) for m in modules)

    def _ordered(self) -> list[Definition]:
        """The definitions as the model reads: each after those it is made of, in the order of its fields."""
        order: dict[int, Definition] = {}

        def visit(entry: Module | Array) -> None:
            if isinstance(entry, Module):
                definition = self.program.of.get(entry.path) if entry.kind == CLASS else None
                inner = definition.module if definition is not None else entry
                if definition is None or id(definition) not in order:
                    for child in inner.entries.values():
                        visit(child)
                if definition is not None:
                    order.setdefault(id(definition), definition)

        visit(self.program.root.module)
        return list(order.values())

    @property
    def prefix(self) -> str:
        """The field that holds the children of a root whose torch names start with an index."""
        return "layers." if self.program.root.module.wrapped else ""

    def _imports(self, body: Iterable[str], extra: Iterable[str]) -> str:
        """The imports of every name that the text uses."""
        used = set(re.findall(r"[A-Za-z_][A-Za-z_0-9]*", "\n".join(_without_docstrings(part) for part in body)))
        lines = {line for name in used if (line := import_line(name)) and self._is_name(name, body)} | set(extra)
        typing = sorted(line.rpartition(" ")[2] for line in lines if line.startswith("from jaxtyping"))
        lines = {line for line in lines if not line.startswith("from jaxtyping")}
        if typing:
            lines.add(f"from jaxtyping import {', '.join(typing)}")
        return "\n".join(sorted(lines))

    def _is_name(self, name: str, body: Iterable[str]) -> bool:
        return any(re.search(rf"(?<![\w.\"']){name}\b(?!\s*=[^=])", part) for part in body)

    def _class(self, definition: Definition) -> str:
        init = initialisers.Initialiser(self, definition)
        constructor = init.source()
        method = Method(self, definition, init.repeated).source() if definition.body is not None else None
        if definition.stacked:
            paths = [path for stacked in definition.stacked for path in scans.in_instances(definition, stacked)]
            self.stacked |= {path: len(self.program.bodies.by_path[path].entries) for path in sorted(paths)}
            init = initialisers.Initialiser(self, definition)
            constructor = init.source()
        parts = [
            annotations.class_docstring(definition, self.program.root.type_name),
            *init.fields(),
            "",
            constructor,
        ]
        if method is not None:
            parts += ["", method]
        body = "\n".join(parts)
        return f"class {definition.name}(eqx.Module):\n" + "\n".join(
            f"    {line}" if line else "" for line in body.split("\n")
        )


def _without_docstrings(text: str) -> str:
    return re.sub(r'""".*?"""', "", text, flags=re.DOTALL)


def formatted(text: str) -> str:
    """text as ruff formats it, imports sorted."""
    options = ["--isolated", "--line-length", str(LINE_LENGTH), "-"]
    sorted_text = _ruff(["check", "--select", "I", "--fix", "--quiet", *options], text)
    return _ruff(["format", "--quiet", *options], sorted_text)


def _ruff(arguments: list[str], text: str) -> str:
    # The program itself: `python -m ruff` would start an interpreter each time, which takes longer than all that ruff does.
    done = subprocess.run([find_ruff_bin(), *arguments], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TranslationError(
            f"the emitted source is no Python, which is a fault of torch2eqx: {done.stderr.strip()}\n{text}"
        )
    return done.stdout


__all__ = ["File", "Name", "Value", "formatted"]
