"""Reads checkpoints: name -> tensor from safetensors, or from a torch file without running what is pickled in it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from translator.errors import TranslationError

# Of a folder, the first that is there is read. The names are those that transformers and diffusers give their weights.
NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "diffusion_pytorch_model.bin",
)


class CheckpointError(TranslationError):
    """A checkpoint is not there, is damaged, or holds something else than named tensors."""


def read(path: str | Path) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint by name, on the CPU.

    path: a .safetensors file, a torch file (.bin, .pt, .pth: a state dict, or a dict that holds one under "state_dict" or
    "model_state_dict"), an index of shards (.index.json), or a folder that holds one under a name of NAMES. Torch files are
    read with weights_only=True alone, so that nothing pickled in them runs. Raises CheckpointError.
    """
    tensors: dict[str, torch.Tensor] = {}
    for file in files(path):
        for name, tensor in _read_file(file).items():
            if name in tensors:
                raise CheckpointError(f"{name!r} is in two shards of {path}")
            tensors[name] = tensor
    return tensors


def files(path: str | Path) -> list[Path]:
    """The files that hold a checkpoint's tensors. Raises CheckpointError where one is missing."""
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in NAMES if (path / name).is_file()]
        if not found:
            raise CheckpointError(f"the folder {path} holds no checkpoint; looked for {', '.join(NAMES)}")
        path = found[0]
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    if path.suffix != ".json":
        return [path]
    try:
        shards = sorted(set(json.loads(path.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no index of shards: {error!r}") from error
    missing = [shard for shard in shards if not (path.parent / shard).is_file()]
    if missing:
        raise CheckpointError(f"{path} names shards that are not beside it: {', '.join(map(str, missing))}")
    return [path.parent / shard for shard in shards]


def _read_file(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no whole safetensors file: {error}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).strip().splitlines()[:1]
        raise CheckpointError(
            f"{path} cannot be read as plain tensors ({''.join(reason)}). Only safetensors and torch files that hold nothing "
            "but tensors are read: save module.state_dict()"
        ) from error
    return _state_dict(content, path)


def _state_dict(content: Any, path: Path) -> dict[str, torch.Tensor]:
    for key in ("state_dict", "model_state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a state dict")
    others = [name for name, value in content.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise CheckpointError(f"{path} holds entries that are no tensors: {', '.join(others[:10])}")
    return dict(content)


def distinct(state: Mapping[str, torch.Tensor], tied: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """A state dict with each shared tensor once: under the name that tied gives to the others, where that is one of torch's."""
    return {name: tensor for name, tensor in state.items() if tied.get(name) not in state}


def write(state: Mapping[str, torch.Tensor], folder: Path, shard_bytes: int = 5 * 10**9) -> None:
    """Write tensors as model.safetensors in folder, or in shards with an index where they take more than shard_bytes.

    Raises CheckpointError for dtypes that safetensors has no name for.
    """
    shards: list[dict[str, torch.Tensor]] = [{}]
    filled = 0
    for name, tensor in state.items():
        if shards[-1] and filled + tensor.nbytes > shard_bytes:
            shards.append({})
            filled = 0
        shards[-1][name] = tensor
        filled += tensor.nbytes
    if len(shards) == 1:
        write_file(shards[0], folder / "model.safetensors")
        return
    files = [f"model-{n:05}-of-{len(shards):05}.safetensors" for n in range(1, len(shards) + 1)]
    for file, shard in zip(files, shards, strict=True):
        write_file(shard, folder / file)
    where = {name: file for file, shard in zip(files, shards, strict=True) for name in shard}
    index = {"metadata": {"total_size": sum(tensor.nbytes for tensor in state.values())}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def write_file(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors as one safetensors file, each whole even where it is a view of another's memory."""
    try:
        save_file({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}, path)
    except KeyError as error:
        raise CheckpointError(f"safetensors cannot hold tensors of {error.args[0]}") from error
