"""Runs the benchmark, model by model: each is translated and loaded in processes of their own, then its contenders take turns."""

from __future__ import annotations

import datetime
import gc
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax

from benchmarks import machine, translating
from benchmarks.competition import Field, Say, compete
from benchmarks.contenders import load_arrays
from benchmarks.piped import ROOT, Torchax
from benchmarks.results import EMITTED, TORCHAX, Binding, Memory, Model, Results, Sizes, Translating, decoded


@dataclass(frozen=True)
class Settings:
    """What is run. suite: what it is called. models: their names. rounds: turns of each contender. times: how often each model is
    translated. threads: that each contender computes with, which is the caller's to set. ports: the folder of ports by hand.
    without: the contenders to leave out.
    """

    suite: str
    models: tuple[str, ...]
    rounds: int = 11
    times: int = 3
    threads: int = 1
    ports: Path | None = None
    without: frozenset[str] = frozenset()


def run(
    settings: Settings, say: Say = lambda text: None, done: Callable[[Model], None] = lambda model: None
) -> Results:
    """Run all models of the settings. say: told what is being done. done: given each model once it is finished."""
    torchax = Torchax() if TORCHAX not in settings.without and installed(TORCHAX) else None
    field = Field(settings.ports, torchax, settings.without)
    models = []
    try:
        for name in settings.models:
            models.append(run_model(name, settings, field, say))
            done(models[-1])
            gc.collect()
            jax.clear_caches()
    finally:
        if torchax is not None:
            torchax.end()
    return Results(
        suite=settings.suite,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine=machine.machine(),
        versions=machine.versions(),
        threads=settings.threads,
        rounds=settings.rounds,
        models=tuple(models),
    )


def installed(package: str) -> bool:
    """Whether a package can be imported, without doing so."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None  # a folder of its name has a spec as well


def run_model(name: str, settings: Settings, field: Field, say: Say) -> Model:
    """All that is measured of one model. Where it cannot be translated, loaded or run, the failure says why."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, name)
        say(f"{name}: translating")
        translated = child("benchmarks.translating", name, str(folder), str(settings.times))
        if translated.error:
            return Model(name, failure=f"could not be translated: {translated.error}")
        found = json.loads((folder / translating.MEASURED).read_text())
        say(f"{name}: loading")
        loaded = child("benchmarks.binding", str(folder))
        truth = load_arrays(folder / translating.TRUTH)
        contenders = tuple(compete(name, folder, truth, field, settings.rounds, say))
    emitted = next(contender for contender in contenders if contender.name == EMITTED)
    return Model(
        name,
        sizes=decoded(Sizes, found[translating.SIZES]),
        translating=decoded(Translating, found[translating.TIMES]),
        memory=decoded(Memory, found[translating.MEMORY]),
        binding=None if loaded.error else decoded(Binding, json.loads(loaded.output)),
        contenders=contenders,
        failure=f"could not be loaded: {loaded.error}" if loaded.error else emitted.problem,
    )


@dataclass(frozen=True)
class Outcome:
    """What a process printed last, and the last line of its errors where it failed."""

    output: str
    error: str


def child(module: str, *arguments: str) -> Outcome:
    """Run a module of this package in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    printed = result.stdout.strip().splitlines() or [""]
    lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
    return Outcome(printed[-1], lines[-1] if result.returncode else "")
