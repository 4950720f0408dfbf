"""How far an output may lie from torch's: as far as rounding alone could carry it, element by element.

The program runs several times side by side: as it stands, in float64, and a few times with the result of every step that
rounds pushed up or down by a few units in the last place. Where those runs agree, nothing may differ; where they part, a
result is right within their spread; and an integer or a bool that they do not agree on (an argmax of what differs by a
rounding) says nothing. A step that is exact on what it is given is never pushed, so ties of short numbers stay ties.
In one of the runs a zero is -0.0 where its sign says nothing: of a sum (XLA takes `x + 0` for x), of a floor division (torch's is
0, JAX's may be -0) and of a softshrink (torch's vectors have 0 where its scalars have -0).
In another, attention is computed as its formula has it: torch's fused kernel makes 0 of scores that are NaN.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.fuzz.program import APPROXIMATES, CANCELS, EXACT, NORMALIZES, SUMS, Program, Step, wide
from translator.reference import _default_dtype, widened

RUNS = 6
MANY = 48  # where ours is outside of those: few may agree by chance, on which of three ones is the least
PUSH = 4.0  # units in the last place, of a result or of the terms of a sum
NEGATIVE = 3  # the run with zeros of -0.0
FORMULA = 4  # the run without fused attention
DIVIDES = re.compile("/|div|reciprocal")
OF_EITHER_SIGN = re.compile("[+-]=? |add|sub|lerp|//|'floor'|softshrink")  # the zeros
SPREADS = 3.0  # the runs' spread is a sample, and the truth may lie beyond it


@dataclass(frozen=True)
class Band:
    """One output: torch's own value, and all runs' values as float64 or int64 (complex numbers as pairs)."""

    value: torch.Tensor
    runs: torch.Tensor

    def outside(self, ours: torch.Tensor) -> torch.Tensor:
        """The places where ours cannot be explained by rounding. ours: like value, as JAX gave it."""
        ours, value = _plain(ours), self.runs[0]
        if not self.value.dtype.is_floating_point and not self.value.dtype.is_complex:
            return (ours != value) & (self.runs == value).all(0)
        if self.value.dtype.is_complex:  # of which infinity is one number, however its parts come out
            infinite = (~value.isfinite()).any(-1, keepdim=True) & (~ours.isfinite()).any(-1, keepdim=True)
            ours = torch.where(infinite, value, ours)
        finite = self.runs.isfinite().all(0)
        special = (~self.runs.isfinite()).all(0)
        low, high = self.runs.amin(0), self.runs.amax(0)
        info = torch.finfo(self.value.dtype)
        scale = value.abs().nan_to_num(0, 0, 0)  # of the other part of a complex number, too
        scale = scale.amax(-1, keepdim=True) if self.value.dtype.is_complex else scale
        slack = SPREADS * (high - low) + 8 * info.eps * scale + info.tiny
        inside = (ours >= low - slack) & (ours <= high + slack)
        agreed = ((self.runs == value) | (self.runs.isnan() & value.isnan())).all(0)
        return finite & ~inside | special & agreed & ~((ours == value) | (ours.isnan() & value.isnan()))


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.dtype.is_complex:
        return torch.view_as_real(tensor).double()
    return tensor.double() if tensor.dtype.is_floating_point else tensor.long()


def bands(program: Program, runs: int = RUNS) -> list[Band]:
    """Run a program all ways. runs: how many are pushed. Raises what torch raises."""
    generator = torch.Generator().manual_seed(0)
    plain = {i.name: i.make() for i in program.inputs}
    in_wide = {i.name: widened(i.make()) for i in program.inputs}
    pushed = [{i.name: i.make() for i in program.inputs} for _ in range(runs)]
    with torch.no_grad():
        for step in program.steps:
            before = _terms(step, plain)
            run_step(step, plain)
            run_step(step, in_wide, in_wide=True)
            for run, env in enumerate(pushed):
                with sdpa_kernel(SDPBackend.MATH) if run == FORMULA else contextlib.nullcontext():
                    if step.rounding == NORMALIZES:
                        env |= _given_pushed(step, env, generator)
                    else:
                        run_step(step, env)
            if step.rounding != EXACT:
                for name in step.results:
                    _push(step, name, plain, in_wide, pushed, before, generator)
            if OF_EITHER_SIGN.search(step.line):
                for name in step.results:
                    _negate_zeros(pushed[NEGATIVE], name)
    # A discrete step may leave a run with another shape; none of ours do.
    return [
        Band(plain[name], torch.stack([_plain(env[name]) for env in (plain, in_wide, *pushed)]))
        for name in program.outputs
    ]


def _given_pushed(step: Step, env: dict[str, torch.Tensor], generator: Any) -> dict[str, torch.Tensor]:
    """The results of a step whose arguments are each pushed by a unit in the last place of their greatest."""
    given = dict(env)
    for name in step.reads & env.keys():
        tensor = env[name]
        if tensor.is_floating_point() and tensor.numel():
            sign = torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1
            size = tensor.abs().nan_to_num(0, 0, 0).max() * torch.finfo(tensor.dtype).eps
            given[name] = tensor + (size * sign).to(tensor.dtype)
    run_step(step, given)
    return {name: given[name] for name in step.results}


_SPACE = {"torch": torch, "F": torch.nn.functional}
_compiled: dict[str, Any] = {}


def run_step(step: Step, env: dict[str, torch.Tensor], in_wide: bool = False) -> None:
    line = wide(step.line) if in_wide else step.line
    if line not in _compiled:
        if len(_compiled) > 10000:
            _compiled.clear()
        _compiled[line] = compile(line, "<step>", "exec")
    with _default_dtype(torch.float64) if in_wide else contextlib.nullcontext():
        exec(_compiled[line], _SPACE, env)


@dataclass(frozen=True)
class _Terms:
    """What a step is given: whether all of it is short numbers, the size that its terms may have, and how coarse it is."""

    short: bool
    size: float
    eps: float = 0.0  # of the narrowest dtype


def _terms(step: Step, env: dict[str, torch.Tensor]) -> _Terms:
    if step.rounding == EXACT:
        return _Terms(True, 0.0)
    short, size, longest, eps = True, 1.0, 1, 0.0
    for name in step.reads:
        tensor = env.get(name)
        if tensor is None or tensor.numel() == 0 or not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        short = short and _is_short(tensor)
        size *= max(float(tensor.abs().nan_to_num(0, 0, 0).max()), 1.0)
        longest = max(longest, tensor.numel())
        eps = max(eps, torch.finfo(tensor.dtype).eps)
    return _Terms(short, size * longest**0.5, eps)


def _is_short(tensor: torch.Tensor) -> bool:
    """Whether sums and products of tensor's values are exact, in whatever order."""
    narrow = tensor.dtype in (torch.float16, torch.bfloat16)
    unit, limit = (0.5, 8) if narrow else (1 / 16, 256)
    parts = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    parts = parts.double()
    return bool(((parts.abs() <= limit) & (parts / unit == (parts / unit).round())).all())


def _push(step: Step, name: str, plain: dict, in_wide: dict, pushed: list[dict], terms: _Terms, generator: Any) -> None:
    value, truth = plain[name], in_wide[name]
    if not (value.is_floating_point() or value.is_complex()):
        return
    rounded = (value.to(truth.dtype) != truth) | (value.dtype == truth.dtype) & (not _is_short(value))
    ulp = torch.finfo(value.dtype).eps
    narrowed = step.writes and terms.eps > ulp  # x.copy_(y * 0.3) rounds to y's dtype, and so does 0.3 in JAX
    divides = value.is_complex() and DIVIDES.search(step.line)  # by several roundings, even of what is whole
    always = step.rounding in (APPROXIMATES, CANCELS, NORMALIZES)
    if divides or narrowed or always or step.rounding == SUMS and not terms.short:
        rounded = torch.ones_like(rounded)
    if not rounded.any():
        return
    ulp = max(ulp, terms.eps) if narrowed else ulp
    magnitude = value.abs().nan_to_num(0, 0, 0)
    if step.rounding in (SUMS, CANCELS):
        magnitude = magnitude + terms.size
    elif step.rounding in (APPROXIMATES, NORMALIZES):
        magnitude = magnitude + min(float(magnitude.max()), 1.0)
    spread = torch.zeros(())
    if step.rounding == NORMALIZES and value.is_floating_point():  # of equal numbers it makes rounding alone, or zero
        found = torch.stack([env[name].double() for env in pushed])
        spread = found.amax(0) - found.amin(0)
    for run, env in enumerate(pushed):
        # All up, all down, all that is lost in rounding to zero, and then each its own way and by as much as it likes: of a
        # remainder by what is tiny, every unit in the last place makes another.
        sign = torch.randint(0, 2, value.shape, generator=generator) * 2 - 1
        share = sign * (1 + torch.rand(value.shape, generator=generator, dtype=torch.float64)) / 2
        share = torch.full_like(share, 1 - 2 * run) if run < 2 else sign if run == 2 else share
        noise = (PUSH * ulp * magnitude.double() * share).to(magnitude.dtype)
        target = env[name]
        moved = torch.where(rounded & (target != 0) | rounded & (step.rounding != APPROXIMATES), target + noise, target)
        if run == 2:
            lost = target.abs() <= torch.maximum(noise.abs(), spread)
            moved = torch.where(rounded & lost, torch.zeros_like(target), moved)
        _put(env, name, moved)


def _negate_zeros(env: dict[str, torch.Tensor], name: str) -> None:
    if env[name].is_floating_point():
        _put(env, name, torch.where(env[name] == 0, -0.0, env[name]))


def _put(env: dict[str, torch.Tensor], name: str, moved: torch.Tensor) -> None:
    """Give the tensor of a name other values: in place, as views of it must see them, unless its elements share memory."""
    target = env[name]
    if all(s or n < 2 for s, n in zip(target.stride(), target.shape, strict=True)):
        target.copy_(moved)
    else:
        env[name] = moved
