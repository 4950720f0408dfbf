"""Random programs as what they are: lines of torch code over named tensors, and the module that runs them."""

from __future__ import annotations

import itertools
import linecache
import re
from dataclasses import dataclass

import torch

# What a step may do to the last bits of a result. The comparison allows for it (band.py); nothing else may differ.
EXACT = "exact"  # moves, picks or compares values, or computes with integers
ROUNDS = "rounds"  # one rounding an element, none where the result fits the dtype
SUMS = "sums"  # a rounding a term, none where the terms are short numbers
CANCELS = "cancels"  # a sum of what is rounded, whatever it is given: 1 + tanh(x), a cube root of cubes
NORMALIZES = "normalizes"  # divides by what may be small: what it is given counts to its last bit
APPROXIMATES = "approximates"  # a function that no two libraries round alike

_WIDE = {"float32": "float64", "float16": "float64", "bfloat16": "float64", "complex64": "complex128"}
_NAME = re.compile(r"\bv\d+\b")


@dataclass(frozen=True)
class Input:
    """An input tensor. how: the code that makes it. place: whether it is an argument, a buffer or a parameter."""

    name: str
    how: str
    place: str = "argument"

    def make(self) -> torch.Tensor:
        return eval(self.how, {"torch": torch, "random_input": random_input})


@dataclass(frozen=True)
class Step:
    """One line of the program. results: the tensors that it makes, or writes to."""

    op: str
    line: str
    results: tuple[str, ...]
    rounding: str = EXACT

    @property
    def reads(self) -> set[str]:
        return set(_NAME.findall(self.line))

    @property
    def writes(self) -> bool:
        """Whether the step writes into a tensor that was there before it."""
        return not self.line.startswith(", ".join(self.results) + " = ")


@dataclass(frozen=True)
class Program:
    """A module's forward. child: the range of steps that a submodule runs. x64: whether JAX runs in its 64-bit mode.

    dynamic: whether it is translated for other lengths, too.
    """

    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    child: tuple[int, int] | None = None
    x64: bool = False
    dynamic: bool = False

    def source(self) -> str:
        """The code of the module, as a person would write it."""
        arguments = [i.name for i in self.inputs if i.place == "argument"]
        own = [f"{i.name} = self.{i.name}" for i in self.inputs if i.place != "argument"]
        lines = [step.line for step in self.steps]
        children = []
        if self.child is not None:
            start, end = self.child
            inside, after = self.steps[start:end], self.steps[end:]
            made = {name for step in inside for name in step.results if not step.writes}
            taken = sorted(set().union(*(step.reads for step in inside)) - made)
            needed = set(self.outputs).union(*(step.reads for step in after))
            given = sorted(made & needed) or sorted(made)
            children = _class("Child", taken, [], lines[start:end], given)
            children += [""]
            lines[start:end] = [f"{', '.join(given)}, = self.child({', '.join(taken)})"]
            own_init = ["self.child = Child()"]
        else:
            own_init = []
        return "\n".join([*children, *_class("Fuzzed", arguments, own_init, own + lines, self.outputs)]) + "\n"

    def __str__(self) -> str:
        made = [f"{i.name} = {i.how}  # {i.place}" for i in self.inputs]
        mode = ["# JAX in its 64-bit mode"] * self.x64 + ["# with dynamic lengths"] * self.dynamic
        return "\n".join([*mode, *made, "", self.source()])

    __repr__ = __str__

    def module(self) -> torch.nn.Module:
        """The module, whose source lies where torch looks for lines, as that of a user's file does."""
        source = self.source()
        name = f"<fuzzed {next(_numbers)}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        space = {"torch": torch, "F": torch.nn.functional}
        exec(compile(source, name, "exec"), space)
        module = space["Fuzzed"]()
        for i in self.inputs:
            if i.place == "buffer":
                module.register_buffer(i.name, i.make())
            elif i.place == "parameter":
                module.register_parameter(i.name, torch.nn.Parameter(i.make(), requires_grad=False))
        linecache.cache.pop(f"<fuzzed {next(_numbers) - 64}>", None)
        return module.eval()

    def arguments(self) -> tuple[torch.Tensor, ...]:
        return tuple(i.make() for i in self.inputs if i.place == "argument")


_numbers = itertools.count()


def _class(name: str, arguments: list[str], init: list[str], lines: list[str], returned: tuple | list) -> list[str]:
    heads = ["    def __init__(self):", "        super().__init__()", *(f"        {line}" for line in init), ""]
    return [
        f"class {name}(torch.nn.Module):",
        *(heads if init else []),
        f"    def forward({', '.join(['self', *arguments])}):",
        *(f"        {line}" for line in lines),
        f"        return {', '.join(returned)},",
        "",
    ]


def wide(code: str) -> str:
    """Code with float64 for every narrower float dtype that it names."""
    return re.sub(r"torch\.(\w+)", lambda m: f"torch.{_WIDE.get(m[1], m[1])}", code)


def random_input(
    seed: int, kind: str, dtype: torch.dtype, *shape: int, order: tuple = (), step: int = 1
) -> torch.Tensor:
    """A tensor of random values. order: its axes in memory; step: how far apart the elements of its last axis lie there."""
    generator = torch.Generator().manual_seed(seed)
    stored = [shape[axis] for axis in order] if order else list(shape)
    if stored:
        stored[-1] *= step
    values = _VALUES[kind](stored, generator)
    if dtype.is_complex:
        values = torch.complex(values, _VALUES[kind](stored, generator))
    elif dtype == torch.uint8:
        values = values.abs()
    elif dtype == torch.bool:
        values = values > 0
    if stored and step > 1:
        values = values[..., ::step]
    values = values.to(dtype)
    if stored and step > 1:
        values = values.repeat_interleave(step, -1)[..., ::step]
    return values.permute([order.index(axis) for axis in range(len(shape))]) if order else values


def _specials(shape: list[int], generator: torch.Generator) -> torch.Tensor:
    values = torch.tensor([0.0, -0.0, 1.0, -1.5, torch.inf, -torch.inf, torch.nan, 0.25])
    return values[torch.randint(0, 8, shape, generator=generator)]


_VALUES = {
    "small": lambda shape, g: torch.randint(-4, 5, shape, generator=g).float(),
    "ties": lambda shape, g: torch.randint(0, 3, shape, generator=g).float(),
    "quarters": lambda shape, g: torch.randint(-16, 17, shape, generator=g) / 4,
    "normal": lambda shape, g: torch.randn(shape, generator=g),
    "positive": lambda shape, g: torch.rand(shape, generator=g) + 0.25,
    "large": lambda shape, g: torch.randint(-100, 101, shape, generator=g).float(),
    "specials": _specials,
}
