"""Translate single modules and ops, and time each beside torch: where XLA, or the form that is emitted, is slow.

    python -m benchmarks.sweep [--case PATTERN] [--rounds N] [--threads N] [--slower RATIO]

A step is the gradient of the outputs' mean squares by the parameters and by the inputs that are no integers. What stands out is a
case for `benchmarks.lowerings`, where equal forms are compared.
"""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import equinox as eqx
import jax
import numpy as np
import torch
import typer
from rich.progress import track
from rich.table import Table

import translator
from benchmarks.console import begin
from benchmarks.jax_contenders import imported, jax_arguments, loss_of
from benchmarks.spread import Spread, ratios
from benchmarks.sweep.cases import Case, cases
from benchmarks.timing import timed
from benchmarks.torch_contenders import floating

WIDTH = 170  # where there is no terminal to ask
TURN = 0.01  # seconds that a measurement takes at least, by repeating the call


def main(
    case: Annotated[str, typer.Option(help="A regular expression: the cases whose name has a match.")] = "",
    rounds: Annotated[int, typer.Option(min=1, help="How many times of each are taken.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="How many threads compute, in torch as in JAX.")] = 1,
    slower: Annotated[float, typer.Option(help="Show the cases that take this many times torch's time or more.")] = 0.0,
) -> None:
    """Time single ops as they are emitted beside torch, forward and with gradients."""
    console = begin(threads, ("torch", "jax", "equinox"), width=WIDTH)
    table = Table("", "forward, ms", "torch", "ratio", "step, ms", "torch", "ratio", "compiled in")
    for one in track([one for one in cases() if re.search(case, one.name)], console=console):
        cells, worst = row(one, rounds)
        if worst >= slower:
            table.add_row(*cells)
    console.print(table)


def row(case: Case, rounds: int) -> tuple[list[str], float]:
    """The cells of a case's row, and the greater of its two ratios to torch."""
    case.module.eval()
    ours, theirs = translated(case), eager(case)
    cells, found, compiling = [case.name], [], []
    for mine, other in zip(ours, theirs, strict=True):
        compiling.append(f"{timed(mine, 1)[0]:.1f} s")
        timed(other, 1)
        counts = [max(1, int(TURN / timed(call, 1)[0])) for call in (mine, other)]
        times = [[timed(call, n)[0] / n for call, n in zip((mine, other), counts, strict=True)] for _ in range(rounds)]
        mine_times, their_times = np.array(times).T
        ratio = ratios(mine_times, their_times)
        found.append(ratio.median)
        medians = (f"{Spread.of(values).median * 1e3:.2f}" for values in (mine_times, their_times))
        cells += [*medians, f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"]
    return [*cells, ", ".join(compiling)], max(found)


def translated(case: Case) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A forward and a step of the emitted file."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "translation")
        translator.translate(case.module, case.args).save(folder)
        module = imported(folder / "model.py")
        model = module.load(str(folder))
    args = jax_arguments(case.args, vars(module))
    varying, fixed = eqx.partition((model, args), eqx.is_inexact_array)
    forward = eqx.filter_jit(lambda model, args: model(*args))

    @eqx.filter_jit
    def step(varying: Any, fixed: Any) -> Any:
        def loss(varying: Any) -> jax.Array:
            model, args = eqx.combine(varying, fixed)
            return loss_of(model(*args))

        return jax.grad(loss)(varying)

    return lambda: jax.block_until_ready(forward(model, args)), lambda: jax.block_until_ready(step(varying, fixed))


def eager(case: Case) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A forward and a step of torch."""
    args = [arg.clone().requires_grad_(arg.is_floating_point()) for arg in case.args]
    varying = [tensor for tensor in (*args, *case.module.parameters()) if tensor.requires_grad]

    def step() -> Any:
        outputs = floating(case.module(*args)).values()
        loss = functools.reduce(torch.add, (output.square().mean() for output in outputs))
        return torch.autograd.grad(loss, varying, allow_unused=True)

    return torch.no_grad()(lambda: case.module(*case.args)), step


if __name__ == "__main__":
    typer.run(main)
