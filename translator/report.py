"""The report that is saved with a translation: everything that was done, as plain data."""

from __future__ import annotations

import ast
import dataclasses
import importlib.metadata
import platform
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from translator.captured import Captured
from translator.emitted import Emitted
from translator.lower import op_name
from translator.reference import flat_inputs, user_input_names
from translator.verification import Verification

_PACKAGES = ("torch2eqx", "torch", "jax", "equinox", "transformers", "diffusers")


def build(
    captured: Captured,
    emitted: Emitted,
    seconds: Mapping[str, float],
    verification: Verification | None,
    spec: str | None,
) -> dict[str, Any]:
    """A dict that json can write. All of it but `seconds` is the same for the same module on the same versions."""
    classes = [node.name for node in ast.parse(emitted.source).body if isinstance(node, ast.ClassDef)]
    return {
        "versions": versions(),
        "module": type_name(captured.module) or captured.class_name,
        "spec": spec,
        "layout": emitted.layout,
        "inputs": inputs(captured),
        "notes": list(captured.notes),
        "ops": dict(sorted(ops(captured).items())),
        "emitted": {"root": emitted.root, "lines": len(emitted.source.splitlines()), "classes": classes},
        "modules": dict(emitted.class_of),
        "tied": dict(emitted.tied),
        "unused": list(emitted.unused),
        "seconds": {stage: round(time, 3) for stage, time in seconds.items()},
        "verification": None if verification is None else outcome(verification),
    }


def versions() -> dict[str, str]:
    """The versions of what took part, as far as it is installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def type_name(module: torch.nn.Module | None) -> str:
    """A module's class with the package that it is in; empty for None."""
    return "" if module is None else f"{type(module).__module__}.{type(module).__qualname__}"


def ops(captured: Captured) -> Counter[str]:
    """How often each op occurs in the graph."""
    return Counter(op_name(node) for node in captured.graph.nodes if isinstance(node.target, torch._ops.OpOverload))


def inputs(captured: Captured) -> list[dict[str, Any]]:
    """The arrays among the example inputs: their paths, dtypes and lengths, and which of their axes may have other ones."""
    program = captured.program
    leaves, structure = flat_inputs(program, captured.args, captured.kwargs)
    paths, _ = pytree.tree_flatten_with_path(pytree.tree_unflatten(list(range(len(leaves))), structure))
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    rows = []
    for name, leaf, (path, _) in zip(user_input_names(program), leaves, paths, strict=True):
        if isinstance(leaf, torch.Tensor):
            sizes = placeholders[name].meta["val"].shape
            dynamic = [axis for axis, size in enumerate(sizes) if isinstance(size, torch.SymInt)]
            dtype = str(leaf.dtype).removeprefix("torch.")
            rows.append({"path": pytree.keystr(path), "dtype": dtype, "shape": list(leaf.shape), "dynamic": dynamic})
    return rows


def outcome(verification: Verification) -> dict[str, Any]:
    """A verification as plain data."""
    rows = [dataclasses.asdict(row) for row in verification.outputs]
    modules = [dataclasses.asdict(row) for row in verification.modules]
    culprit = verification.culprit.path if verification.culprit is not None else None
    return {
        "ok": verification.ok,
        "summary": verification.summary,
        "outputs": rows,
        "modules": modules,
        "culprit": culprit,
        "notes": list(verification.notes),
    }
