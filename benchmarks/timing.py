"""How long something takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def timed(work: Callable[[], T], repeats: int = 1) -> tuple[float, T]:
    """Seconds that work takes, all repeats together, and what the last of them gives."""
    started = time.perf_counter()
    for _ in range(repeats):
        result = work()
    return time.perf_counter() - started, result
