"""A saved translation: verified as it is now, or given other weights."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.utils import _pytree as pytree

from translator import binding, checkpoint, review, saving
from translator.captured import Captured
from translator.emitted import Emitted
from translator.errors import BindingError, TranslationError
from translator.loader import CONSTANTS_FILE
from translator.specs import Resolved
from translator.verification import Verification
from translator.verify import verify


@dataclass(frozen=True)
class Saved:
    """The parts of a saved folder: the source and the report as they are now."""

    folder: Path
    source: str
    report: Mapping[str, Any]

    @classmethod
    def read(cls, folder: str | Path) -> Saved:
        """Raises TranslationError where folder is no saved translation."""
        folder = Path(folder)
        try:
            return cls(folder, (folder / "model.py").read_text(), json.loads((folder / "report.json").read_text()))
        except (OSError, ValueError) as error:
            raise TranslationError(f"{folder} is not a folder that torch2eqx saved: {error}") from error

    @property
    def constants(self) -> dict[str, torch.Tensor]:
        """The tensors that the source reads from beside it."""
        file = self.folder / CONSTANTS_FILE
        return load_file(file) if file.is_file() else {}

    def prepared(self, resolved: Resolved) -> Resolved:
        """The torch module with this folder's weights, and this folder's example inputs in place of its own, where they fit.

        An exported program keeps its own weights. Raises BindingError where the weights do not fit the module.
        """
        if isinstance(resolved.module, torch.nn.Module):
            tied = self.report["tied"]
            found = resolved.module.load_state_dict(checkpoint.read(self.folder), strict=False)
            problems = [
                f"{name} is missing" for name in found.missing_keys if name not in tied and name not in tied.values()
            ]
            problems += [f"{name} is not in the torch module" for name in found.unexpected_keys]
            if problems:
                raise BindingError(problems)
        leaves, structure = pytree.tree_flatten((resolved.args, dict(resolved.kwargs)))
        inputs = load_file(self.folder / "inputs.safetensors") if (self.folder / "inputs.safetensors").is_file() else {}
        positions = [str(n) for n, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        if set(inputs) == set(positions) and all(inputs[n].dtype == leaves[int(n)].dtype for n in positions):
            leaves = [inputs.get(str(n), leaf) for n, leaf in enumerate(leaves)]
        args, kwargs = pytree.tree_unflatten(leaves, structure)
        return Resolved(resolved.module, args, kwargs)

    def verify(
        self,
        captured: Captured,
        emitted: Emitted,
        progress: Callable[[str], None] | None = None,
        gradients: bool = False,
    ) -> Verification:
        """Compare the source and weights of this folder with the torch module that captured and emitted are of."""
        now = dataclasses.replace(emitted, source=self.source, constants=self.constants)
        state = checkpoint.read(self.folder)
        options = {"gradients": gradients, "reproduce": self.folder, "progress": progress}
        return verify(captured, now, state=state, **options)

    def rebind(self, path: str | Path, output: str | Path | None = None, overwrite: bool = False) -> Path:
        """Give this folder, or a copy of it at output, the weights of a checkpoint, and return its path.

        Names and shapes must fit exactly. Tensors that the emitted module does not use are kept from before where the checkpoint
        lacks them. Raises BindingError, CheckpointError, or TranslationError where output exists.
        """
        target = self.folder if output is None else Path(output)
        if output is not None:
            saving.require_free(target, overwrite)
        tensors = checkpoint.read(path)
        binding.bind(binding.instantiate(self.source, self.constants), tensors)
        before = checkpoint.read(self.folder)
        for alias, leaf in self.report["tied"].items():
            for name, other in ((leaf, alias), (alias, leaf)):
                if name in before and name not in tensors and other in tensors:
                    tensors[name] = tensors[other]
        state = {name: tensors.get(name, tensor) for name, tensor in before.items()}
        report = {**self.report, "verification": None, "checkpoint": str(path)}
        parent = target.absolute().parent
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=parent))
        try:
            shutil.copytree(self.folder, folder, dirs_exist_ok=True, ignore=_old_weights)
            checkpoint.write(state, folder)
            (folder / "report.json").write_text(saving.as_json(report))
            (folder / "review.html").write_text(review.page(self.source, report, None))
            saving.replace_folder(folder, target)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return target


def _old_weights(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith("model") and ".safetensors" in name or name == "__pycache__"]
