"""What a run took place on, and with which versions."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax
import torch

from benchmarks.results import Machine

PACKAGES = ("torch2eqx", "torch", "jax", "jaxlib", "equinox", "transformers", "torchax")


def machine() -> Machine:
    """This machine. Starts JAX."""
    device = f"{jax.default_backend()}: {jax.devices()[0].device_kind}"
    return Machine(cpu_model(), os.cpu_count() or 1, platform.system(), device, torch_device())


def cpu_model() -> str:
    """The name of the processor's model, as far as the system says it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def torch_device() -> str:
    """Where torch is to compute, so that the two are alike: on the GPU where JAX does and torch can, else on the CPU."""
    return "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"


def versions() -> dict[str, str]:
    """The versions of what takes part, as far as it is installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def has_compiler() -> bool:
    """Whether the C++ compiler that torch.compile calls is there."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None
