"""What the forms of convolutions that are emitted gain over `eqx.nn.Conv2d` throughout, in whole networks.

    python -m benchmarks.plain_convolutions [--model NAME] [--rounds N] [--threads N]

Both run the same emitted file, in the second its functions `convolve...` are `jax.vmap` of the layer. They take turns, and each time
is divided by that of the emitted file in the same round.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from benchmarks import jax_contenders, suites
from benchmarks.console import begin
from benchmarks.contenders import MEASURES
from benchmarks.spread import Spread, ratios
from benchmarks.translating import translated

MODELS = ("mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "efficientnet_lite0")
BOUND = 1e-4  # between the outputs, as a share of their scale


def main(
    model: Annotated[list[str] | None, typer.Option(help="Networks of depthwise convolutions.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How many times of each are taken.")] = 7,
    threads: Annotated[int, typer.Option(min=1, help="How many threads compute.")] = 1,
) -> None:
    """Compare emitted files with themselves on eqx.nn.Conv2d."""
    console = begin(threads, ("torch", "jax", "equinox"))
    table = Table("", *(f"{measure}, {what}" for measure in MEASURES for what in ("ms", "eqx.nn.Conv2d / emitted")))
    for name in model or MODELS:
        table.add_row(name, *row(name, rounds))
    console.print(table)


def row(name: str, rounds: int) -> list[str]:
    """For a forward and a step: the emitted file's median time, and the quartiles of the other's ratio to it."""
    case = suites.build(name)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "translation")
        translated(case).save(folder)
        contenders = jax_contenders.translation(case, folder), jax_contenders.plain(case, folder)
    ours, plain = ({key: np.asarray(array) for key, array in c.outputs().items()} for c in contenders)
    for key, array in ours.items():
        distance = np.abs(array - plain[key]).max() / np.abs(array).max()
        assert distance < BOUND, f"{name}: the outputs differ by {distance:.1e}"
    cells = []
    for measure in MEASURES:
        for contender in contenders:
            contender.seconds(measure, 1)
        times = [[contender.seconds(measure, 1) for contender in contenders] for _ in range(rounds)]
        emitted, others = zip(*times, strict=True)
        ratio = ratios(others, emitted)
        cells += [f"{Spread.of(emitted).median * 1e3:.0f}", f"{ratio.median:.1f} ({ratio.low:.1f} to {ratio.high:.1f})"]
    return cells


if __name__ == "__main__":
    typer.run(main)
