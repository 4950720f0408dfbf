"""What emitted files must pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def ruff(folder: Path) -> None:
    """Assert that ruff finds nothing in a folder's files, and would format them as they are."""
    _run("ruff", "check", "--isolated", "--ignore=F722,F821", str(folder))
    _run("ruff", "format", "--isolated", "--check", "--line-length=100", str(folder))


def pyright(folder: Path) -> None:
    """Assert that pyright finds nothing in a folder's files, in its basic mode."""
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "basic"}')
    _run("pyright", "--pythonpath", sys.executable, "-p", str(folder))


def _run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
