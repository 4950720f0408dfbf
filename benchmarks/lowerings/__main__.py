"""Time equal forms of ops on the CPU: the one that translations use, others, and torch's.

    python -m benchmarks.lowerings [--case PATTERN] [--rounds N] [--threads N]

All forms of a case are held to the same results. They take turns, so that whatever else the machine does slows all of them
alike, and each time is divided by that of the emitted form in the same round.
"""

from __future__ import annotations

import re
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from benchmarks.console import begin
from benchmarks.lowerings import attention, convolutions, layers, pools, rearranging
from benchmarks.lowerings.timing import Case, Times, measured

WIDTH = 140  # where there is no terminal to ask


def main(
    case: Annotated[str, typer.Option(help="A regular expression: the cases whose name and size have a match.")] = "",
    rounds: Annotated[int, typer.Option(min=1, help="How many times of each are taken.")] = 15,
    threads: Annotated[int, typer.Option(min=1, help="How many threads compute, in torch as in JAX.")] = 2,
    only: Annotated[str, typer.Option(help="A regular expression: the forms to compare with the emitted one.")] = "",
) -> None:
    """Time equal forms of ops on the CPU, forward and with gradients."""
    console = begin(threads, width=WIDTH)
    for module in (convolutions, attention, layers, pools, rearranging):
        for one in module.cases():
            if re.search(case, f"{one.name} {one.size}"):
                console.print(table(one, rounds, re.compile(only)))


def table(case: Case, rounds: int, only: re.Pattern[str]) -> Table:
    """The times of a case, and the ratios to the emitted form's."""
    emitted = next(iter(case.forms))
    forms = {name: form for name, form in case.forms.items() if name == emitted or only.search(name)}
    case = Case(case.name, case.size, case.inputs, forms, case.torch, case.tolerance)
    forward = measured(case, rounds, gradient=False)
    backward = measured(case, rounds, gradient=True)
    columns = ("forward", "of the emitted", "with gradients", "of the emitted", "compiled in")
    result = Table("", *columns, title=f"{case.name}, {case.size}", title_justify="left")
    for name in forward:
        one, both = forward[name], backward[name]
        compiling = "" if name == "torch" else f"{one.first:.1f} s, {both.first:.1f} s"
        result.add_row(name, *_against(one, forward[emitted]), *_against(both, backward[emitted]), compiling)
    return result


def _against(times: Times, emitted: Times) -> tuple[str, str]:
    """The median time, and the median and the quartiles of its ratio to that of the emitted form."""
    low, middle, high = np.quantile(times.later / emitted.later, (0.25, 0.5, 0.75))
    return f"{np.median(times.later) * 1e3:.3g} ms", f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    typer.run(main)
