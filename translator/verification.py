"""What a verification found, and how it prints."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class OutputRow:
    """One output of one case.

    shape and dtype are torch's. The errors are distances from torch in float64, as shares of the output's scale: of torch in
    the module's own precision (the greatest over all cases), of the emitted module in that precision, and of the emitted
    module in float64; None where there is nothing to measure (integers, or an output that was not given). reason says what is
    wrong, and is empty where ok.
    """

    case: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    torch_error: float | None
    emitted_error: float | None
    float64_error: float | None
    ok: bool
    reason: str = ""


@dataclass(frozen=True)
class ModuleRow:
    """One call of an emitted class against the exported graph: distances of its inputs and of its outputs."""

    path: str
    class_name: str
    input_error: float
    output_error: float
    inputs_ok: bool
    output_ok: bool


@dataclass(frozen=True)
class Verification:
    """What comparing an emitted module with torch found. It is ok if outputs were compared and every one was within its bound.

    modules has rows where outputs diverged, in the order in which the calls ended; culprit is the first of them whose inputs
    agree and whose output does not, and reproduction the script that runs it alone. gradients is for training.
    """

    outputs: tuple[OutputRow, ...] = ()
    modules: tuple[ModuleRow, ...] = ()
    culprit: ModuleRow | None = None
    reproduction: str | None = None
    notes: tuple[str, ...] = ()
    gradients: Any = None

    @property
    def ok(self) -> bool:
        return bool(self.outputs) and all(row.ok for row in self.outputs)

    @property
    def summary(self) -> str:
        """One line: whether it agrees, and on how much."""
        cases = len({row.case for row in self.outputs})
        if self.ok:
            return f"verified: {len(self.outputs)} outputs of {cases} inputs agree with torch"
        failed = sum(not row.ok for row in self.outputs)
        return f"NOT verified: {failed} of {len(self.outputs)} outputs of {cases} inputs differ from torch"

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=140, color_system=None)
        console.print(self)
        return console.file.getvalue().rstrip()  # type: ignore[attr-defined]

    def __rich__(self) -> Group:
        table = Table("input", "output", "shape", "dtype", "torch", "emitted", "emitted float64", "")
        for row in self.outputs:
            errors = map(number, (row.torch_error, row.emitted_error, row.float64_error))
            verdict = "ok" if row.ok else f"FAILS: {row.reason}"
            cells = (row.case, row.name, str(list(row.shape)), row.dtype, *errors, verdict)
            table.add_row(*map(Text, cells), style="" if row.ok else "red")
        parts: list[Any] = [table]
        if self.modules:
            modules = Table("module", "class", "inputs", "outputs", "")
            for row in self.modules:
                verdict = "ok" if row.output_ok else "first to diverge" if row is self.culprit else "diverges"
                cells = (
                    row.path or "(root)",
                    row.class_name,
                    number(row.input_error),
                    number(row.output_error),
                    verdict,
                )
                modules.add_row(*map(Text, cells), style="" if row.output_ok else "red")
            parts.append(modules)
        parts.append(Text(self.summary, style="green" if self.ok else "bold red"))
        if self.culprit is not None:
            where = self.culprit.path or "the root module"
            parts.append(Text(f"The first module to diverge is {where} ({self.culprit.class_name})."))
        if self.reproduction:
            parts.append(Text(f"To run it alone: python {self.reproduction}"))
        parts += [Text(f"note: {note}") for note in self.notes]
        return Group(*parts)


def number(error: float | None) -> str:
    """An error as it is printed; a dash where there is none."""
    return "-" if error is None else f"{error:.1e}" if np.isfinite(error) else str(error)
