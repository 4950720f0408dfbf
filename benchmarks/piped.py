"""A contender in a process of its own, which runs when it is told to: its turns are taken among those of the others."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders import load_arrays
from benchmarks.results import TORCHAX
from benchmarks.torchax_worker import ANSWER

ROOT = Path(__file__).resolve().parents[1]


class Failed(Exception):
    """What the other process was told to do, it could not."""


class Torchax:
    """The process of `torchax_worker`. One serves any number of models, one after the other."""

    name = TORCHAX

    def __init__(self) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.torchax_worker"]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def prepare(self, model: str) -> Torchax:
        """Build a model in place of the one before. Raises Failed."""
        self._told(do="prepare", model=model)
        return self

    def seconds(self, measure: str, calls: int) -> float:
        """How long a call takes, the mean of several in a row, as that process measures it. Raises Failed."""
        return self._told(do="seconds", measure=measure, calls=calls)["seconds"]

    def outputs(self) -> Mapping[str, np.ndarray]:
        """The outputs by their positions among torch's. Raises Failed."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "outputs.npz")
            self._told(do="outputs", file=str(file))
            return load_arrays(file)

    def end(self) -> None:
        """End the process."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()

    def _told(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed("its process has ended") from None
        for line in self.process.stdout:
            if line.startswith(ANSWER):
                answer = json.loads(line.removeprefix(ANSWER))
                if "error" in answer:
                    raise Failed(answer["error"])
                return answer
        raise Failed("its process has ended")
