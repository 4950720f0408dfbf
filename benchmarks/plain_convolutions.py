"""What the forms of convolutions that are emitted gain over `eqx.nn.Conv2d` throughout, in whole networks.

    python -m benchmarks.plain_convolutions [--model NAME] [--images N] [--side N] [--rounds N] [--threads N]

Both run the same emitted file, in the second its functions `convolve...` are `jax.vmap` of the layer. They take turns, and each time
is divided by that of the emitted file in the same round. "At most" is the same ratio where depthwise convolutions give their input
back: what no form of them could exceed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.table import Column, Table

from benchmarks import jax_contenders, suites
from benchmarks.console import begin
from benchmarks.contenders import MEASURES
from benchmarks.spread import Spread, ratios
from benchmarks.translating import translated
from tests.zoo.case import Case

MODELS = ("mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "efficientnet_lite0")
BOUND = 1e-4  # between the outputs, as a share of their scale


def main(
    model: Annotated[list[str] | None, typer.Option(help="Networks of depthwise convolutions.")] = None,
    images: Annotated[int, typer.Option(min=1, help="How many images.")] = suites.IMAGES,
    side: Annotated[int, typer.Option(min=32, help="Their height and width.")] = suites.SIDE,
    rounds: Annotated[int, typer.Option(min=1, help="How many times of each are taken.")] = 7,
    threads: Annotated[int, typer.Option(min=1, help="How many threads compute.")] = 2,
) -> None:
    """Compare emitted files with themselves on eqx.nn.Conv2d."""
    console = begin(threads, ("torch", "jax", "equinox"))
    console.print(f"{images} images of {side} x {side}, by the time of the emitted file")
    table = Table(Column(no_wrap=True))
    for measure in MEASURES:
        for heading in (f"{measure}, ms", "eqx.nn.Conv2d", "at most"):
            table.add_column(heading)
    for name in model or MODELS:
        case = Case(suites.build(name).module, (torch.randn(images, 3, side, side),))
        table.add_row(name, *row(name, case, rounds))
    console.print(table)


def row(name: str, case: Case, rounds: int) -> list[str]:
    """For a forward and a step: the emitted file's median time, and the ratio of the other's to it and to the least."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "translation")
        translated(case).save(folder)
        contenders = [
            form(case, folder)
            for form in (jax_contenders.translation, jax_contenders.plain, jax_contenders.without_depthwise)
        ]
    outputs, others = (contender.outputs() for contender in contenders[:2])
    for key, array in outputs.items():
        distance = np.abs(array - others[key]).max() / np.abs(array).max()
        assert distance < BOUND, f"{name}: the outputs differ by {distance:.1e}"
    cells = []
    for measure in MEASURES:
        for contender in contenders:
            contender.seconds(measure, 1)
        times = np.array([[contender.seconds(measure, 1) for contender in contenders] for _ in range(rounds)])
        emitted, plain, least = times.T
        gain = ratios(plain, emitted)
        cells += [
            f"{Spread.of(emitted).median * 1e3:.0f}",
            f"{gain.median:.1f} ({gain.low:.1f} to {gain.high:.1f})",
            f"{ratios(plain, least).median:.1f}",
        ]
    return cells


if __name__ == "__main__":
    typer.run(main)
