"""How a translation's ops were lowered: by rules alone, with functions of the prelude, by torch's decompositions."""

from __future__ import annotations

import ast
import functools
import importlib
import pkgutil
from typing import Any

import torch

from op_table import registry
from translator.lower import op_name


@functools.cache
def prelude_names() -> frozenset[str]:
    """The functions and classes of the prelude."""
    names = set()
    for module in pkgutil.iter_modules(importlib.import_module("op_table.prelude").__path__):
        file = importlib.import_module(f"op_table.prelude.{module.name}")
        names |= {name for name, thing in vars(file).items() if getattr(thing, "__module__", "") == file.__name__}
    return frozenset(names)


def kinds(translation: Any) -> set[str]:
    """Which of rule, prelude and decomposition made the emitted file."""
    nodes = translation.captured.graph.nodes
    ops = [op_name(node) for node in nodes if isinstance(node.target, torch._ops.OpOverload)]
    found = {"rule" if registry.lookup(op) is not None else "decomposition" for op in ops}
    defined = {
        node.name for node in ast.parse(translation.source).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }
    traced = set() if not translation.captured.value_lengths else {"not under jit"}
    return found | traced | ({"prelude"} if defined & prelude_names() else set())
