"""The one call that translates: a torch module and example inputs in, a Translation out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.export import ExportedProgram

from translator.errors import TranslationError
from translator.translation import Translation


def translate(
    module: torch.nn.Module | ExportedProgram,
    args: tuple = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = "auto",
    scan_layers: bool = False,
    layout: str | None = None,
    progress: Callable[[str], None] | None = None,
    spec: str | None = None,
) -> Translation:
    """Translate a torch module, as it stands in evaluation or in training mode, into Equinox source.

    What draws random numbers (dropout in training, `torch.rand`) takes a `key`, and what updates buffers in forward (batch norm
    in training) a `state`: `model(x, state=state, key=key) -> (y, state)`. A module in training mode is traced in both modes,
    and eqx.nn.inference_mode of the emitted one is its eval(); the notes of the capture say where that is not so.
    args, kwargs: example inputs; their dtypes are kept, and their lengths where torch.export finds that they must be.
    dynamic_shapes: "auto", None (every length is fixed), or what torch.export.export takes. scan_layers: whether layers that
    are alike become one, with a leaf for each tensor of all of them, over which jax.lax.scan runs: it compiles as fast as one
    layer, and its weights are stacked. layout: "nhwc" for images that have their channels last between the model's arguments and
    its results, which stay as torch has them, and so do the weights. progress: told each stage's name as it begins. spec: where the module came from, kept for `torch2eqx verify`.
    Raises CaptureError, UnsupportedOps (with every op that has no rule), or their base TranslationError.
    """
    from translator.capture import capture
    from translator.pipeline import emit
    from translator.value_lengths import measured

    if layout not in (None, "torch", "nhwc"):
        raise TranslationError(f'layout is "torch" or "nhwc", not {layout!r}')
    if not isinstance(module, (torch.nn.Module, ExportedProgram)):
        raise TranslationError(
            f"translate takes a torch.nn.Module or an exported program, not a {type(module).__name__}"
        )
    stages = Stages(progress)
    stages.begin("capture")
    captured = measured(capture(module, tuple(args), kwargs, dynamic_shapes=dynamic_shapes))
    emitted = emit(captured, stages.begin, scan_layers, layout if layout != "torch" else None)
    stages.end()
    return Translation(captured, emitted, stages.seconds, spec)


class Stages:
    """Times the stages of a translation, each from its beginning to the next one's."""

    def __init__(self, progress: Callable[[str], None] | None = None):
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self._current: tuple[str, float] | None = None

    def begin(self, stage: str) -> None:
        self.end()
        self._current = stage, time.perf_counter()
        if self.progress is not None:
            self.progress(stage)

    def end(self) -> None:
        if self._current is not None:
            stage, started = self._current
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started
            self._current = None
