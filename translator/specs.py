"""SPEC on the command line: where a module and its example inputs come from."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from translator import pretrained
from translator.errors import TranslationError

HELP = (
    "package.module:factory, path/to/file.py:factory, a .pt2 exported program, or a Hugging Face model folder. A factory "
    "returns (module, args) or (module, args, kwargs), or a module with an attribute example_inputs that is such a tuple of args."
)


@dataclass(frozen=True)
class Resolved:
    """A module and the call that it is translated with."""

    module: torch.nn.Module | ExportedProgram
    args: tuple
    kwargs: Mapping[str, Any]


def resolve(spec: str) -> Resolved:
    """Load what a SPEC names. A factory is called, and so runs the user's code; nothing is downloaded.

    Raises TranslationError where there is no such thing, or it is not what a SPEC may name.
    """
    path = Path(spec)
    if path.suffix == ".pt2":
        return _exported(path)
    if path.is_dir():
        module, kwargs = pretrained.load(path)
        return Resolved(module, (), kwargs)
    where, colon, name = spec.rpartition(":")
    if not colon or not where or not name:
        raise TranslationError(f"{spec!r} names no module: give {HELP}")
    factory = _member(_imported(where), name, spec)
    if not callable(factory):
        raise TranslationError(f"{spec} is a {type(factory).__name__}, not a factory: give {HELP}")
    return _made(factory, spec)


def _exported(path: Path) -> Resolved:
    if not path.is_file():
        raise TranslationError(f"there is no file {path}")
    try:
        program = torch.export.load(path)
    except Exception as error:
        raise TranslationError(f"torch.export cannot load {path}: {error}") from error
    if program.example_inputs is None:
        raise TranslationError(f"{path} holds no example inputs: export it again with torch.export.save of this torch")
    args, kwargs = program.example_inputs
    return Resolved(program, tuple(args), dict(kwargs))


def _imported(where: str) -> Any:
    path = Path(where)
    if path.suffix != ".py":
        _importable(Path.cwd())
        try:
            return importlib.import_module(where)
        except ImportError as error:
            raise TranslationError(f"cannot import {where}: {error}") from error
    if not path.is_file():
        raise TranslationError(f"there is no file {path}")
    _importable(path.absolute().parent)
    loader = importlib.util.spec_from_file_location(path.stem, path)
    assert loader is not None and loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    known = sys.modules.get(path.stem)
    if known is None or getattr(known, "__file__", None) == str(path):
        sys.modules[path.stem] = module  # dataclasses in it look it up
    loader.loader.exec_module(module)
    return module


def _importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _member(module: Any, name: str, spec: str) -> Any:
    for part in name.split("."):
        if not hasattr(module, part):
            raise TranslationError(f"{spec}: {getattr(module, '__name__', module)} has no {part!r}")
        module = getattr(module, part)
    return module


def _made(factory: Callable[[], Any], spec: str) -> Resolved:
    made = factory()
    if isinstance(made, torch.nn.Module):
        if not hasattr(made, "example_inputs"):
            raise TranslationError(f"{spec} returns a module alone: return (module, args), or give it example_inputs")
        example = made.example_inputs
        made = (made, example() if callable(example) else example)
    if (
        not isinstance(made, tuple)
        or not 2 <= len(made) <= 3
        or not isinstance(made[0], (torch.nn.Module, ExportedProgram))
    ):
        raise TranslationError(f"{spec} returns a {type(made).__name__}, not (module, args) or (module, args, kwargs)")
    module, args, kwargs = (*made, {})[:3]
    if isinstance(args, Mapping) and not kwargs:
        args, kwargs = (), args
    if isinstance(args, torch.Tensor):
        args = (args,)
    if not isinstance(args, (tuple, list)) or not isinstance(kwargs, Mapping):
        raise TranslationError(f"{spec}: args must be a tuple, and kwargs a dict")
    return Resolved(module, tuple(args), dict(kwargs))
