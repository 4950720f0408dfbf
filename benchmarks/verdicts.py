"""What got worse between two runs, beyond the noise of either."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.results import EMITTED, TORCH, Measured, Model, Results, Translating
from benchmarks.spread import Spread

WORSE, BETTER, SAME = "worse", "better", "same"

# By how much a quantity may change without being worse, whatever its spread. For ratios of what was timed in turns, which
# other work on the machine does not always slow alike: the same code gave ratios a quarter apart, with such work and without.
TURNS = 0.25
SEVERAL = 0.25  # a ratio to a yardstick, of what was done a few times
ONCE = 0.5  # the same of what was done once, and has no spread
SPARE_TIME = 0.5  # yardsticks, or readings: some hundredths of a second
COUNTS = 0.01  # of lines and nodes
SPARE_COUNTS = 2
MEMORY = 0.15
SPARE_MEMORY = 20.0  # MB
ERRORS = 1.0  # twice the error: another order of the same sums
SPARE_ERROR = 2e-6  # of an output's scale, 16 units in the last place of float32


@dataclass(frozen=True)
class Finding:
    """One quantity in two runs, as it is printed. change: new by old, less 1; None where there is no number."""

    model: str
    quantity: str
    old: str
    new: str
    change: float | None
    verdict: str
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """All that two runs have in common, and notes on what they do not."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def worse(self) -> tuple[Finding, ...]:
        """What got worse."""
        return tuple(finding for finding in self.findings if finding.verdict == WORSE)

    @property
    def ok(self) -> bool:
        """Whether nothing did."""
        return not self.worse


def compare(old: Results, new: Results, noise: float = TURNS) -> Comparison:
    """Everything that both runs measured. Times count only where both are from the same machine.

    noise: the share by which ratios of what was timed in turns may change, whatever their spread.
    """
    notes = list(_different(old, new))
    timed = (old.machine, old.threads) == (new.machine, new.threads)
    if not timed:
        notes.append("times are not compared: the machines differ")
    findings: list[Finding] = []
    for before in old.models:
        after = new.model(before.name)
        if after is None:
            notes.append(f"{before.name} was not run")
            continue
        if before.sizes and after.sizes and before.sizes.parameters != after.sizes.parameters:
            notes.append(f"{before.name} is another model: {after.sizes.parameters} parameters")
            continue
        findings += _model(before, after)
        findings += _times(before, after, noise) if timed else ()
    notes += [f"{model.name} is new" for model in new.models if old.model(model.name) is None]
    return Comparison(tuple(findings), tuple(notes))


def _different(old: Results, new: Results) -> Iterator[str]:
    if old.machine != new.machine:
        yield f"machine: {old.machine} was {new.machine}"
    if old.threads != new.threads:
        yield f"threads: {old.threads}, now {new.threads}"
    for package in sorted(old.versions.keys() | new.versions.keys()):
        before, after = old.versions.get(package, "none"), new.versions.get(package, "none")
        if before != after:
            yield f"{package}: {before}, now {after}"


def _model(old: Model, new: Model) -> Iterator[Finding]:
    """The findings on one model."""
    if old.failure or new.failure:
        verdict = SAME if old.failure and new.failure else WORSE if new.failure else BETTER
        yield Finding(new.name, "failure", old.failure or "none", new.failure or "none", None, verdict)
    if old.sizes and new.sizes:
        for count, share, spare in (
            ("lines", COUNTS, SPARE_COUNTS),
            ("classes", 0, 0),
            ("nodes", COUNTS, SPARE_COUNTS),
        ):
            pair = getattr(old.sizes, count), getattr(new.sizes, count)
            yield _number(new.name, count, *pair, share, spare, "{:.0f}")
    for name, before, after in (
        ("memory of translating, MB", old.memory, new.memory),
        ("memory of binding, MB", old.binding and old.binding.memory, new.binding and new.binding.memory),
    ):
        if before and after:
            yield _number(new.name, name, before.growth, after.growth, MEMORY, SPARE_MEMORY, "{:.0f}")
    ours, theirs = old.contender(EMITTED), new.contender(EMITTED)
    if ours and theirs and ours.error is not None and theirs.error is not None:
        yield _number(new.name, "error", ours.error, theirs.error, ERRORS, SPARE_ERROR, "{:.1e}")


def _times(old: Model, new: Model, noise: float) -> Iterator[Finding]:
    """The findings on the times of one model, all of them ratios."""
    if old.translating and new.translating:
        before, after = old.translating, new.translating
        limits = SEVERAL, SPARE_TIME
        yield _spread(new.name, "torch.export, of a yardstick", before.export_ratio, after.export_ratio, *limits)
        slower = _slowest(before, after)
        yield _spread(new.name, "translating, of a yardstick", before.own_ratio, after.own_ratio, *limits, slower)
    if old.binding and new.binding:
        yield _spread(new.name, "binding, of reading", old.binding.ratio, new.binding.ratio, SEVERAL, SPARE_TIME)
    ours, theirs = old.contender(EMITTED), new.contender(EMITTED)
    for measure in ("forward", "step"):
        before, after = getattr(ours, measure, None), getattr(theirs, measure, None)
        if isinstance(before, Measured) and isinstance(after, Measured):
            yield _spread(new.name, f"{measure}, of {TORCH}'s", before.ratio, after.ratio, noise)
            name = f"compiling the {measure}, of a yardstick"
            yield _number(new.name, name, before.compiling_ratio, after.compiling_ratio, ONCE, 1.0, "{:.1f}")
        elif isinstance(before, Measured) and not new.failure:
            yield Finding(new.name, measure, "measured", "missing", None, WORSE, theirs.problem if theirs else "")


def _slowest(old: Translating, new: Translating) -> str:
    """The stage that got slower by most, in yardsticks."""
    growth = {
        stage: spread.median / new.yardstick.median - old.stages[stage].median / old.yardstick.median
        for stage, spread in new.stages.items()
        if stage in old.stages
    }
    return f"most of it in the stage {max(growth, key=growth.__getitem__)}" if growth else ""


def _number(name: str, quantity: str, old: float, new: float, share: float, spare: float, form: str) -> Finding:
    """The finding on two numbers, of which the greater is worse if it is so by more than a share and a spare amount."""
    change = new / old - 1 if old else math.inf if new else 0.0
    verdict = WORSE if new > old * (1 + share) + spare else BETTER if old > new * (1 + share) + spare else SAME
    return Finding(name, quantity, form.format(old), form.format(new), change, verdict)


def _spread(
    name: str, quantity: str, old: Spread, new: Spread, share: float, spare: float = 0.0, note: str = ""
) -> Finding:
    """The finding on two spreads, of which the greater is worse if it is so by more than their noise, a share and a spare amount."""
    change = new.median / old.median - 1
    verdict = WORSE if _above(new, old, share, spare) else BETTER if _above(old, new, share, spare) else SAME
    return Finding(name, quantity, shown(old), shown(new), change, verdict, note if verdict == WORSE else "")


def _above(one: Spread, other: Spread, share: float, spare: float) -> bool:
    """Whether one's quartiles lie above the other's, and the medians are further apart than the quartiles of the two are wide.

    Quartiles alone do not tell: what else the machine did is not the same in the two runs.
    """
    noise = (one.high - one.low) + (other.high - other.low)
    apart = one.median - other.median
    return one.low > other.high and apart > max(noise, share * other.median + spare)


def shown(spread: Spread) -> str:
    """A spread as it is printed: its median, and its quartiles."""
    return f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f})"
