"""Saving a translation: a folder that is written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from translator import checkpoint, review
from translator.captured import Captured
from translator.emitted import Emitted
from translator.errors import TranslationError
from translator.loader import CONSTANTS_FILE
from translator.reference import flat_inputs
from translator.verification import Verification

SHARD_BYTES = 5 * 10**9

_RUFF = "line-length = 100\n"


def save(
    captured: Captured,
    emitted: Emitted,
    report: Mapping[str, Any],
    verification: Verification | None,
    path: str | Path,
    overwrite: bool = False,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Write the folder `path` and return it.

    It holds model.py; every tensor of the torch state dict, those without a leaf too, a shared one once, as model.safetensors
    (in shards with an index above shard_bytes); constants.safetensors where the source reads one; inputs.safetensors, the example;
    report.json; review.html; and a ruff.toml with the line length that model.py is formatted to. It is made beside its
    place and then moved there. Raises TranslationError if it exists, unless overwrite.
    """
    target = Path(path)
    require_free(target, overwrite)
    parent = target.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=parent))
    try:
        folder.chmod(0o755)
        _write(folder, captured, emitted, report, verification, shard_bytes)
        replace_folder(folder, target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return target


def require_free(target: Path, overwrite: bool) -> None:
    """Raise TranslationError where target exists, unless overwrite and it is a saved translation or an empty folder."""
    if not target.exists():
        return
    if not overwrite:
        raise TranslationError(f"{target} exists already; to replace it, pass overwrite=True (--overwrite)")
    saved = (target / "model.py").is_file() and (target / "report.json").is_file()
    if not target.is_dir() or not saved and any(target.iterdir()):
        raise TranslationError(
            f"{target} is not a folder that torch2eqx saved, and is not overwritten: remove it yourself"
        )


def as_json(report: Mapping[str, Any]) -> str:
    """The text of report.json."""
    return json.dumps(report, indent=2) + "\n"


def replace_folder(folder: Path, target: Path) -> None:
    """Move folder to target; what was there goes once the new one is in its place."""
    if not target.exists():
        os.replace(folder, target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.absolute().parent))
    os.replace(target, old / "it")
    try:
        os.replace(folder, target)
    except BaseException:
        os.replace(old / "it", target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _write(
    folder: Path,
    captured: Captured,
    emitted: Emitted,
    report: Mapping[str, Any],
    verification: Verification | None,
    shard_bytes: int,
) -> None:
    (folder / "model.py").write_text(emitted.source)
    (folder / "ruff.toml").write_text(_RUFF)
    checkpoint.write(checkpoint.distinct(captured.state, emitted.tied), folder, shard_bytes)
    if emitted.constants:
        checkpoint.write_file(emitted.constants, folder / CONSTANTS_FILE)
    checkpoint.write_file(example_inputs(captured), folder / "inputs.safetensors")
    (folder / "report.json").write_text(as_json(report))
    (folder / "review.html").write_text(review.page(emitted.source, report, verification))


def example_inputs(captured: Captured) -> dict[str, torch.Tensor]:
    """The tensors among the example inputs by their position in the flattened call."""
    leaves, _ = flat_inputs(captured.program, captured.args, captured.kwargs)
    return {str(n): leaf.detach() for n, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)}
