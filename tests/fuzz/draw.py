"""Draws programs: each step is run by torch as it is drawn, and kept only where torch takes it and its values stay tame."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import torch

from tests.fuzz.band import run_step
from tests.fuzz.program import EXACT, ROUNDS, SUMS, Input, Program, Step

# What rounds its terms before it adds them, as a library likes: all but one may cancel.
TERMS = re.compile("alpha=|addcmul|addcdiv|lerp")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
INT32 = torch.iinfo(torch.int32)
FLOATS = ("float32", "float32", "float32", "bfloat16", "float16")
INTEGERS = ("int64", "int64", "int32", "uint8", "int8", "int16")


class Nothing(Exception):
    """There is no tensor that a step could take."""


class Draw:
    """The program so far, and what a step may be made of. env: the tensors as they are after the last step."""

    def __init__(self, random: Random, x64: bool = False):
        self.random, self.x64 = random, x64
        self.specials = False
        self.inputs: list[Input] = []
        self.steps: list[Step] = []
        self.env: dict[str, torch.Tensor] = {}
        self.base: list[int] = []

    # Numbers and choices

    def chance(self, share: float) -> bool:
        return self.random.randint(0, 99) < share * 100

    def choose(self, options: Sequence[Any]) -> Any:
        return options[self.random.randint(0, len(options) - 1)]

    def integer(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def scalar(self, kinds: str = "ifb") -> str:
        kind = self.choose([*kinds, *kinds.replace("b", "")] or kinds)
        if kind == "b":
            return self.choose(["True", "False"])
        return (
            str(self.integer(-4, 5))
            if kind == "i"
            else self.choose(["0.5", "-1.5", "2.0", "0.3", "-0.25", "3.0", "0.0"])
        )

    def dtype(self, names: Sequence[str] = (*FLOATS, *INTEGERS, "bool")) -> str:
        return "torch." + self.choose([*names, *(["float64", "int64"] if self.x64 else [])])

    # Tensors

    def pick(self, wanted: Callable[[torch.Tensor], bool] = lambda t: True) -> str:
        """The name of a tensor, of the later ones rather than of the first."""
        names = [name for name, tensor in self.env.items() if wanted(tensor)]
        if not names:
            raise Nothing
        return self.choose(names[-3:] if self.chance(0.5) else names)

    def fitting(self, name: str, wanted: Callable[[torch.Tensor], bool] = lambda t: True) -> str:
        """A tensor that broadcasts with the one of that name."""
        shape = self.env[name].shape

        def fits(tensor: torch.Tensor) -> bool:
            pairs = zip(reversed(shape), reversed(tensor.shape), strict=False)
            return wanted(tensor) and all(a == b or 1 in (a, b) for a, b in pairs)

        return self.pick(fits)

    def own_memory(self, name: str) -> bool:
        """Whether a tensor lies in memory that no input lies in, so that the program may write to it."""
        tensor = self.env[name]
        storages = {self.env[i.name].untyped_storage()._cdata for i in self.inputs}
        return tensor.untyped_storage()._cdata not in storages

    def dim(self, name: str) -> int:
        ndim = max(self.env[name].ndim, 1)
        return self.integer(-ndim, ndim - 1)

    def dims(self, name: str) -> list[int]:
        ndim = self.env[name].ndim
        if ndim == 0:
            return []
        count = self.integer(1, ndim)
        axes = list(range(ndim))
        kept = []
        for _ in range(count):
            kept.append(axes.pop(self.integer(0, len(axes) - 1)))
        return [axis - ndim if self.chance(0.3) else axis for axis in kept]

    def fill(self, template: str) -> str:
        """A template with its placeholders replaced; the first tensor is what dims and fitting tensors are drawn for."""
        subject: str | None = None

        def replaced(match: re.Match) -> str:
            nonlocal subject
            kind = match[1]
            if kind in KINDS:
                name = self.pick(KINDS[kind])
                subject = subject or name
                return name
            if kind == "s":
                return self.scalar()
            if kind == "si":
                return str(self.integer(-3, 4))
            if kind == "sp":
                return str(self.integer(1, 3))
            if kind == "sf":
                return self.scalar("f")
            if kind == "k":
                return self.choose(["True", "False"])
            if kind == "dtype":
                return self.dtype()
            if kind == "fdtype":
                return self.dtype(FLOATS)
            assert subject is not None, template
            if kind == "d":
                return str(self.dim(subject))
            if kind == "ds":
                return str(self.dims(subject))
            if kind == "y":
                return self.fitting(subject)
            if kind == "ys":
                return self.scalar() if self.chance(0.4) else self.fitting(subject)
            if kind.startswith("y_"):
                return self.fitting(subject, KINDS[kind[2:]])
            assert kind == "same", template
            like = self.env[subject]
            return self.pick(lambda t: t.dtype == like.dtype and t.shape == like.shape)

        return _PLACEHOLDER.sub(replaced, template)

    # Steps

    def add(self, op: str, code: str, rounding: str = EXACT, results: int = 1, target: str | None = None) -> bool:
        """Run a step and keep it if torch takes it and its results are tame. target: what it writes to, if it does."""
        names = (target,) if target else tuple(f"v{len(self.env) + k}" for k in range(results))
        line = code if target else f"{', '.join(names)} = {code}"
        if rounding == ROUNDS and TERMS.search(code):
            rounding = SUMS
        step = Step(op, line, names, rounding)
        apart = {name: self.env[name].clone() for name in step.reads} if target else {}
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                run_step(step, self.env)
                if target:
                    run_step(step, apart)
        except Exception:
            self._undo(step)
            return False
        if target and not torch.allclose(self.env[target], apart[target], rtol=0, atol=0, equal_nan=True):
            self._undo(step)  # it reads what it has written, in an order that torch does not tell
            return False
        tame = all(isinstance(self.env[name], torch.Tensor) and self._tame(self.env[name]) for name in names)
        tame = tame and not self._overflows(step)
        if not tame or target and not all(self._tame(tensor) for tensor in self.env.values()):
            self._undo(step)
            return False
        self.steps.append(step)
        return True

    def _undo(self, step: Step) -> None:
        for name in step.results:
            if not step.writes:
                self.env.pop(name, None)
        if step.writes:
            self.env = {i.name: i.make() for i in self.inputs}
            with torch.no_grad():
                for earlier in self.steps:
                    run_step(earlier, self.env)

    def _overflows(self, step: Step) -> bool:
        """Whether floats may be cast to integers that cannot hold them, which no language defines."""
        kept = [self.env[name].dtype for name in step.results if _is_integer(self.env[name])]
        floats = [
            self.env[name] for name in step.reads if self.env[name].is_floating_point() and self.env[name].numel()
        ]
        low = min((float(t.min()) for t in floats), default=0)
        high = max((float(t.max()) for t in floats), default=0)
        if not low == low or not high == high:
            return bool(kept)
        return any(not torch.iinfo(d).min <= 2 * low <= 2 * high <= torch.iinfo(d).max for d in kept)

    def _tame(self, tensor: torch.Tensor) -> bool:
        if tensor.numel() > 400 or tensor.ndim > 5:
            return False
        if tensor.numel() == 0 or tensor.dtype == torch.bool:
            return True
        if tensor.is_floating_point() or tensor.is_complex():
            if self.specials:
                return True
            limit = 100 if tensor.dtype in (torch.float16, torch.bfloat16) else 1e4
            # XLA takes numbers below the smallest normal one for zero.
            magnitude = tensor.abs()
            subnormal = (magnitude > 0) & (magnitude < torch.finfo(tensor.dtype).tiny)
            return bool(tensor.isfinite().all()) and float(magnitude.max()) <= limit and not bool(subnormal.any())
        if tensor.dtype == torch.int64 and not self.x64:
            return INT32.min <= int(tensor.min()) and int(tensor.max()) <= INT32.max
        return True


def _is_integer(tensor: torch.Tensor) -> bool:
    return not tensor.is_floating_point() and not tensor.is_complex() and tensor.dtype != torch.bool


def _bounded_product(tensor: torch.Tensor) -> bool:
    """Whether no order of multiplication overflows: infinity times zero is NaN, and zero times what comes after it is not."""
    grown = tensor.abs().nan_to_num(0, 0, 0).clamp(min=1).double().log().sum()
    return float(grown) < 0.9 * math.log(torch.finfo(tensor.dtype).max)


KINDS: dict[str, Callable[[torch.Tensor], bool]] = {
    "t": lambda t: True,
    "f": lambda t: t.is_floating_point(),
    "i": _is_integer,
    "z": lambda t: t.dtype == torch.bool,
    "iz": lambda t: _is_integer(t) or t.dtype == torch.bool,
    "c": lambda t: t.is_complex(),
    "r": lambda t: not t.is_complex(),
    "n": lambda t: t.dtype != torch.bool and not t.is_complex(),
    "fc": lambda t: t.is_floating_point() or t.is_complex(),
    "f32": lambda t: t.dtype == torch.float32,
    "short": lambda t: t.numel() < 8,
    "r1": lambda t: not t.is_complex() and t.ndim >= 1,
    "t1": lambda t: t.ndim >= 1,
    "t2": lambda t: t.ndim >= 2,
    "f1": lambda t: t.is_floating_point() and t.ndim >= 1,
    "positive": lambda t: t.is_floating_point() and bool((t > 0.1).all()),
    "factors": lambda t: t.is_floating_point() and _bounded_product(t),
    "unit": lambda t: t.is_floating_point() and bool((t.abs() < 0.9).all()),
}


def program(random: Random) -> Program:
    """A random program. random: hypothesis's, so that it can shrink what it drew, or any other."""
    from tests.fuzz.ops import OPS

    drawn = Draw(random)
    drawn.x64 = drawn.chance(0.1)
    drawn.specials = drawn.chance(0.05)
    drawn.base = [drawn.choose([1, 2, 2, 3, 3, 4, 5]) for _ in range(drawn.integer(1, 4))]
    if drawn.chance(0.06):
        drawn.base[drawn.integer(0, len(drawn.base) - 1)] = 0
    for _ in range(drawn.integer(1, 4)):
        _input(drawn)
    wanted = drawn.integer(3, 30) if drawn.chance(0.3) else drawn.integer(3, 12)
    for _ in range(3 * wanted):
        if len(drawn.steps) >= wanted:
            break
        family = drawn.choose(OPS)
        try:
            family(drawn)
        except Nothing:
            continue
    return _finished(drawn)


def _input(drawn: Draw) -> None:
    shape = list(drawn.base)
    change = drawn.integer(0, 9)
    if change == 0:
        shape = shape[drawn.integer(0, len(shape)) :]
    elif change == 1:
        shape = [1 if drawn.chance(0.5) else n for n in shape]
    elif change == 2:
        shape = []
    elif change == 3:
        shape.reverse()
    if drawn.x64 and drawn.chance(0.4):
        dtype = "float64"
    else:
        dtype = drawn.choose([*FLOATS, *INTEGERS[:4], "float32", "float32", "bool", "complex64"])
    kinds = ["small", "ties", "quarters", "normal", "normal", "positive"]
    if drawn.specials and dtype.startswith(("float", "bfloat")):
        kinds.append("specials")
    elif not dtype.startswith(("float16", "bfloat16", "uint8", "int8")):
        kinds.append("large")
    numbers = ["", f'"{drawn.choose(kinds)}"', f"torch.{dtype}", *map(str, shape)]
    numbers[0] = str(drawn.integer(0, 50))
    if len(shape) > 1 and drawn.chance(0.2):
        order = list(range(len(shape)))
        axis = drawn.integer(0, len(order) - 2)
        order[axis], order[axis + 1] = order[axis + 1], order[axis]
        numbers.append(f"order={tuple(order)}")
    if shape and drawn.chance(0.1):
        numbers.append("step=2")
    made = Input(
        f"v{len(drawn.env)}",
        f"random_input({', '.join(numbers)})",
        drawn.choose(["argument"] * 6 + ["buffer", "parameter" if dtype.startswith("float") else "buffer"]),
    )
    drawn.inputs.append(made)
    drawn.env[made.name] = made.make()


def _finished(drawn: Draw) -> Program:
    """The program that returns what nothing reads, and a few of its other tensors."""
    read = set().union(*(step.reads - set(step.results) for step in drawn.steps)) if drawn.steps else set()
    outputs = [name for name in drawn.env if name not in read or drawn.chance(0.1)]
    steps = len(drawn.steps)
    child = None
    if steps > 2 and drawn.chance(0.2):
        start = drawn.integer(0, steps - 2)
        child = start, drawn.integer(start + 1, steps - 1)
        inside = drawn.steps[child[0] : child[1]]
        if all(step.writes for step in inside):
            child = None
    return Program(
        tuple(drawn.inputs), tuple(drawn.steps), tuple(outputs or drawn.env), child, drawn.x64, drawn.chance(0.15)
    )


__all__ = ["Draw", "KINDS", "Nothing", "program"]
