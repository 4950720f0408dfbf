"""While torch.export traces, each node keeps every frame of user code, not only those of a method that is called forward.

So values take their names from helper functions too (`_forward`, attention processors), and errors point into them.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import linecache
import traceback
from collections.abc import Iterator

import torch
from torch.fx.proxy import TracerBase

from translator.provenance import TORCH

_FUNCTIONAL = torch.nn.functional.__file__


@contextlib.contextmanager
def whole() -> Iterator[None]:
    """Patch what torch itself names as the place to choose frames; where a torch has no such place, its own choice stays."""
    original = getattr(TracerBase, "_filter_traceback_frames", None)
    if original is None:
        yield
        return
    TracerBase._filter_traceback_frames = lambda tracer, summary: user_frames(summary)
    try:
        yield
    finally:
        TracerBase._filter_traceback_frames = original


def user_frames(summary: traceback.StackSummary) -> traceback.StackSummary:
    """The frames from the first forward on, but for torch's own machinery and those that merely pass a call on."""
    frames = list(summary)
    first = next((i for i, frame in enumerate(frames) if frame.name == "forward"), len(frames))
    kept = [
        f
        for f in frames[first:]
        if f.name == "forward" or not f.filename.startswith(TORCH) or f.filename == _FUNCTIONAL
    ]
    return traceback.StackSummary.from_list([f for f in kept if not _passes_on(f.filename, f.lineno or 0)])


@functools.lru_cache(maxsize=10_000)
def _passes_on(file: str, line: int) -> bool:
    """Whether a line is a decorator's wrapper calling what it wraps: `return function(self, *args, **kwargs)`."""
    try:
        tree = ast.parse(linecache.getline(file, line).strip())
    except SyntaxError:
        return False
    calls = (part for part in ast.walk(tree) if isinstance(part, ast.Call))
    return any(
        any(isinstance(arg, ast.Starred) for arg in call.args) and any(k.arg is None for k in call.keywords)
        for call in calls
    )
