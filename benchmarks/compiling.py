"""How long the first forward takes, which JAX compiles: of translations, and of what torchax makes of the same modules.

    python -m benchmarks.compiling [--model NAME ...] [--rounds N] [--threads N]

The suites compile each contender once, so that one slow second of the machine decides. Here the two compile anew in every round, in
turns, each in a process of its own; a time is divided by the other's of the same round. A round before the first warms both up.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import jax
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from benchmarks import jax_contenders, suites
from benchmarks.console import begin
from benchmarks.piped import Torchax
from benchmarks.spread import Spread, ratios
from benchmarks.translating import translated

MODELS = ("resnet18", "resnet50", "densenet121", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "bert_4")


def main(
    model: Annotated[list[str] | None, typer.Option(help="Models of the suites.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How many times of each are taken.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="How many threads compute.")] = 1,
) -> None:
    """Time what compiles a forward, beside torchax."""
    console = begin(threads, ("torch", "jax", "equinox", "torchax"))
    table = Table(Column("", no_wrap=True), "translation, s", "torchax, s", "of torchax's")
    torchax = Torchax()
    for name in track(model or MODELS, "measuring", console=Console(stderr=True)):
        ours, theirs = times(name, torchax, rounds)
        ratio = ratios(ours, theirs)
        medians = (f"{Spread.of(taken).median:.2f}" for taken in (ours, theirs))
        table.add_row(name, *medians, f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})")
    torchax.end()
    console.print(table)


def times(name: str, torchax: Torchax, rounds: int) -> tuple[list[float], list[float]]:
    """The seconds of a first forward in each round: of the translation, and of torchax."""
    case = suites.build(name)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "translation")
        translated(case).save(folder)
        for _ in range(rounds + 1):
            jax.clear_caches()
            ours.append(jax_contenders.translation(case, folder).seconds("forward", 1))
            theirs.append(torchax.prepare(name).seconds("forward", 1))
    return ours[1:], theirs[1:]


if __name__ == "__main__":
    typer.run(main)
