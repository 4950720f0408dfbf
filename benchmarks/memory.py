"""The peak memory of this process, in MB. Imports only the standard library."""

from __future__ import annotations

import contextlib
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
MB = 1e6


def peak() -> float:
    """The greatest resident memory so far.

    On Linux from /proc: what getrusage calls ru_maxrss starts, in a child, at the peak of the process that started it.
    """
    if _STATUS.exists():
        return _status("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MB


def resident() -> float:
    """The resident memory now; the peak where the system does not say."""
    return _status("VmRSS") if _STATUS.exists() else peak()


def forget_peak() -> None:
    """Let the peak begin anew at what is resident now, where the system has that."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / MB  # its kB are of 1024 bytes


@dataclass
class Growth:
    """Peak memory from here on. before: what was resident at the beginning."""

    before: float = 0.0

    def begin(self) -> Growth:
        forget_peak()
        self.before = resident()
        return self

    def measured(self) -> tuple[float, float]:
        """The peak, and how far it is above what was resident at the beginning."""
        highest = peak()
        return highest, highest - self.before
