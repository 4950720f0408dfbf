"""One program's verdict: the emitted module, jitted, against what torch gives."""

from __future__ import annotations

import contextlib
import traceback
import warnings
from dataclasses import dataclass

import equinox as eqx
import jax
import torch

import translator
from op_table.dtypes import to_numpy
from op_table.expr import canonical
from tests.compiling import COMPILING
from tests.fuzz.band import MANY, Band, bands
from tests.fuzz.program import Program
from tests.ops.harness import to_array
from translator.errors import CaptureError, TranslationError, UnsupportedOps

SAME, REFUSED, DIFFERENT, CRASHED, INVALID = "same", "refused", "different", "crashed", "invalid"


@dataclass(frozen=True)
class Verdict:
    """What became of a program. about: why it was refused, or how it failed; sort: the same for failures that are one bug."""

    kind: str
    about: str = ""
    sort: str = ""
    source: str = ""

    @property
    def failed(self) -> bool:
        return self.kind in (DIFFERENT, CRASHED)


def check(program: Program) -> Verdict:
    """Translate a program and compare."""
    source = ""
    try:
        expected = bands(program)
    except Exception as error:  # not a program of torch's; the shrinker makes such ones
        return Verdict(INVALID, str(error))
    mode = jax.enable_x64(True) if program.x64 else contextlib.nullcontext()
    try:
        with mode, jax.default_matmul_precision("highest"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lengths = "auto" if program.dynamic else None
            translation = translator.translate(program.module(), program.arguments(), dynamic_shapes=lengths)
            source = translation.source
            arrays = [to_array(tensor) for tensor in program.arguments()]
            # The model's arrays are arguments, as they are to eqx.filter_jit: XLA folds constants by other arithmetic.
            leaves, static = eqx.partition(translation.model, eqx.is_array)
            run = jax.jit(lambda leaves, *arrays: eqx.combine(leaves, static)(*arrays), compiler_options=COMPILING)
            found = jax.tree.leaves(run(leaves, *arrays))
    except (UnsupportedOps, CaptureError) as error:
        return Verdict(REFUSED, reason(error))
    except TranslationError as error:
        return Verdict(REFUSED, str(error).splitlines()[0])
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        sort = f"{type(error).__name__} at {place.filename.rpartition('/')[2]}:{place.lineno}"
        return Verdict(CRASHED, traceback.format_exc(limit=-8), sort, source)
    if len(found) != len(expected):
        return Verdict(DIFFERENT, f"{len(found)} outputs where torch has {len(expected)}", "outputs", source)
    problems = differing(program, found, expected) and differing(program, found, bands(program, MANY))
    if not problems:
        return Verdict(SAME)
    name, problem = problems[0]
    return Verdict(DIFFERENT, f"{name} {problem}", problem.partition(":")[0], source)


def differing(program: Program, found: list[jax.Array], expected: list[Band]) -> list[tuple[str, str]]:
    """The outputs that differ from torch's, and how."""
    problems = [difference(ours, band, program.x64) for ours, band in zip(found, expected, strict=True)]
    return [pair for pair in zip(program.outputs, problems, strict=True) if pair[1]]


def difference(ours: jax.Array, band: Band, x64: bool) -> str:
    """How an output differs from torch's; empty if it does not."""
    wanted = to_numpy(band.value.dtype)
    wanted = wanted if x64 else canonical(wanted)
    if ours.dtype != wanted:
        return f"has another dtype: {ours.dtype} where torch has {wanted}"
    if ours.shape != tuple(band.value.shape):
        return f"has another shape: {ours.shape} where torch has {tuple(band.value.shape)}"
    array = jax.device_get(ours)
    wide = {"V": "float64", "f": "float64", "c": "complex128", "b": "bool"}.get(array.dtype.kind, "int64")
    tensor = torch.from_numpy(array.astype(wide)).clone()
    outside = band.outside(tensor)
    if not outside.any():
        return ""
    torchs = band.runs[0][outside].flatten()[:4].tolist()
    mine = (torch.view_as_real(tensor) if tensor.is_complex() else tensor)[outside].flatten()[:4].tolist()
    return f"has other values: in {int(outside.sum())} of {outside.numel()} places, as {mine} where torch has {torchs}"


def reason(error: Exception) -> str:
    """A refusal's op and reason, or its first line."""
    if isinstance(error, UnsupportedOps):
        return "; ".join(sorted({f"{p.op}: {p.reason}" for p in error.problems}))[:300]
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300]


__all__ = ["CRASHED", "DIFFERENT", "INVALID", "REFUSED", "SAME", "Verdict", "check"]
