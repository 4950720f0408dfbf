"""Where the benchmarks that print a table begin: how many threads compute, and on what."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version

import torch
from rich.console import Console

WIDTH = 120  # where there is no terminal to ask


def begin(threads: int, packages: tuple[str, ...] = ("torch", "jax"), width: int = WIDTH) -> Console:
    """Let torch and JAX, which must not have computed yet, use so many threads, and print the machine and the versions."""
    limit(threads)
    console = Console() if sys.stdout.isatty() else Console(width=width)
    console.print(f"{platform.platform()}, {os.cpu_count()} cores; {threads} thread{'s' * (threads > 1)}")
    console.print(", ".join(f"{name} {version(name)}" for name in packages))
    return console


def limit(threads: int) -> None:
    """Let torch and JAX, which must not have computed yet, use so many threads."""
    torch.set_num_threads(threads)
    os.environ["PJRT_NPROC"] = str(threads)  # read once JAX begins to compute
