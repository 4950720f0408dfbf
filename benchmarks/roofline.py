"""How near a forward comes to the matrix products that it consists of: torch's and the translation's, on this machine.

    python -m benchmarks.roofline [--suite NAME] [--model NAME] [--rounds N] [--threads N]

The operations are those of products and convolutions, as torch counts them. Divided by the rate that the same library has in one
large product, they are the shortest time in which it could compute the model; the rest is what a model does beside products, and
products too small or too narrow for that rate. JAX's rate is XLA's, so what is near its own roofline is at XLA's limit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import typer
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

import translator
from benchmarks import jax_contenders, torch_contenders
from benchmarks.console import begin
from benchmarks.suites import MODELS, SUITES
from benchmarks.timing import timed
from tests.zoo.case import Case

SIDE = 1024  # of the square matrices whose product is the yardstick


def main(
    suite: Annotated[str, typer.Option(help="The models: small or full.")] = "small",
    model: Annotated[list[str] | None, typer.Option(help="Models instead of a suite.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How many times of each are taken.")] = 11,
    threads: Annotated[int, typer.Option(min=1, help="How many threads compute, in torch as in JAX.")] = 1,
) -> None:
    """Compare forwards with the time of their matrix products at the full rate."""
    console = begin(threads)
    columns = ("GFLOP", "torch, GFLOP/s", "of its product's", "Equinox, GFLOP/s", "of its product's", "time of torch's")
    table = Table("", *columns)
    for name in model or SUITES[suite]:
        table.add_row(name, *row(MODELS[name].build(), rounds))
    console.print(table)


def row(case: Case, rounds: int) -> list[str]:
    """The operations of a model, and for torch and the translation their rate, also as a share of that of one product."""
    case.module.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        case.module(*case.args, **case.kwargs)
    operations = counter.get_total_flops()
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "translation")
        translator.translate(case.module, case.args, case.kwargs, dynamic_shapes=case.dynamic_shapes).save(folder)
        emitted = jax_contenders.translation(case, folder)
        calls = {
            "torch": torch_contenders.eager(case).calls["forward"],
            "equinox": emitted.calls["forward"],
            "torch product": _product(torch.randn(SIDE, SIDE), torch.matmul),
            "equinox product": _product(jnp.asarray(np.random.randn(SIDE, SIDE), jnp.float32), jax.jit(jnp.matmul)),
        }
        times: dict[str, list[float]] = {contender: [] for contender in calls}
        for call in calls.values():
            call()
        for _ in range(rounds):
            for contender, call in calls.items():
                times[contender].append(timed(call)[0])
    taken = {contender: np.array(seconds) for contender, seconds in times.items()}
    cells = [f"{operations / 1e9:.2f}"] if operations else ["not counted"]
    for contender in ("torch", "equinox"):
        if not operations:  # torch counts none in nn.LSTM
            cells += ["", ""]
            continue
        share = operations / taken[contender] / (2 * SIDE**3 / taken[f"{contender} product"])
        cells += [f"{operations / np.median(taken[contender]) / 1e9:.0f}", f"{np.median(share):.0%}"]
    return [*cells, f"{np.median(taken['equinox'] / taken['torch']):.2f}"]


def _product(matrix: Any, multiply: Callable[[Any, Any], Any]) -> Callable[[], Any]:
    return lambda: jax.block_until_ready(multiply(matrix, matrix))


if __name__ == "__main__":
    typer.run(main)
