"""The examples do what they say, with fewer steps and layers."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
WRITTEN = {"model.py", "model.safetensors", "trained.safetensors", "losses.png"}


@pytest.fixture
def example(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module(request.param)


@pytest.mark.parametrize("example", ["digits_resnet"], indirect=True)
def test_digits(example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert example.main(tmp_path / "digits", epochs=1) == 0, capsys.readouterr().out
    assert {path.name for path in (tmp_path / "digits").iterdir()} >= WRITTEN


@pytest.mark.parametrize("example", ["text_minilm"], indirect=True)
def test_text(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    short = functools.partial(example.BertModel.from_pretrained, num_hidden_layers=2)
    monkeypatch.setattr(example.BertModel, "from_pretrained", short)
    batches = example.shuffled_batches(32, 8, 1)[:2]
    monkeypatch.setattr(example, "shuffled_batches", lambda *_: batches)
    monkeypatch.setattr(example, "TOLERANCE", 1.0)  # two steps say nothing about accuracies
    assert example.main(tmp_path / "text") == 0, capsys.readouterr().out
    assert {path.name for path in (tmp_path / "text").iterdir()} >= WRITTEN


@pytest.mark.parametrize("example", ["text_minilm"], indirect=True)
def test_sentences(example: ModuleType) -> None:
    part_of = example.first_sentences()
    assert example.PARTS[part_of["Compute the matrix exponential of an array."]] == "linalg"
    assert set(part_of.values()) == set(range(len(example.PARTS)))
