"""Every model of the zoo, end to end: translated, verified, run at other sizes, bound back to torch, saved, and run on its own."""

from __future__ import annotations

import os
from dataclasses import dataclass

import jax
import numpy as np
import pytest
import torch

import translator
from tests import linters
from tests.standalone import Standalone
from tests.zoo import models
from tests.zoo.case import Case
from translator import compare
from translator.runtime import Runner
from translator.trees import torch_leaves

# As a share of an output's scale, where inputs other than the example's are compared with torch's float32.
OTHER_INPUTS_BOUND = 1e-4
STANDALONE_BOUND = 1e-6


@dataclass(frozen=True)
class Translated:
    name: str
    case: Case
    translation: translator.Translation
    runner: Runner


# The checks of one model share its translation: they stay in one process, one after the other.
@pytest.fixture(scope="module", params=[pytest.param(n, marks=pytest.mark.xdist_group(n)) for n in models.names()])
def translated(request):
    case = models.build(request.param)
    translation = translator.translate(case.module, case.args, case.kwargs, dynamic_shapes=case.dynamic_shapes)
    runner = Runner(translation.source, translation.emitted.constants, translation.captured.state)
    yield Translated(request.param, case, translation, runner)
    jax.clear_caches()


@pytest.fixture(scope="module")
def standalone():
    interpreter = Standalone()
    yield interpreter
    interpreter.close()


def test_it_agrees_with_torch(translated):
    verification = translated.translation.verify(random=0, sizes=0)
    assert verification.ok, str(verification)


def test_it_works_at_other_sizes(translated):
    if not translated.case.other_inputs:
        pytest.skip("the module takes inputs of one size only")
    for args, kwargs in translated.case.other_inputs:
        with torch.no_grad():
            expected = torch_leaves(translated.case.module(*args, **kwargs))
        found = translated.runner.run(args, kwargs)
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            close(name, found[name], compare.as_array(tensor), OTHER_INPUTS_BOUND)


def test_its_state_dict_goes_back_into_torch(translated):
    module, translation = translated.case.module, translated.translation
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = translator.state_dict(translation.model)
    module.load_state_dict(state, strict=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_it_runs_on_its_own(translated, standalone, tmp_path):
    folder = translated.translation.save(tmp_path / "saved")
    case, runner = translated.case, translated.runner
    expected = list(runner.run(case.args, case.kwargs).values())
    found = standalone.run(folder, runner.arguments(case.args), runner.arguments(case.kwargs))
    assert len(found) == len(expected)
    for position, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        close(f"output {position}", ours, theirs, STANDALONE_BOUND)


def test_it_passes_ruff(translated, tmp_path):
    (tmp_path / "model.py").write_text(translated.translation.source)
    linters.ruff(tmp_path)


@pytest.mark.skipif(
    not os.environ.get("ZOO"), reason="a few seconds each: make zoo; a few files are checked in every run"
)
def test_it_passes_pyright(translated, tmp_path):
    (tmp_path / "model.py").write_text(translated.translation.source)
    linters.pyright(tmp_path)


def close(name: str, found: np.ndarray, expected: np.ndarray, bound: float) -> None:
    """Assert that found is within bound of expected, as a share of its scale; exactly equal where they are integers."""
    assert not compare.dtype_problem(found, expected), name
    if compare.is_inexact(expected.dtype):
        distance = compare.distance(found, compare.wide(expected), expected)
        assert not distance.reason and distance.error <= bound, f"{name}: {distance}"
    else:
        assert not compare.same(found, expected), name
