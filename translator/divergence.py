"""Module by module: every call of an emitted class against the nodes of the exported graph that it stands for.

The first call to end whose inputs agree and whose output does not is the innermost culprit, since what a module calls ends
before it does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import torch

from translator import checkpoint, compare
from translator.captured import Captured
from translator.emitted import Emitted, EmittedCall
from translator.inputs import Case
from translator.loader import CONSTANTS_FILE
from translator.reference import Reference
from translator.runtime import Runner
from translator.verification import ModuleRow


@dataclasses.dataclass(frozen=True)
class Traced:
    """One call of an emitted class as it ran: where the module is in the tree (`.encoder.layer[3]`), and what went in and out."""

    path: str
    access: str
    class_name: str
    args: tuple
    kwargs: Mapping[str, Any]
    result: Any


@dataclasses.dataclass(frozen=True)
class Divergence:
    """The calls that could be compared, the first that diverges, and that call with what torch gives for it."""

    rows: tuple[ModuleRow, ...]
    culprit: ModuleRow | None
    call: Traced | None
    expected: tuple[np.ndarray, ...] = ()


def diverging_modules(captured: Captured, emitted: Emitted, runner: Runner, case: Case) -> Divergence:
    """Run a case eagerly in the emitted module and in the exported graph, and compare every call of an emitted class."""
    wanted = frozenset(name for call in emitted.calls for name in (*call.inputs, *call.outputs))
    _, truth = Reference(captured, simplified=True).run(case.args, case.kwargs, wanted)
    own = (
        truth
        if runner.wide
        else Reference(captured, wide=False, simplified=True).run(case.args, case.kwargs, wanted)[1]
    )
    planned: dict[str, list[EmittedCall]] = {}
    for call in emitted.calls:
        planned.setdefault(call.path, []).append(call)
    rows, culprit, culprit_call, expected = [], None, None, ()
    for traced in trace(runner, case, frozenset(planned)):
        if not planned.get(traced.path):
            continue
        call = planned[traced.path].pop(0)
        arguments = [leaf for leaf in jax.tree.leaves((traced.args, traced.kwargs)) if eqx.is_array_like(leaf)]
        measured = [_measure(a, n, truth, own, runner.wide) for a, n in _aligned(arguments, call.inputs)]
        given = [
            _measure(a, n, truth, own, runner.wide) for a, n in _aligned(jax.tree.leaves(traced.result), call.outputs)
        ]
        if not given:
            continue
        row = ModuleRow(
            traced.path,
            traced.class_name,
            max((error for error, _ in measured), default=0.0),
            max(error for error, _ in given),
            all(ok for _, ok in measured),
            all(ok for _, ok in given),
        )
        rows.append(row)
        if culprit is None and row.inputs_ok and not row.output_ok:
            culprit, culprit_call = row, traced
            expected = tuple(compare.as_array(truth[name]) for name in call.outputs)
    return Divergence(tuple(rows), culprit, culprit_call, expected)


def _aligned(arrays: list, names: tuple[str, ...]) -> list[tuple[Any, str]]:
    return list(zip(arrays, names, strict=True)) if len(arrays) == len(names) else []


def _measure(array: Any, name: str, truth: Mapping, own: Mapping, wide: bool) -> tuple[float, bool]:
    """The distance of an emitted value from a node's, and whether it is within the bound. A value that no node has agrees."""
    if not isinstance(truth.get(name), torch.Tensor):
        return 0.0, True
    found, wanted, like = np.asarray(array), compare.as_array(truth[name]), compare.as_array(own[name])
    with contextlib.suppress(ValueError):  # an axis of length one may stand for an expanded one
        found = np.broadcast_to(found, wanted.shape)
    if not (compare.is_inexact(wanted.dtype) and compare.is_inexact(found.dtype)):
        problem = compare.same(found, wanted)
        return (float("inf") if problem else 0.0), not problem
    error = compare.distance(found, wanted, like).error
    bound = compare.WIDE_BOUND
    if not wide:
        floor = compare.FLOOR_ULPS * compare.ulp(like.dtype)
        bound = compare.MULTIPLE * compare.distance(like, wanted, like).error + floor
    return error, error <= bound


def trace(runner: Runner, case: Case, paths: frozenset[str]) -> list[Traced]:
    """The calls of the emitted classes in the order in which they end, run eagerly. Calls under a transformation are left out."""
    known = {id(module): where for module, where in _submodules(runner.model, "", "", paths)}
    calls: list[Traced] = []
    classes = [c for c in vars(runner.module).values() if isinstance(c, type) and issubclass(c, eqx.Module)]
    with contextlib.ExitStack() as stack:
        for cls in classes:
            if "__call__" in vars(cls):
                stack.enter_context(_recording(cls, known, calls))
        runner.run(case.args, case.kwargs, jit=False)
    return calls


@contextlib.contextmanager
def _recording(cls: type, known: Mapping[int, tuple[str, str]], calls: list[Traced]) -> Iterator[None]:
    original = vars(cls)["__call__"]

    def call(module: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(module, *args, **kwargs)
        traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((args, kwargs, result)))
        if id(module) in known and not traced:
            calls.append(Traced(*known[id(module)], cls.__name__, args, kwargs, result))
        return result

    cls.__call__ = call
    try:
        yield
    finally:
        cls.__call__ = original


def _submodules(value: Any, path: str, access: str, paths: frozenset[str]) -> Iterator[tuple[Any, tuple[str, str]]]:
    """Every module in a tree with its torch path and how Python reaches it from the root (`.encoder.layer[3]`)."""
    if isinstance(value, eqx.Module):
        yield value, (path if path in paths else path.removeprefix("layers."), access)
        names = [field.name for field in dataclasses.fields(value)]
        children = [(name, f".{name}", getattr(value, name)) for name in names if hasattr(value, name)]
    elif isinstance(value, (tuple, list)):
        children = [(str(n), f"[{n}]", child) for n, child in enumerate(value)]
    elif isinstance(value, dict):
        children = [(str(key), f"[{key!r}]", child) for key, child in value.items()]
    else:
        children = []
    for name, step, child in children:
        yield from _submodules(child, f"{path}.{name}" if path else name, access + step, paths)


_SCRIPT = '''"""Runs one module of {file} alone: the first whose inputs agree with torch's and whose output does not.

module: {path}
class: {class_name}
distance in the verification, as a share of the output's scale: {error:.1e}
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import model  # noqa: E402

case = np.load(HERE / "case.npz")
module = model.load(HERE.parent){access}
with jax.default_matmul_precision("highest"):
    outputs = jax.tree.leaves(module({arguments}))
for position, output in enumerate(outputs):
    expected = case[f"expected_{{position}}"]
    error = np.abs(np.asarray(output, expected.dtype) - expected).max() / (np.abs(expected).max() or 1)
    print(f"output {{position}}: {{output.dtype}}{{list(output.shape)}}, distance from torch {{error:.1e}} of its scale")
'''


def write_reproduction(
    divergence: Divergence, emitted: Emitted, state: Mapping[str, torch.Tensor], folder: str | Path | None
) -> Path:
    """Write a script that runs the culprit alone, with its inputs and torch's outputs beside it, to `divergence` in folder.

    folder is that of a saved translation; without it the emitted file and the weights are written to a temporary one.
    """
    call = divergence.call
    assert call is not None and divergence.culprit is not None
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
    else:
        folder = Path(tempfile.mkdtemp(prefix="torch2eqx-divergence-"))
        (folder / "model.py").write_text(emitted.source)
        checkpoint.write(checkpoint.distinct(state, emitted.tied), folder)
        if emitted.constants:
            checkpoint.write_file(emitted.constants, folder / CONSTANTS_FILE)
    target = Path(folder) / "divergence"
    target.mkdir(exist_ok=True)
    arrays: dict[str, np.ndarray] = {f"expected_{n}": array for n, array in enumerate(divergence.expected)}
    arguments = [_written(argument, arrays) for argument in call.args]
    arguments += [f"{name}={_written(argument, arrays)}" for name, argument in call.kwargs.items()]
    np.savez(target / "case.npz", **arrays)  # type: ignore[arg-type]
    script = _SCRIPT.format(
        file="../model.py",
        path=ascii(call.path) if call.path else "the root",
        class_name=call.class_name,
        error=divergence.culprit.output_error,
        access=call.access,
        arguments=", ".join(arguments),
    )
    (target / "reproduce.py").write_text(script)
    return target / "reproduce.py"


def _written(value: Any, arrays: dict[str, np.ndarray]) -> str:
    """An argument as Python source; arrays are put aside in arrays and read back in the precision that the module runs in."""
    if eqx.is_array(value) or isinstance(value, np.ndarray):
        name = f"input_{len(arrays)}"
        array = np.asarray(value)
        narrow = {"float64": "float32", "complex128": "complex64", "int64": "int32"}.get(
            array.dtype.name, array.dtype.name
        )
        arrays[name] = array.astype(np.float32) if narrow == "bfloat16" else array
        return f'jnp.asarray(case["{name}"], "{narrow}")'
    if hasattr(value, "_fields"):
        return f"model.{type(value).__name__}({', '.join(_written(part, arrays) for part in value)})"
    if isinstance(value, (tuple, list)):
        inner = ", ".join(_written(part, arrays) for part in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner},)"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_written(part, arrays)}" for key, part in value.items()) + "}"
    return repr(value)
