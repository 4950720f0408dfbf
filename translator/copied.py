"""Prelude functions and classes, copied into the emitted file with what they need."""

from __future__ import annotations

import ast
import functools
import inspect
import symtable
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

_IMPORTED = {
    "eqx": "import equinox as eqx",
    "jax": "import jax",
    "jnp": "import jax.numpy as jnp",
    "lax": "from jax import lax",
    "np": "import numpy as np",
    "math": "import math",
    "functools": "import functools",
    "itertools": "import itertools",
    "partial": "from functools import partial",
    "set_xla_metadata": "from jax.experimental.xla_metadata import set_xla_metadata",
    "Path": "from pathlib import Path",
    "load_file": "from safetensors.numpy import load_file",
    "NamedTuple": "from typing import NamedTuple",
    "Any": "from typing import Any",
    "Literal": "from typing import Literal",
    "Callable": "from collections.abc import Callable",
    "Sequence": "from collections.abc import Sequence",
    "Mapping": "from collections.abc import Mapping",
}
_JAXTYPING = {
    "Array",
    "ArrayLike",
    "Bool",
    "Complex",
    "Float",
    "Inexact",
    "Int",
    "Integer",
    "Num",
    "PRNGKeyArray",
    "Scalar",
    "Shaped",
}


def import_line(name: str) -> str | None:
    """The import that makes a name known, or None for a builtin or a name of the file's own."""
    return f"from jaxtyping import {name}" if name in _JAXTYPING else _IMPORTED.get(name)


@functools.cache
def _source(thing: Any) -> str:
    return textwrap.dedent(inspect.getsource(thing)).strip()


@functools.cache
def _names(source: str) -> tuple[str, ...]:
    """The names in a source that are no locals of its functions, in order."""
    free = set(_free(symtable.symtable(source, "prelude", "exec")))
    found = dict.fromkeys(node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name))
    return tuple(name for name in found if name in free)


def _free(table: symtable.SymbolTable) -> Iterator[str]:
    at_top = table.get_type() == "module"
    yield from (symbol.get_name() for symbol in table.get_symbols() if at_top or symbol.is_global())
    for inner in table.get_children():
        yield from _free(inner)


class Copied:
    """Collects prelude functions as they are used, and gives their source in an order in which each stands after what it needs."""

    def __init__(self) -> None:
        self.sources: dict[str, str] = {}
        self.things: dict[str, Any] = {}
        self.names: set[str] = set()

    def use(self, thing: Callable) -> str:
        """The name by which the emitted file calls a prelude function or class."""
        name = thing.__name__
        if self.things.setdefault(name, thing) is not thing:
            raise ValueError(f"two prelude functions are called {name}")
        if name not in self.sources:
            self._add(name, thing)
        return name

    def _add(self, name: str, thing: Any) -> None:
        source = _source(thing)
        module = sys.modules[thing.__module__]
        self.sources[name] = ""  # entered before what it needs, so that a function may call itself
        needed = []
        for used in _names(source):
            value = getattr(module, used, None)
            if used == name or value is None:
                continue
            if import_line(used):
                self.names.add(used)
            elif callable(value) and value.__module__.partition(".")[0] == module.__name__.partition(".")[0]:
                needed.append((used, value))
            elif isinstance(value, (int, float, str, tuple, dict)) and not used.startswith("__"):
                self._constant(used, module)
        for used, value in needed:
            if used not in self.sources:
                self._add(used, value)
            self.things.setdefault(used, value)
        del self.sources[name]
        self.sources[name] = source

    def _constant(self, name: str, module: Any) -> None:
        tree = ast.parse(inspect.getsource(module))
        for node in tree.body:
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign)
                else []
            )
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                self.sources[name] = ast.get_source_segment(inspect.getsource(module), node) or ""
