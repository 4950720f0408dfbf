"""Translates one model several times, in a process of its own whose memory is measured.

    python -m benchmarks.translating MODEL FOLDER TIMES

FOLDER gets the saved translation, measured.json (sizes, times and memory) and truth.npz: torch's outputs in float64.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import translator
from benchmarks import suites
from benchmarks.contenders import save_arrays
from benchmarks.memory import Growth
from benchmarks.results import Memory, Sizes, Translating
from benchmarks.spread import Spread, ratios
from benchmarks.torch_contenders import floating
from benchmarks.yardstick import Elapsed, beside, exporting
from tests.zoo.case import Case
from translator.reference import Reference
from translator.translation import Translation

SIZES, TIMES, MEMORY = "sizes", "translating", "memory"
WARM_UP = "torch_transformer_prenorm"  # a small model of several classes
MEASURED, TRUTH = "measured.json", "truth.npz"


def main(name: str, folder: Path, times: int) -> None:
    """Translate the model of a name, and write what was found to folder."""
    case = suites.build(name)
    translated(suites.build(WARM_UP))  # imports what is imported late
    exporting()
    translation, growth, elapsed, stages = None, None, [], []
    for _ in range(times):
        translation = None
        gc.collect()
        memory = Growth().begin()
        with beside(exporting) as spent:
            translation = translated(case)
        growth = growth or memory.measured()
        elapsed.append(spent)
        stages.append(own_stages(translation))
    assert translation is not None and growth is not None
    translation.save(folder)
    save_arrays(folder / TRUTH, truth(translation))
    found = {
        SIZES: sizes(case, translation),
        MEMORY: Memory(*growth),
        TIMES: durations(elapsed, stages),
    }
    (folder / MEASURED).write_text(json.dumps({key: dataclasses.asdict(value) for key, value in found.items()}))


def translated(case: Case) -> Translation:
    """The translation of a case."""
    return translator.translate(case.module, case.args, case.kwargs, dynamic_shapes=case.dynamic_shapes)


def own_stages(translation: Translation) -> dict[str, float]:
    """Seconds by stage: torch.export's under `export`, which the stage `capture` holds as well, taken out of it."""
    export = translation.captured.seconds
    return {"export": export, **translation.seconds, "capture": translation.seconds["capture"] - export}


def durations(elapsed: list[Elapsed], stages: list[dict[str, float]]) -> Translating:
    """The times of several translations of one model."""
    exports = [each["export"] for each in stages]
    own = [sum(each.values()) - each["export"] for each in stages]
    yardsticks = [each.yardstick for each in elapsed]
    return Translating(
        export=Spread.of(exports),
        own=Spread.of(own),
        stages={name: Spread.of(each[name] for each in stages) for name in stages[0] if name != "export"},
        yardstick=Spread.of(yardsticks),
        export_ratio=ratios(exports, yardsticks),
        own_ratio=ratios(own, yardsticks),
    )


def sizes(case: Case, translation: Translation) -> Sizes:
    """How large a model and its translation are."""
    emitted = translation.report()["emitted"]
    parameters = sum(parameter.numel() for parameter in case.module.parameters())
    return Sizes(parameters, len(translation.captured.graph.nodes), emitted["lines"], len(emitted["classes"]))


def truth(translation: Translation) -> dict[str, np.ndarray]:
    """torch's floating outputs in float64 by name."""
    captured = translation.captured
    outputs: dict[str, Any] = Reference(captured).run(captured.args, captured.kwargs)[0]
    return {name: tensor.numpy() for name, tensor in floating(outputs).items()}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
