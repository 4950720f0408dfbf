"""Measure translations beside torch and other contenders, compare two runs, and plot one."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from benchmarks.results import COMPILED, PORT, TORCHAX, Results
from benchmarks.verdicts import TURNS

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

WIDTH = 160  # where there is no terminal to ask
console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
errors = Console(stderr=True)

OPTIONAL = (COMPILED, PORT, TORCHAX)

File = Annotated[Path, typer.Argument(help="What `bench run` wrote.")]


@app.command()
def run(
    suite: Annotated[
        str, typer.Option(help="small (minutes) or full (three times as many, most of them larger).")
    ] = "small",
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Models in place of a suite: of the suites, or of the test zoo.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The JSON file to write.")] = Path(
        "out/bench.json"
    ),
    rounds: Annotated[int, typer.Option(min=1, help="How many turns each contender has.")] = 11,
    translations: Annotated[int, typer.Option(min=1, help="How often each model is translated.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="How many threads each contender computes with.")] = 1,
    ports: Annotated[
        Path | None, typer.Option(help="A folder of ports by hand: MODEL.py with load(path of a safetensors file).")
    ] = None,
    without: Annotated[list[str] | None, typer.Option(help=f"A contender to leave out: {', '.join(OPTIONAL)}.")] = None,
) -> None:
    """Measure models, print what was found, and write it to a file.

    torchax takes part where it is installed, torch.compile where there is a C++ compiler.
    """
    _prepare(threads)
    try:
        from benchmarks import runner, suites, tables
    except ModuleNotFoundError as error:
        _refuse(f"the benchmarks need {error.name}: `make venv` installs all that they need")

    if models is None and suite not in suites.SUITES:
        _refuse(f"there is no suite {suite!r}; there are {', '.join(suites.SUITES)}")
    if unknown := set(without or ()) - set(OPTIONAL):
        _refuse(f"cannot leave out {', '.join(sorted(unknown))}; what can be is {', '.join(OPTIONAL)}")
    if ports is not None and not ports.is_dir():
        _refuse(f"there is no folder {ports}")
    names = suites.SUITES[suite] if models is None else tuple(models)
    try:
        for name in names:
            suites.entry(name)
    except ValueError as error:
        _refuse(str(error))
    settings = runner.Settings(
        suite=suite if models is None else "",
        models=names,
        rounds=rounds,
        times=translations,
        threads=threads,
        ports=ports,
        without=frozenset(without or ()),
    )
    with errors.status("") as status:
        results = runner.run(settings, status.update, lambda model: console.print(tables.of_model(model)))
    console.print()
    console.print(tables.summary(results))
    results.save(output)
    console.print(Text(f"written to {output}"))
    if any(model.failure for model in results.models):
        raise typer.Exit(1)


@app.command()
def compare(
    old: File,
    new: File,
    noise: Annotated[
        float,
        typer.Option(
            min=0, help="The share by which times of forwards and steps may change: 0.1 where nothing else runs."
        ),
    ] = TURNS,
    everything: Annotated[bool, typer.Option("--all", help="Show what did not change, too.")] = False,
) -> None:
    """Say what got worse from OLD to NEW beyond the noise of either; the exit code is 1 if anything did.

    Counts, memory and errors are compared between any two runs, times only between runs on one machine, and only as ratios.
    """
    from benchmarks import tables, verdicts

    comparison = verdicts.compare(_loaded(old), _loaded(new), noise)
    console.print(tables.of_comparison(comparison, everything))
    if not comparison.ok:
        raise typer.Exit(1)


@app.command()
def plot(
    results: File,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A .png, .svg or .pdf file to write.")
    ] = Path("out/bench.png"),
) -> None:
    """Draw the ratios of all contenders to torch, and the cost of translating by the size of the model."""
    loaded = _loaded(results)
    try:
        from benchmarks.plot import plot as draw
    except ModuleNotFoundError as error:
        _refuse(f"plotting needs {error.name}: pip install {error.name}")
    draw(loaded, output)
    console.print(Text(f"written to {output}"))


def _prepare(threads: int) -> None:
    """Set what must be set before torch and JAX compute."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched when models are built
    os.environ["PJRT_NPROC"] = str(threads)  # read once JAX begins to compute
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(threads)
    torch.compiler.config.force_disable_caches = True  # every run compiles
    torch._logging.set_logs(dynamo=logging.ERROR)


def _loaded(file: Path) -> Results:
    try:
        return Results.load(file)
    except ValueError as error:
        _refuse(str(error))


def _refuse(reason: str) -> NoReturn:
    errors.print(Text(reason, style="red"))
    raise typer.Exit(2)


if __name__ == "__main__":
    app()
