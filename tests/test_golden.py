"""Copies of six emitted files, so that what a change of the codegen does to them is reviewed as a diff.

They say nothing of correctness, which is tests/test_zoo.py's; `make golden` writes them anew.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import pytest

import translator
from tests.zoo import models

FOLDER = Path(__file__).with_name("golden")
NAMES = ("bert", "gpt2", "resnet18", "t5", "unet2d_condition", "vit_b_16")


@pytest.mark.parametrize("name", NAMES)
def test_the_emitted_file_is_as_reviewed(name):
    case = models.build(name)
    source = translator.translate(case.module, case.args, case.kwargs, dynamic_shapes=case.dynamic_shapes).source
    path = FOLDER / f"{name}.py"
    if os.environ.get("GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(source)
    before, now = path.read_text().splitlines(), source.splitlines()
    difference = "\n".join(difflib.unified_diff(before, now, "as reviewed", "as emitted now", lineterm=""))
    assert not difference, f"{difference}\n\nIf it reads better, keep it: make golden"


def test_no_golden_file_is_left_over():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(NAMES)
