"""Every model of the zoo, end to end: translated, verified, run at other sizes, bound back to torch, saved, and run on its own.

`make zoo` takes the deepest ones whole, which otherwise have fewer layers of each kind, and runs pyright on every file.
"""

from __future__ import annotations

import ast
import difflib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import torch

import translator
from tests import linters, reading
from tests.compiling import optimised
from tests.standalone import Standalone
from tests.zoo import models
from tests.zoo.case import Case
from translator import compare
from translator.runtime import Runner
from translator.trees import torch_leaves

# As a share of an output's scale, where both frameworks compute in float32.
FLOAT32_BOUND = 1e-4

# Encoder and decoder with convolutions, recurrence. make zoo runs pyright on the files of all models.
LINTED = ("whisper", "torch_lstm")

# Copies of these models' files are kept in FOLDER; `make golden` writes them anew.
GOLDEN = ("bert", "gpt2", "resnet18", "t5", "unet2d_condition", "vit_b_16")
FOLDER = Path(__file__).with_name("golden")


@dataclass(frozen=True)
class Translated:
    name: str
    case: Case
    translation: translator.Translation
    runner: Runner


NAMES = GOLDEN if os.environ.get("GOLDEN") else models.names()


# The checks of one model share its translation: they stay in one process, one after the other.
@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in NAMES])
def translated(request):
    case = models.build(request.param, shallow=not os.environ.get("ZOO"))
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
    with optimised():
        verification = translated.translation.verify(random=0, sizes=0)
    assert verification.ok, str(verification)


def test_it_works_at_other_sizes(translated):
    if not translated.case.other_inputs:
        pytest.skip("the module takes inputs of one size only")
    for args, kwargs in translated.case.other_inputs:
        as_in_torch(translated.runner.run(args, kwargs), translated.case, args, kwargs)


def test_its_state_dict_goes_back_into_torch(translated):
    module, translation = translated.case.module, translated.translation
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = translator.state_dict(translation.model)
    module.load_state_dict(state, strict=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_it_runs_on_its_own(translated, standalone, tmp_path):
    folder = translated.translation.save(tmp_path / "saved")
    case, runner = translated.case, translated.runner
    found = standalone.run(folder, runner.arguments(case.args), runner.arguments(case.kwargs))
    as_in_torch(found, case, case.args, case.kwargs)


def test_it_passes_ruff(translated, tmp_path):
    (tmp_path / "model.py").write_text(translated.translation.source)
    linters.ruff(tmp_path)


def test_it_passes_pyright(translated, tmp_path):
    if translated.name not in LINTED and not os.environ.get("ZOO"):
        pytest.skip("a few seconds each: make zoo")
    (tmp_path / "model.py").write_text(translated.translation.source)
    linters.pyright(tmp_path)


def test_no_value_is_called_what_an_fx_node_is(translated):
    assert not reading.fx_names(translated.translation.source)


def test_no_class_is_defined_twice(translated):
    classes = reading.classes_of(translated.translation.source)
    names = Counter(c.name for c in classes)
    assert max(names.values()) == 1
    bodies = Counter(ast.dump(ast.Module([f for f in c.body if not reading.docstring(f)], [])) for c in classes)
    assert max(bodies.values()) == 1


def test_it_is_as_reviewed(translated):
    """What a change of the codegen does to these files is reviewed as a diff. It says nothing of correctness."""
    if translated.name not in GOLDEN:
        pytest.skip("no copy of this model's file is kept")
    path, source = FOLDER / f"{translated.name}.py", translated.translation.source
    if os.environ.get("GOLDEN"):
        path.write_text(source)
    before, now = path.read_text().splitlines(), source.splitlines()
    difference = "\n".join(difflib.unified_diff(before, now, "as reviewed", "as emitted now", lineterm=""))
    assert not difference, f"{difference}\n\nIf it reads better, keep it: make golden"


def test_no_golden_file_is_left_over():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(GOLDEN)


def as_in_torch(found: dict[str, np.ndarray], case: Case, args: tuple, kwargs: dict[str, Any]) -> None:
    """Assert that outputs, by their paths, are what torch gives for the same inputs."""
    with torch.no_grad():
        expected = torch_leaves(case.module(*args, **kwargs))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        close(name, found[name], compare.as_array(tensor), FLOAT32_BOUND)


def close(name: str, found: np.ndarray, expected: np.ndarray, bound: float) -> None:
    """Assert that found is within bound of expected, as a share of its scale; exactly equal where they are integers."""
    assert not compare.dtype_problem(found, expected), name
    if compare.is_inexact(expected.dtype):
        distance = compare.distance(found, compare.wide(expected), expected)
        assert not distance.reason and distance.error <= bound, f"{name}: {distance}"
    else:
        assert not compare.same(found, expected), name
