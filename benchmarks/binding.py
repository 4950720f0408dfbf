"""Loads a saved translation as a user would, without torch, in a process of its own whose memory is measured.

    python -m benchmarks.binding FOLDER

Prints one line of JSON, a `results.Binding`. Each load is timed beside reading the bare tensors into JAX.
"""

from __future__ import annotations

import dataclasses
import json
import runpy
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from safetensors.numpy import load_file

from benchmarks.memory import Growth
from benchmarks.results import Binding, Memory
from benchmarks.spread import Spread, ratios
from benchmarks.timing import timed

TIMES = 8


def main(folder: str) -> None:
    """Load the translation in folder, and print what it took."""
    jax.block_until_ready(jnp.zeros(2) + 1)  # starts JAX
    load = runpy.run_path(f"{folder}/model.py", run_name="model")["load"]
    memory, growth, loads, reads = Growth().begin(), None, [], []
    for _ in range(TIMES):
        loads.append(timed(lambda: jax.block_until_ready(load(folder)))[0])
        growth = growth or memory.measured()
        reads.append(timed(lambda: read(folder))[0])
    first, *later = loads
    assert growth is not None and "torch" not in sys.modules
    found = Binding(first, Spread.of(later), ratios(later, reads[1:]), Memory(*growth))
    print(json.dumps(dataclasses.asdict(found)))


def read(folder: str) -> None:
    """Every tensor in folder as an array of JAX."""
    files = Path(folder).glob("*.safetensors")
    jax.block_until_ready([[jnp.asarray(array) for array in load_file(file).values()] for file in files])


if __name__ == "__main__":
    main(sys.argv[1])
