import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from translator import checkpoint
from translator.checkpoint import CheckpointError

STATE = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "a.bias": torch.ones(3, dtype=torch.bfloat16),
    "n": torch.tensor(3),
}


def assert_same(found, expected=STATE):
    assert found.keys() == expected.keys()
    assert all(
        torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in expected.items()
    )


def test_safetensors_file(tmp_path):
    save_file(STATE, tmp_path / "x.safetensors")
    assert_same(checkpoint.read(tmp_path / "x.safetensors"))


@pytest.mark.parametrize("suffix", ["bin", "pt", "pth"])
@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model_state_dict": s}]
)
def test_torch_files(tmp_path, suffix, wrap):
    torch.save(wrap(STATE), tmp_path / f"x.{suffix}")
    assert_same(checkpoint.read(tmp_path / f"x.{suffix}"))


@pytest.mark.parametrize("name", ["model.safetensors", "diffusion_pytorch_model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("sharded", [False, True])
def test_folders(tmp_path, name, sharded):
    write = save_file if name.endswith("safetensors") else torch.save
    if not sharded:
        write(STATE, tmp_path / name)
    else:
        files = {key: f"part-{n}.{name.rpartition('.')[2]}" for n, key in enumerate(STATE)}
        for key, file in files.items():
            write({key: STATE[key]}, tmp_path / file)
        (tmp_path / f"{name}.index.json").write_text(json.dumps({"weight_map": files}))
    assert_same(checkpoint.read(tmp_path))


def test_what_is_written_is_read(tmp_path):
    checkpoint.write(STATE, tmp_path, shard_bytes=24)
    assert len(list(tmp_path.glob("model-*.safetensors"))) == 2
    assert_same(checkpoint.read(tmp_path))


def test_views_of_one_tensor_are_written_whole(tmp_path):
    base = torch.arange(6.0)
    state = {"first": base[:3], "second": base[3:], "turned": base.reshape(2, 3).T}
    checkpoint.write(state, tmp_path)
    assert_same(checkpoint.read(tmp_path), state)


def test_a_pickle_is_not_run(tmp_path):
    class Attack:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    torch.save({"a": Attack()}, tmp_path / "x.pt")
    (tmp_path / "y.bin").write_bytes(pickle.dumps({"a": Attack()}))
    for name in ("x.pt", "y.bin"):
        with pytest.raises(CheckpointError, match="plain tensors"):
            checkpoint.read(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [([torch.ones(1)], "holds a list"), ({"a": 3}, "no tensors: a"), ({3: torch.ones(1)}, "not a state dict")],
)
def test_what_is_no_state_dict_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=message):
        checkpoint.read(tmp_path / "x.pt")


def test_what_is_missing_or_damaged_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        checkpoint.read(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        checkpoint.read(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="no whole safetensors file"):
        checkpoint.read(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "gone.safetensors"}}))
    with pytest.raises(CheckpointError, match="gone.safetensors"):
        checkpoint.read(tmp_path)
    index.write_text("[]")
    with pytest.raises(CheckpointError, match="no index of shards"):
        checkpoint.read(tmp_path)
    save_file({"a": torch.ones(1)}, tmp_path / "one.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "two.safetensors")
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    with pytest.raises(CheckpointError, match="in two shards"):
        checkpoint.read(tmp_path)
