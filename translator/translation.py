"""A finished translation: the emitted source, the model that it makes, and what can be done with the two."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from translator import binding, report, saving
from translator.captured import Captured
from translator.emitted import Emitted
from translator.verification import Verification
from translator.verify import verify


@dataclass(frozen=True, eq=False)
class Translation:
    """What `translate` gives.

    captured: what torch.export saw. emitted: the source and what binding it needs. seconds: how long each stage took.
    spec: where the module came from, if it was named on the command line, so that a saved folder can be verified again.
    """

    captured: Captured
    emitted: Emitted
    seconds: Mapping[str, float] = field(default_factory=dict)
    spec: str | None = None
    verifications: list[Verification] = field(default_factory=list, repr=False)

    @property
    def source(self) -> str:
        """The emitted file's text."""
        return self.emitted.source

    @functools.cached_property
    def _bound(self) -> tuple[eqx.Module, eqx.nn.State | None]:
        with jax.ensure_compile_time_eval():  # read first within jax.jit, they would be tracers ever after
            module = binding.instantiate(self.emitted.source, self.emitted.constants)
            return binding.bind(module, self.captured.state)

    @property
    def model(self) -> eqx.Module:
        """The emitted module filled with the torch module's tensors. Raises BindingError where they do not fit."""
        return self._bound[0]

    def trainable(self, model: eqx.Module) -> eqx.Module:
        """For eqx.partition: True for each array of a model that torch trains (the emitted file's own `trainable`).

        Raises AttributeError for a module that was translated in evaluation mode, whose file has none.
        """
        return sys.modules[type(self.model).__module__].trainable(model)

    @property
    def state(self) -> eqx.nn.State | None:
        """The buffers that forward writes to, as they are in the torch module; None for a module that writes to none.

        Each access gives one of its own: what a call was given, Equinox does not let be used again.
        """
        return jax.tree.map(lambda leaf: leaf, self._bound[1])

    def verify(
        self,
        *,
        random: int = 1,
        sizes: int = 2,
        gradients: bool = False,
        reproduce: str | Path | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Verification:
        """Compare the emitted module with torch: see `translator.verify.verify`. The latest result goes into what is saved."""
        options = {
            "random": random,
            "sizes": sizes,
            "gradients": gradients,
            "reproduce": reproduce,
            "progress": progress,
        }
        result = verify(self.captured, self.emitted, **options)
        self.verifications.append(result)
        return result

    def report(self) -> dict[str, Any]:
        """What report.json holds: versions, the module, its inputs, the ops, the emitted file's size, notes, times, verification."""
        verification = self.verifications[-1] if self.verifications else None
        return report.build(self.captured, self.emitted, self.seconds, verification, self.spec)

    def save(self, path: str | Path, *, overwrite: bool = False, shard_bytes: int = saving.SHARD_BYTES) -> Path:
        """Write the translation to a folder: see `translator.saving.save`."""
        verification = self.verifications[-1] if self.verifications else None
        return saving.save(self.captured, self.emitted, self.report(), verification, path, overwrite, shard_bytes)
