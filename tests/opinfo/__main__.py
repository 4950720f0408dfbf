"""The whole run: every entry, dtype and sample, in several processes. `python -m tests.opinfo --help`."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from tests.opinfo import entries, known, modules, table
from tests.opinfo.outcome import Outcome
from tests.opinfo.work import run

# A process is replaced after so many entries: what XLA compiled stays in its memory.
ENTRIES_PER_PROCESS = 100

ALL = ",".join((*entries.DTYPES, *modules.MODES))


def main(
    dtypes: Annotated[str, typer.Option(help="The dtypes and, for modules, modes to run, separated by commas.")] = ALL,
    ops: Annotated[str, typer.Option(help="The entries to run, separated by commas; all unless given.")] = "",
    most: Annotated[int | None, typer.Option(help="The most samples of an entry to run; all unless given.")] = None,
    jobs: Annotated[int, typer.Option(help="How many processes.")] = 2,
    results: Annotated[
        Path | None, typer.Option(help="Write every outcome to this file, a JSON object a line.")
    ] = None,
    earlier: Annotated[
        Path | None, typer.Option(help="Take the outcomes of all other entries from this file, which --results wrote.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write the table to this file as Markdown.")] = None,
) -> None:
    """Run the entries, and fail on every outcome that known.csv does not expect."""
    wanted = set(ops.split(",")) if ops else {*entries.entries(), *modules.entries()}
    order = [
        (name, dtype)
        for name, op in entries.entries().items()
        for dtype in dtypes.split(",")
        if name in wanted and entries.supports(op, dtype)
    ]
    order += [(name, mode) for name in modules.entries() for mode in modules.MODES if name in wanted and mode in dtypes]
    console = Console()
    outcomes = {(o.op, o.dtype): o for o in map(Outcome.of, earlier.open())} if earlier is not None else {}
    written = results.open("w") if results is not None else contextlib.nullcontext()
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=ENTRIES_PER_PROCESS) as pool, written as file:
        for outcome in track(
            pool.imap_unordered(run, [(*task, most) for task in order]), "entries", total=len(order), console=console
        ):
            outcomes[outcome.op, outcome.dtype] = outcome
            if file is not None:
                file.write(json.dumps(outcome.plain()) + "\n")
                file.flush()
            for surprise in known.surprises(outcome, whole=most is None):
                console.print(f"{outcome.op} {outcome.dtype}: {surprise}", markup=False, highlight=False)
    ordered = [outcomes[task] for task in _in_order(outcomes)]
    if page is not None:
        page.parent.mkdir(exist_ok=True)
        page.write_text(table.markdown(ordered, f"At most {most} samples of an entry were run." if most else ""))
    console.print(table.shares(ordered, dtypes.split(",")), markup=False)
    if any(known.surprises(outcome, whole=most is None) for outcome in ordered):
        raise typer.Exit(1)


def _in_order(tasks: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """As the databases have them."""
    names = {name: place for place, name in enumerate([*entries.entries(), *modules.entries()])}
    return sorted(tasks, key=lambda task: (names[task[0]], ALL.index(task[1])))


if __name__ == "__main__":
    typer.run(main)
