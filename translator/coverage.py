"""What of a captured module the op table covers, before anything is emitted."""

from __future__ import annotations

from dataclasses import dataclass

from translator import hierarchy, modules, simplify
from translator.body import Bodies
from translator.captured import Captured
from translator.errors import Problem, UnsupportedOps
from translator.lower import Sizes


@dataclass(frozen=True)
class Usage:
    """One op of a graph: how many nodes it has, and those of them that cannot be lowered."""

    op: str
    count: int
    problems: tuple[Problem, ...]


def explain(captured: Captured) -> list[Usage]:
    """Every op of the simplified graph, those with problems first, then by name."""
    root = hierarchy.build(simplify.simplify(captured).graph, captured.class_name)
    bodies = Bodies(captured, modules.Module(""), Sizes({**captured.hints, **captured.value_lengths}))
    problems: tuple[Problem, ...] = ()
    try:
        bodies.lower_all(root)
    except UnsupportedOps as error:
        problems = error.problems
    usages = [Usage(op, n, tuple(p for p in problems if p.op == op)) for op, n in bodies.ops.items()]
    return sorted(usages, key=lambda usage: (not usage.problems, usage.op))
