"""What the translating stages hand to those that bind, verify, save and report: the emitted file and where its parts came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class EmittedCall:
    """One call of an emitted class in the running order of the emitted program.

    path is the module's fqn in torch ("" for the root). inputs and outputs are the names of the FX nodes that the call's
    array arguments and results stand for, in the order of the emitted `__call__`'s.
    """

    path: str
    class_name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Emitted:
    """The emitted source file and what binding and verifying need to know of it.

    tied maps each torch name that shares its tensor with a leaf to that leaf's name. unused holds fnmatch patterns of the
    torch names that no leaf stands for. constants are tensors too large to be written in the source, which a file beside
    it carries. class_of maps every module path that became an emitted class's instance to that class. takes_key: whether
    the root is called with a PRNG key, of which it draws random numbers. layout: "nhwc" where images have their channels last within.
    """

    source: str
    root: str
    calls: tuple[EmittedCall, ...] = ()
    class_of: Mapping[str, str] = field(default_factory=dict)
    tied: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    constants: Mapping[str, torch.Tensor] = field(default_factory=dict)
    takes_key: bool = False
    layout: str | None = None
