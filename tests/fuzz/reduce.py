"""Makes a failing program small: what can go while it fails in the same way goes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from tests.fuzz.check import Verdict, check
from tests.fuzz.program import Program


def reduce(program: Program, verdict: Verdict, budget: int = 60) -> Program:
    """The smallest program found with a verdict of the same kind and sort in at most budget tries."""

    def fails(candidate: Program) -> bool:
        found = check(candidate)
        return found.failed and (found.kind, found.sort) == (verdict.kind, verdict.sort)

    tries = iter(range(budget))
    smaller = True
    while smaller:
        smaller = False
        for candidate in _candidates(program):
            if next(tries, None) is None:
                return program
            if fails(candidate):
                program, smaller = candidate, True
                break
    return program


def _candidates(program: Program) -> Iterator[Program]:
    replace: Callable[..., Program] = lambda **changes: trimmed(dataclasses.replace(program, **changes))
    if program.child is not None:
        yield replace(child=None)
    if len(program.outputs) > 1:
        for name in program.outputs:
            yield replace(outputs=(name,))
    if program.x64 and "float64" not in str(program):  # which would be another program
        yield replace(x64=False)
    if program.dynamic:
        yield replace(dynamic=False)
    count = len(program.steps)
    if program.child is not None:
        return
    width = count // 2
    while width:
        for start in range(0, count, width):
            steps = program.steps[:start] + program.steps[start + width :]
            made = {name for step in steps for name in step.results} | {i.name for i in program.inputs}
            outputs = tuple(name for name in program.outputs if name in made)
            if outputs:
                yield replace(steps=steps, outputs=outputs)
        width //= 2
    for step in program.steps:
        if not step.writes and not set(step.results) <= set(program.outputs):
            yield replace(outputs=step.results)


def trimmed(program: Program) -> Program:
    """Without the steps and inputs that nothing returned depends on (writes count as reads of what they write to)."""
    if program.child is not None:
        return program
    needed, steps = set(program.outputs), []
    for step in reversed(program.steps):
        # A write may show in any tensor: it stays if what it writes to is there at all.
        if needed & set(step.results) or step.writes:
            needed |= step.reads | set(step.results)
            steps.append(step)
    inputs = tuple(i for i in program.inputs if i.name in needed)
    return dataclasses.replace(program, steps=tuple(reversed(steps)), inputs=inputs or program.inputs[:1])
