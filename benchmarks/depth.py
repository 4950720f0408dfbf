"""What depth costs: translating, and compiling with and without `scan_layers`.

    python -m benchmarks.depth [--layers N ...] [--unrolled N] [--rounds N] [--threads N]

BERT, narrow, so that what is measured is the number of its layers. All depths take turns; a depth's time is divided by that of the
shallowest one in the same round. Each has a process of its own: what XLA compiled stays in memory.
"""

from __future__ import annotations

import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated

import equinox as eqx
import jax
import transformers as hf
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

import translator
from benchmarks.console import begin, limit
from benchmarks.jax_contenders import jax_arguments
from benchmarks.spread import Spread, ratios
from benchmarks.timing import timed
from tests.zoo.text import tokens
from translator.translation import Translation

VOCABULARY = 200
WIDTH = 160  # where there is no terminal to ask
WHAT = ("torch.export", "translating", "compiling", "scanned, translating", "scanned, compiling")


def main(
    layers: Annotated[list[int] | None, typer.Option(help="The depths.")] = None,
    unrolled: Annotated[int, typer.Option(help="The most layers to compile one by one, which takes memory.")] = 24,
    rounds: Annotated[int, typer.Option(min=1, help="How many times of each are taken.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="How many threads compute.")] = 1,
) -> None:
    """Time BERT of several depths."""
    depths = layers or [2, 12, 24, 48, 96]
    console = begin(threads, width=WIDTH)
    turns = [depth for _ in range(rounds) for depth in depths]
    taken: dict[int, list[list[float]]] = {depth: [] for depth in depths}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, limit, (threads,), max_tasks_per_child=1) as pool:
        for depth in track(turns, "measuring", console=Console(stderr=True)):
            taken[depth].append(pool.submit(measured, depth, unrolled).result())
    table = Table("layers", *(f"{what}, {unit}" for what in WHAT for unit in ("s", f"of {depths[0]} layers'")))
    for depth in depths:
        cells = []
        for times, first in zip(zip(*taken[depth], strict=True), zip(*taken[depths[0]], strict=True), strict=True):
            cells += [f"{Spread.of(times).median:.2f}", f"{ratios(times, first).median:.2f}"]
        table.add_row(str(depth), *cells)
    console.print(table)


def measured(depth: int, unrolled: int) -> list[float]:
    """Seconds, as WHAT says; NaN for what is not to be compiled."""
    translated(2, scan=False)  # imports what is imported late
    export, seconds, translation = translated(depth, scan=False)
    compiled = compiling(translation) if depth <= unrolled else math.nan
    _, scanning, translation = translated(depth, scan=True)
    return [export, seconds, compiled, scanning, compiling(translation)]


def translated(depth: int, scan: bool) -> tuple[float, float, Translation]:
    """Seconds of torch.export and of all else, and what came of it."""
    config = hf.BertConfig(
        hidden_size=32, num_hidden_layers=depth, num_attention_heads=4, intermediate_size=64, vocab_size=VOCABULARY
    )
    module = hf.BertModel(config).eval()
    seconds, translation = timed(lambda: translator.translate(module, (), inputs(), scan_layers=scan))
    export = translation.captured.seconds
    return export, seconds - export, translation


def inputs() -> dict:
    """Two short texts."""
    return tokens(2, 16, VOCABULARY)


def compiling(translation: Translation) -> float:
    """Seconds of a first call, in which it is traced and compiled."""
    arguments = jax_arguments(inputs())
    run = eqx.filter_jit(translation.model)
    jax.clear_caches()
    return timed(lambda: jax.block_until_ready(run(**arguments)))[0]


if __name__ == "__main__":
    typer.run(main)
