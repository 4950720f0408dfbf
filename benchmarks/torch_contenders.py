"""torch itself: eager, and with torch.compile."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.contenders import Local
from benchmarks.results import COMPILED, TORCH
from tests.zoo.case import Case
from translator.compare import as_array
from translator.trees import map_tensors, torch_leaves


def eager(case: Case, device: str = "cpu") -> Local:
    """The module as it is."""
    return _contender(TORCH, case, device, lambda module: module)


def compiled(case: Case, device: str = "cpu") -> Local:
    """The module compiled, its backward pass as well."""
    torch._dynamo.reset()
    return _contender(COMPILED, case, device, torch.compile)


def floating(outputs: Any) -> dict[str, torch.Tensor]:
    """The floating tensors of a module's outputs by name, in order."""
    leaves = torch_leaves(outputs).items()
    return {name: leaf for name, leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()}


def _contender(name: str, case: Case, device: str, prepared: Callable[[torch.nn.Module], Callable[..., Any]]) -> Local:
    module = copy.deepcopy(case.module).to(device)
    args, kwargs = map_tensors(lambda tensor: tensor.to(device), (case.args, case.kwargs))
    run = prepared(module)

    def forward() -> Any:
        with torch.no_grad():
            outputs = run(*args, **kwargs)
        if device != "cpu":
            torch.cuda.synchronize()
        return outputs

    def step() -> None:
        module.zero_grad(set_to_none=True)
        loss = torch.stack([output.square().mean() for output in floating(run(*args, **kwargs)).values()]).sum()
        loss.backward()
        if device != "cpu":
            torch.cuda.synchronize()

    def results() -> dict[str, np.ndarray]:
        return {name: as_array(output) for name, output in floating(forward()).items()}

    return Local(name, {"forward": forward, "step": step}, results)
