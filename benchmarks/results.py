"""What a run of the benchmark found, and the JSON file that keeps it.

Times come in two forms: in seconds, to be read, and as ratios to something that was timed beside them, to be compared. A machine
that is busy with other work slows both sides of a ratio.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.spread import Spread

FORMAT = 1  # of the file; another one is refused

_INNERMOST = re.compile(r"[\[{][^\[\]{}]*[\]}]")  # lists and dicts without others in them: a line each

# Who takes part, as tables and files name them.
CONTENDERS = TORCH, COMPILED, EMITTED, PORT, TORCHAX = "torch", "torch.compile", "translation", "port", "torchax"


@dataclass(frozen=True)
class Measured:
    """One thing that a contender does, a forward or a step.

    compiling: seconds that the first call took more than a later one. compiling_ratio: the same in yardsticks (see `yardstick`).
    seconds: of a call. ratio: to the reference's in the same round.
    """

    compiling: float
    compiling_ratio: float
    seconds: Spread
    ratio: Spread


@dataclass(frozen=True)
class Contender:
    """One way to run a model. error: the greatest distance of an output from torch in float64, as a share of that output's scale.

    problem: why something is missing, or wrong.
    """

    name: str
    forward: Measured | None = None
    step: Measured | None = None
    error: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class Sizes:
    """Counts: scalars in the parameters, nodes of the exported graph, lines and classes of the emitted file."""

    parameters: int
    nodes: int
    lines: int
    classes: int


@dataclass(frozen=True)
class Translating:
    """Translating one model several times, in seconds.

    export: in torch.export. own: in all else. stages: own by stage, `capture` without torch.export. yardstick: see `yardstick`.
    export_ratio, own_ratio: in yardsticks.
    """

    export: Spread
    own: Spread
    stages: Mapping[str, Spread]
    yardstick: Spread
    export_ratio: Spread
    own_ratio: Spread


@dataclass(frozen=True)
class Memory:
    """Peak resident memory in MB of a process that does one thing, and how far that is above what it held before."""

    peak: float
    growth: float


@dataclass(frozen=True)
class Binding:
    """Loading the saved folder where torch is not imported, several times.

    first: seconds of the first load, in which JAX traces what it has not seen. seconds: of a later one. ratio: of that to reading
    the bare tensors. memory: of the first load.
    """

    first: float
    seconds: Spread
    ratio: Spread
    memory: Memory


@dataclass(frozen=True)
class Model:
    """All that was found on one model. failure: why there is less."""

    name: str
    sizes: Sizes | None = None
    translating: Translating | None = None
    memory: Memory | None = None
    binding: Binding | None = None
    contenders: tuple[Contender, ...] = ()
    failure: str = ""

    def contender(self, name: str) -> Contender | None:
        """The contender of this name, None where it took no part."""
        return next((contender for contender in self.contenders if contender.name == name), None)


@dataclass(frozen=True)
class Machine:
    """Where a run took place. cpu: its model. cores: that the system has. device: what JAX computes on. torch: what torch does."""

    cpu: str
    cores: int
    system: str
    device: str
    torch: str


@dataclass(frozen=True)
class Results:
    """One run. threads: that each contender may use. rounds: how often each measure was taken."""

    suite: str
    date: str
    machine: Machine
    versions: Mapping[str, str]
    threads: int
    rounds: int
    models: tuple[Model, ...]
    reference: str = TORCH
    format: int = field(default=FORMAT)

    def model(self, name: str) -> Model | None:
        """The model of this name, None where it was not run."""
        return next((model for model in self.models if model.name == name), None)

    @property
    def contenders(self) -> tuple[str, ...]:
        """The names of all that took part, in order."""
        found = {contender.name for model in self.models for contender in model.contenders}
        return tuple(name for name in CONTENDERS if name in found)

    def save(self, path: Path) -> None:
        """Write the file, and the folder that it is in."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_rounded(dataclasses.asdict(self)), indent=1)
        path.write_text(_INNERMOST.sub(lambda found: " ".join(found[0].split()), text) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read a file that `save` wrote. Raises ValueError saying why it is none."""
        try:
            data = json.loads(path.read_text())
            if data["format"] != FORMAT:
                raise ValueError(f"its format is {data['format']}, and this version reads {FORMAT}: run it again")
            return decoded(cls, data)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} holds no results of the benchmark: {error}") from error


def _rounded(data: Any) -> Any:
    """data with its numbers to five digits: more would only make diffs longer."""
    if isinstance(data, dict):
        return {key: _rounded(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_rounded(value) for value in data]
    return float(f"{data:.5g}") if isinstance(data, float) else data


def decoded(kind: Any, data: Any) -> Any:
    """Plain data as a value of a type: a dataclass, an optional, a tuple or mapping of such, or a number or string."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if data is None else decoded(inner[0], data)
    if origin is tuple:
        return tuple(decoded(inner[0], item) for item in data)
    if origin is Mapping:
        return {key: decoded(inner[1], item) for key, item in data.items()}
    if dataclasses.is_dataclass(kind):
        kinds = typing.get_type_hints(kind)
        return kind(**{name: decoded(kinds[name], item) for name, item in data.items()})
    return kind(data)
