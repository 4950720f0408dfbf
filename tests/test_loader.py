"""The loader runs as a user would run it: the emitted file alone, with neither torch nor this project importable."""

import json
import subprocess
import sys
import textwrap

import jax
import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from tests import handwritten
from translator import binding
from translator.arrays import to_array
from translator.loader import loader_source


@pytest.fixture(scope="module")
def module():
    return binding.instantiate(handwritten.source())


@pytest.fixture
def tensors():
    return {name: to_array(tensor) for name, tensor in handwritten.net()[0].state_dict().items()}


def refusal(module, tensors):
    with pytest.raises(ValueError) as caught:
        module.bind(tensors)
    return str(caught.value).splitlines()


def test_every_leaf_is_filled_by_its_path(module, tensors):
    model = module.bind(tensors)
    np.testing.assert_array_equal(model.blocks[2].dense.weight, tensors["blocks.2.dense.weight"])
    np.testing.assert_array_equal(model.conv.bias[:, 0], tensors["conv.bias"])
    np.testing.assert_array_equal(model.odd_name.bias, tensors["odd-name.bias"])


def test_all_problems_are_listed_at_once(module, tensors):
    del tensors["conv.weight"], tensors["embed.weight"], tensors["head.weight"]
    tensors |= {
        "blocks.0.dense.bias": np.zeros(7, np.float32),
        "offset": np.float32(3),
        "stranger": np.zeros(2),
    }
    assert refusal(module, tensors) == [
        "embed.weight is missing",
        "conv.weight is missing",
        "blocks.0.dense.bias: float32(7,) for ShapeDtypeStruct(shape=(6,), dtype=float32)",
        "offset: float32() for ShapeDtypeStruct(shape=(), dtype=int32, weak_type=True)",
        "stranger is unexpected",
    ]


def test_a_tied_name_fills_its_leaf_where_that_is_absent(module, tensors):
    weight = tensors["embed.weight"]
    del tensors["embed.weight"]
    np.testing.assert_array_equal(module.bind(tensors).embed.weight, weight)


def test_tied_names_must_be_equal(module, tensors):
    tensors["head.weight"] = tensors["head.weight"] + 1
    assert refusal(module, tensors) == ["head.weight differs from embed.weight, though the two are one tensor"]


def test_an_unused_tensor_may_be_absent(module, tensors):
    del tensors["spare"]
    module.bind(tensors)


def test_only_a_trailing_axis_of_one_may_differ(module, tensors):
    tensors["conv.bias"] = tensors["conv.bias"][None]
    assert refusal(module, tensors) == ["conv.bias: float32(1, 6) for ShapeDtypeStruct(shape=(6, 1), dtype=float32)"]


def test_a_floating_dtype_is_kept(module, tensors):
    half = {n: t.astype(ml_dtypes.bfloat16) if t.dtype == np.float32 else t for n, t in tensors.items()}
    assert module.bind(half).blocks[0].dense.weight.dtype == "bfloat16"
    with jax.enable_x64(True):
        wide = {n: t.astype(np.float64) if t.dtype == np.float32 else t for n, t in tensors.items()}
        assert module.bind(wide).conv.weight.dtype == "float64"


def test_an_integer_that_does_not_fit_is_refused(module, tensors):
    tensors["offset"] = np.int64(2**40)
    assert refusal(module, tensors) == ["offset holds integers that do not fit in int32"]
    with jax.enable_x64(True):
        assert int(module.bind(tensors).offset) == 2**40


def test_names_reach_the_text_as_literals_alone():
    hostile = 'a"\n"""; import os; os.abort()  #'
    text, _ = loader_source("Net", {hostile: f"{hostile}'"}, (hostile,), False, "")
    names = {}
    exec(text.partition("def bind")[0], names)
    assert names["TIED"] == {hostile: f"{hostile}'"} and names["UNUSED"] == (hostile,)


def test_the_text_is_short_and_has_only_what_it_needs():
    text, imports = loader_source("Net", {}, (), False, "")
    assert len(text.splitlines()) <= 45
    assert "TIED" not in text and "UNUSED" not in text and "fnmatch" not in "".join(imports)


def test_a_sequential_root_drops_its_field_from_the_names():
    loader, imports = loader_source("Root", {}, (), False, "layers.")
    root = """
        class Root(eqx.Module):
            layers: tuple

            def __init__(self, *, key):
                self.layers = (eqx.nn.Linear(2, 3, key=key), eqx.nn.Linear(3, 1, key=key))
    """
    emitted = binding.instantiate("\n".join(imports) + textwrap.dedent(root) + loader)
    state = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)).state_dict()
    model, _ = binding.bind(emitted, state)
    assert {n: t.tolist() for n, t in binding.state_dict(model).items()} == {n: t.tolist() for n, t in state.items()}


ALONE = """
    import sys, json
    for name in ("torch", "translator", "op_table"):
        sys.modules[name] = None  # importing it raises
    sys.path.insert(0, sys.argv[1])
    import model, numpy as np
    for path in sys.argv[2:]:
        out = model.load(path)(np.array([[1, 2, 3]]), np.ones((1, 3, 1), np.float32))
        print(json.dumps(np.asarray(out["logits"]).ravel().tolist()))
"""


def test_the_file_alone_loads_every_kind_of_checkpoint(tmp_path, tensors):
    (tmp_path / "model.py").write_text(handwritten.source())
    save_file(tensors, tmp_path / "single.safetensors")
    whole, sharded, diffusion = (tmp_path / name for name in ("whole", "sharded", "diffusion"))
    for folder in (whole, sharded, diffusion):
        folder.mkdir()
    save_file(tensors, whole / "model.safetensors")
    names = sorted(tensors)
    shards = {"a.safetensors": names[:5], "b.safetensors": names[5:]}
    index = {"weight_map": {name: file for file, part in shards.items() for name in part}}
    for folder, stem in ((sharded, "model"), (diffusion, "diffusion_pytorch_model")):
        for file, part in shards.items():
            save_file({name: tensors[name] for name in part}, folder / file)
        (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index))
    paths = [tmp_path / "single.safetensors", whole, sharded, diffusion]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ALONE), tmp_path, *paths], capture_output=True, text=True, check=True
    )
    with torch.no_grad():
        expected = handwritten.net()[0](torch.tensor([[1, 2, 3]]), torch.ones(1, 3, 1))["logits"].flatten()
    lines = done.stdout.splitlines()
    assert len(lines) == len(paths)
    for line in lines:
        np.testing.assert_allclose(json.loads(line), expected, atol=1e-5)


def test_a_folder_without_weights_is_named(module, tmp_path):
    with pytest.raises(FileNotFoundError, match="model.safetensors"):
        module.load(tmp_path)
