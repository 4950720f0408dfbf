"""One model, run by every contender that can: their times, in turns, and their errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks import jax_contenders, machine, rounds, suites, torch_contenders
from benchmarks.contenders import MEASURES, Runner, aligned
from benchmarks.piped import Torchax
from benchmarks.results import COMPILED, CONTENDERS, EMITTED, PORT, TORCH, TORCHAX, Contender
from tests.zoo.case import Case
from translator import compare

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Field:
    """Who is to compete. ports: the folder of ports by hand. torchax: its process. without: names to leave out."""

    ports: Path | None = None
    torchax: Torchax | None = None
    without: frozenset[str] = frozenset()


def compete(
    name: str, folder: Path, truth: Mapping[str, np.ndarray], field: Field, number: int, say: Say
) -> list[Contender]:
    """Time the contenders of a model in a number of rounds.

    folder: its saved translation. truth: torch's outputs in float64. What a contender fails at is its own problem, and the others
    go on.
    """
    problems: dict[str, str] = {}

    def attempt(contender: str, what: str, work: Callable[[], T]) -> T | None:
        say(f"{name}: {contender}, {what}")
        try:
            return work()
        except Exception as error:
            problems.setdefault(contender, f"{what}: {reason(error)}")
            return None

    ready = [attempt(who, "preparing", prepare) for who, prepare in prepared(name, suites.build(name), folder, field)]
    runners = [runner for runner in ready if runner is not None]
    times = {}
    for measure in MEASURES:
        calls = {each: partial(rounds.first_call, each, measure) for each in runners}
        tried = {each: attempt(each.name, f"first {measure}", call) for each, call in calls.items()}
        firsts = {runner: first for runner, first in tried.items() if first is not None}
        say(f"{name}: {measure}, in turns")
        times[measure] = rounds.measured(firsts, measure, number, TORCH)
    errors = {each.name: attempt(each.name, "outputs", partial(error_of, each, truth)) for each in runners}
    return [
        Contender(
            contender,
            *(times[measure].get(contender) for measure in MEASURES),
            error=errors.get(contender),
            problem=problems.get(contender, ""),
        )
        for contender in CONTENDERS
        if contender in problems or contender in errors
    ]


def prepared(name: str, case: Case, folder: Path, field: Field) -> Iterator[tuple[str, Callable[[], Runner]]]:
    """The contenders of a model that are at hand, and what makes each ready."""
    device = machine.torch_device()
    entry = suites.entry(name)
    yield TORCH, lambda: torch_contenders.eager(case, device)
    if COMPILED not in field.without and machine.has_compiler():
        yield COMPILED, lambda: torch_contenders.compiled(case, device)
    yield EMITTED, lambda: jax_contenders.translation(case, folder)
    file = field.ports / f"{entry.port}.py" if field.ports is not None else None
    if file is not None and file.exists() and PORT not in field.without:
        weights = folder / "model.safetensors"
        yield PORT, lambda: jax_contenders.port(case, file, weights, entry.constants)
    torchax = field.torchax
    if torchax is not None:
        yield TORCHAX, lambda: torchax.prepare(name)


def error_of(runner: Runner, truth: Mapping[str, np.ndarray]) -> float:
    """The greatest distance of an output from the truth, as a share of its scale. Raises ValueError where there is none."""
    worst = 0.0
    for name, array in aligned(runner.outputs(), list(truth)).items():
        found = compare.distance(array, truth[name], truth[name].astype(array.dtype))
        if found.reason:
            raise ValueError(f"output {name} {found.reason}")
        worst = max(worst, found.error)
    return worst


def reason(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"[:200]
