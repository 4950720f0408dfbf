import dataclasses
import json
import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests import handwritten
from translator import Translation, TranslationError, binding, checkpoint, saving
from translator.capture import capture
from translator.errors import BindingError
from translator.review import page
from translator.saved import Saved
from translator.specs import Resolved
from translator.verification import OutputRow, Verification

FILES = ["inputs.safetensors", "model.py", "model.safetensors", "report.json", "review.html", "ruff.toml"]


@pytest.fixture(scope="module")
def translation():
    module, args = handwritten.net()
    captured = capture(module, args)
    return Translation(captured, handwritten.emitted(captured.graph), {"capture": 0.1234})


def test_the_folder_holds_what_is_needed_and_nothing_else(translation, tmp_path):
    folder = translation.save(tmp_path / "deep" / "net")
    assert sorted(os.listdir(folder)) == FILES
    assert os.listdir(folder.parent) == ["net"]
    assert (folder / "model.py").read_text() == translation.source
    weights = load_file(folder / "model.safetensors")
    expected = {n: t for n, t in translation.captured.state.items() if n != "head.weight"}
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
    assert [t.shape for t in load_file(folder / "inputs.safetensors").values()] == [(2, 5), (2, 5, 1)]
    assert (folder / "ruff.toml").read_text() == "line-length = 100\n"


def test_weights_are_sharded_above_a_size(translation, tmp_path):
    folder = translation.save(tmp_path / "net", shard_bytes=500)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1
    for name, file in index["weight_map"].items():
        with safe_open(folder / file, "pt") as opened:
            assert name in opened.keys()
    model = binding.instantiate(translation.source).load(folder)
    assert torch.equal(binding.state_dict(translation.model)["conv.bias"], checkpoint.read(folder)["conv.bias"])
    assert float(model.odd_name.bias[0]) == float(translation.model.odd_name.bias[0])


def test_constants_lie_beside_the_source(translation, tmp_path):
    emitted = dataclasses.replace(translation.emitted, constants={"table": torch.arange(3).T})
    folder = dataclasses.replace(translation, emitted=emitted).save(tmp_path / "net")
    assert load_file(folder / "constants.safetensors")["table"].tolist() == [0, 1, 2]


def test_an_existing_folder_is_replaced_only_when_asked(translation, tmp_path):
    folder = translation.save(tmp_path / "net")
    (folder / "model.py").write_text("# mine\n")
    with pytest.raises(TranslationError, match="exists already"):
        translation.save(folder)
    assert (folder / "model.py").read_text() == "# mine\n"
    translation.save(folder, overwrite=True)
    assert (folder / "model.py").read_text() == translation.source
    assert os.listdir(tmp_path) == ["net"]


def test_a_folder_of_something_else_is_never_replaced(translation, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(TranslationError, match="remove it yourself"):
        translation.save(tmp_path, overwrite=True)
    with pytest.raises(TranslationError, match="remove it yourself"):
        translation.save(tmp_path / "thesis.txt", overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_save_that_fails_leaves_all_as_it_was(translation, tmp_path, monkeypatch, overwrite):
    if overwrite:
        translation.save(tmp_path / "net")
    before = sorted(os.walk(tmp_path))

    def fail(*args):
        raise OSError("the disk is full")

    monkeypatch.setattr(saving.review, "page", fail)
    with pytest.raises(OSError, match="disk is full"):
        translation.save(tmp_path / "net", overwrite=overwrite)
    assert sorted(os.walk(tmp_path)) == before


def test_the_report_says_what_was_done(translation):
    report = translation.report()
    assert report["module"] == "tests.handwritten.Net" and report["spec"] is None
    assert report["versions"]["torch"] == torch.__version__
    assert report["inputs"][1]["dtype"] == "float32" and report["inputs"][1]["dynamic"] == [0, 1]
    assert report["ops"]["aten.tanh.default"] == 3
    assert report["emitted"]["root"] == "Net" and report["emitted"]["classes"] == ["Block", "Net"]
    assert report["emitted"]["lines"] == len(translation.source.splitlines())
    assert report["seconds"] == {"capture": 0.123} and report["verification"] is None
    assert json.loads(json.dumps(report)) == report


def test_a_verification_goes_into_the_report_and_the_page(translation, tmp_path):
    verified = dataclasses.replace(translation, verifications=[])
    verification = verified.verify(random=0, sizes=0)
    folder = verified.save(tmp_path / "net")
    report = json.loads((folder / "report.json").read_text())
    assert report["verification"]["ok"] and report["verification"]["summary"] == verification.summary
    assert [row["name"] for row in report["verification"]["outputs"]] == ["logits", "best"]
    html = (folder / "review.html").read_text()
    assert verification.summary in html and "blocks.2" in html


def test_the_review_page_escapes_everything(translation):
    hostile = "<script>alert(1)</script>"
    row = OutputRow(hostile, hostile, (1,), hostile, None, None, None, False, hostile)
    report = translation.report() | {
        "module": hostile,
        "notes": [hostile],
        "modules": {hostile: hostile},
        "ops": {hostile: 1},
    }
    html = page(f"x = '{hostile}'\n", report, Verification((row,), notes=(hostile,)))
    assert "<script" not in html and html.count("&lt;script&gt;") >= 9
    assert "http://" not in html and "https://" not in html and "src=" not in html


def test_rebinding_in_place_and_to_a_new_folder(translation, tmp_path):
    folder = translation.save(tmp_path / "net")
    other = {name: tensor + 1 for name, tensor in translation.captured.state.items()}
    del other["spare"], other["embed.weight"]
    torch.save(other, tmp_path / "other.pt")
    copy = Saved.read(folder).rebind(tmp_path / "other.pt", tmp_path / "copy")
    assert torch.equal(checkpoint.read(copy)["embed.weight"], other["head.weight"])
    assert torch.equal(checkpoint.read(copy)["spare"], translation.captured.state["spare"])
    assert torch.equal(checkpoint.read(folder)["conv.bias"], translation.captured.state["conv.bias"])
    assert sorted(os.listdir(copy)) == FILES
    with pytest.raises(TranslationError, match="exists already"):
        Saved.read(folder).rebind(tmp_path / "other.pt", copy)
    Saved.read(folder).rebind(tmp_path / "other.pt")
    assert torch.equal(checkpoint.read(folder)["conv.bias"], other["conv.bias"])


def test_a_checkpoint_that_does_not_fit_changes_nothing(translation, tmp_path):
    folder = translation.save(tmp_path / "net")
    before = checkpoint.read(folder)
    torch.save({"conv.bias": torch.zeros(6), "else": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(BindingError, match="conv.weight is missing[^$]*else is unexpected"):
        Saved.read(folder).rebind(tmp_path / "other.pt")
    after = checkpoint.read(folder)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_a_saved_folder_is_verified_as_it_is_now(translation, tmp_path):
    folder = translation.save(tmp_path / "net")
    torch.manual_seed(1)
    fresh, args = handwritten.Net().eval(), handwritten.net()[1]
    saved = Saved.read(folder)
    resolved = saved.prepared(Resolved(fresh, tuple(torch.zeros_like(a) for a in args), {}))
    assert torch.equal(resolved.args[0], args[0])
    captured = capture(resolved.module, resolved.args)
    assert saved.verify(captured, translation.emitted).ok
    (folder / "model.py").write_text(translation.source.replace("jnp.tanh(jax.vmap", "jnp.sin(jax.vmap"))
    verification = Saved.read(folder).verify(captured, translation.emitted)
    assert not verification.ok and verification.culprit.path == "blocks.0"
    assert verification.reproduction == str(folder / "divergence" / "reproduce.py")
    with pytest.raises(BindingError, match="conv.bias is not in the torch module"):
        saved.prepared(Resolved(torch.nn.Linear(2, 2), (), {}))


def test_what_is_no_saved_folder_is_named(tmp_path):
    with pytest.raises(TranslationError, match="not a folder that torch2eqx saved"):
        Saved.read(tmp_path)
