"""torchax in a process of its own, where it cannot break torch.compile: runs what it is told by lines of JSON, see `piped`.

    {"do": "prepare", "model": NAME}                     builds the model
    {"do": "outputs", "file": FILE}                      writes its outputs, by position, to an .npz file
    {"do": "seconds", "measure": MEASURE, "calls": N}    answers {"seconds": of a call}

Each line is answered by one, {"error": REASON} where it failed.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch

from benchmarks import suites
from benchmarks.contenders import Local, by_position, save_arrays
from benchmarks.jax_contenders import jax_arguments, loss_of
from benchmarks.results import TORCHAX
from benchmarks.torch_contenders import floating
from tests.zoo.case import Case

ANSWER = "answer: "  # how a line of this protocol begins: libraries may print others


class Outputs(torch.nn.Module):
    """A module that returns its floating outputs alone, in order: torchax knows no classes of outputs."""

    def __init__(self, module: torch.nn.Module):
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
        return tuple(floating(self.module(*args, **kwargs)).values())


@contextlib.contextmanager
def overloads_that_are_gone() -> Iterator[None]:
    """Let torchax name overloads of ops that torch no longer has (torchax 0.0.13: those with named dimensions)."""
    packets = torch._ops.OpOverloadPacket
    original = packets.__getattr__

    def found(packet: Any, name: str) -> Any:
        try:
            return original(packet, name)
        except AttributeError:
            if "imname" not in name and "names" not in name:
                raise
            return object()  # that nothing is ever looked up by

    packets.__getattr__ = found
    try:
        yield
    finally:
        packets.__getattr__ = original


def contender(case: Case) -> Local:
    """A model by torchax, compiled by JAX."""
    with overloads_that_are_gone():
        import torchax

        torchax.default_env()
    states, function = torchax.extract_jax(Outputs(case.module))
    args, kwargs = jax_arguments(case.args), jax_arguments(case.kwargs)
    keep = {f"module.{name}" for name, parameter in case.module.named_parameters() if parameter.requires_grad}
    trainable = {name: state for name, state in states.items() if name in keep}
    rest = {name: state for name, state in states.items() if name not in keep}
    forward = jax.jit(function)

    @jax.jit
    @jax.value_and_grad
    def step(trainable: dict, rest: dict, args: tuple, kwargs: dict) -> jax.Array:
        return loss_of(function({**rest, **trainable}, args, kwargs))

    calls = {
        "forward": lambda: jax.block_until_ready(forward(states, args, kwargs)),
        "step": lambda: jax.block_until_ready(step(trainable, rest, args, kwargs)),
    }
    return Local(TORCHAX, calls, lambda: by_position([np.asarray(output) for output in calls["forward"]()]))


def main() -> None:
    """Answer lines until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes elsewhere
    runner: Local | None = None
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if order["do"] == "prepare":
                runner = None
                gc.collect()
                jax.clear_caches()
                runner = contender(suites.build(order["model"]))
            elif order["do"] == "outputs":
                assert runner is not None
                save_arrays(Path(order["file"]), runner.outputs())
            else:
                assert runner is not None
                answer["seconds"] = runner.seconds(order["measure"], order["calls"])
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        print(ANSWER + json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
