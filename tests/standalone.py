"""Runs saved translations in an interpreter of their own, where neither torch nor this project can be imported."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

_FORBIDDEN = ("torch", "translator", "op_table")

# Reads one folder a line. In it lie model.py, the weights, and call.pkl: the arguments, as numpy arrays in plain containers.
_SERVER = """
import importlib.abc, importlib.util, pickle, sys, traceback

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {forbidden!r}:
            raise ImportError(f"{{name}} must not be imported here")

sys.meta_path.insert(0, Refuse())
import equinox as eqx, jax, numpy as np

def run(folder, number):
    spec = importlib.util.spec_from_file_location(f"model_{{number}}", folder + "/model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    with open(folder + "/call.pkl", "rb") as file:
        args, kwargs = pickle.load(file)
    outputs = eqx.filter_jit(module.load(folder))(*args, **kwargs)
    leaves = jax.tree_util.tree_leaves_with_path(outputs)
    names = [jax.tree_util.keystr(where, simple=True, separator=".") or "output" for where, _ in leaves]
    found = dict(zip(names, [leaf for _, leaf in leaves]))
    np.savez(folder + "/outputs.npz", **{{name: leaf for name, leaf in found.items() if not isinstance(leaf, str)}})
    jax.clear_caches()

for number, line in enumerate(sys.stdin):
    try:
        run(line.strip(), number)
        print("ok", flush=True)
    except Exception:
        print(repr(traceback.format_exc()), flush=True)
"""


class Standalone:
    """One such interpreter, which stays up for any number of folders."""

    def __init__(self) -> None:
        # -I: neither the current directory nor PYTHONPATH is searched. What runs once is compiled for that.
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", _SERVER.format(forbidden=_FORBIDDEN)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "XLA_FLAGS": "--xla_backend_optimization_level=0"},
            text=True,
        )

    def run(self, folder: Path, args: Any, kwargs: Any) -> dict[str, np.ndarray]:
        """The outputs of the model saved in folder, loaded from its own weights, by their paths. Raises AssertionError with its traceback."""
        (folder / "call.pkl").write_bytes(pickle.dumps((args, kwargs)))
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{folder}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer == "ok", answer.encode().decode("unicode_escape") or "the interpreter died"
        with np.load(folder / "outputs.npz") as outputs:
            return dict(outputs)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=60)
