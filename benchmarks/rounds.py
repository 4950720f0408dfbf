"""Turns: every contender runs once a round, so that whatever else the machine does slows all of them alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.contenders import Runner
from benchmarks.results import Measured
from benchmarks.spread import Spread, ratios
from benchmarks.yardstick import beside, compiling

LEAST = 0.02  # seconds that a turn takes at least, in several calls where one is shorter
MOST_CALLS = 1000


@dataclass(frozen=True)
class First:
    """A first call. seconds: it took. yardstick: took the yardstick of compilations beside it."""

    seconds: float
    yardstick: float


def first_call(runner: Runner, measure: str) -> First:
    """Make the first call, in which a contender compiles."""
    with beside(compiling) as elapsed:
        runner.seconds(measure, 1)
    return First(elapsed.seconds, elapsed.yardstick)


def measured(firsts: Mapping[Runner, First], measure: str, rounds: int, reference: str) -> dict[str, Measured]:
    """The times of contenders by name, each of which has made its first call; of none where the reference is not among them."""
    if not any(runner.name == reference for runner in firsts):
        return {}
    calls = {runner: calls_a_turn(runner, measure) for runner in firsts}
    times: dict[str, list[float]] = {runner.name: [] for runner in firsts}
    for number in range(rounds):
        for runner in rotated(list(firsts), number):
            times[runner.name].append(runner.seconds(measure, calls[runner]))
    found = {}
    for runner, first in firsts.items():
        spread = Spread.of(times[runner.name])
        compiled = max(first.seconds - spread.median, 0.0)
        ratio = ratios(times[runner.name], times[reference])
        found[runner.name] = Measured(compiled, compiled / first.yardstick, spread, ratio)
    return found


def calls_a_turn(runner: Runner, measure: str) -> int:
    """How many calls make a turn that is long enough to be timed, by the second call: torch.compile may compile in it as well."""
    runner.seconds(measure, 1)
    return min(max(math.ceil(LEAST / max(runner.seconds(measure, 1), 1e-9)), 1), MOST_CALLS)


def rotated(runners: Sequence[Runner], number: int) -> list[Runner]:
    """The order of a round: each begins in turn, so that none always follows the same one's traces in the caches."""
    start = number % len(runners)
    return [*runners[start:], *runners[:start]]
