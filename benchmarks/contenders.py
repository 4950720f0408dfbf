"""What all contenders have in common: two things to do, which are timed, and the outputs.

A forward computes the outputs without gradients. A step computes a loss (the sum over the floating outputs of their mean
squares) and its gradients with respect to the parameters that torch trains. The modules are in evaluation mode in both, so that
all contenders, ports by hand among them, compute the same: batch norms take their running statistics, nothing is dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

MEASURES = ("forward", "step")


class Runner(Protocol):
    """A contender that is ready to run."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    def seconds(self, measure: str, calls: int) -> float:
        """How long a call takes, the mean of several in a row."""
        ...

    def outputs(self) -> Mapping[str, np.ndarray]:
        """The outputs by torch's names, or by their positions among torch's."""
        ...


@dataclass(frozen=True, eq=False)
class Local:
    """A contender in this process. calls: what each measure calls, which returns when all is computed."""

    name: str
    calls: Mapping[str, Callable[[], Any]]
    results: Callable[[], Mapping[str, np.ndarray]]

    def seconds(self, measure: str, calls: int) -> float:
        """How long a call takes, the mean of several in a row."""
        call = self.calls[measure]
        started = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - started) / calls

    def outputs(self) -> Mapping[str, np.ndarray]:
        """The outputs by torch's names, or by their positions among torch's."""
        return self.results()


def by_position(outputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs under their positions."""
    return {str(position): array for position, array in enumerate(outputs)}


def aligned(found: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    """A contender's outputs under torch's names. Raises ValueError where they are fewer or more than torch's."""
    if found.keys() >= set(names):
        return {name: found[name] for name in names}
    if len(found) != len(names):
        raise ValueError(f"has {len(found)} outputs where torch has {len(names)}")
    return dict(zip(names, found.values(), strict=True))


def save_arrays(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays under any names: numpy's own savez takes some names for its options."""
    names = np.array(list(arrays))
    np.savez(file, names, *arrays.values())


def load_arrays(file: Path) -> dict[str, np.ndarray]:
    """The arrays that `save_arrays` wrote, in the same order."""
    with np.load(file) as archive:
        names, *arrays = (archive[key] for key in archive.files)
    return {str(name): array for name, array in zip(names, arrays, strict=True)}
