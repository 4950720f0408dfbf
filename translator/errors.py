"""What the translator raises. Every error says what a user can do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class TranslationError(Exception):
    """Base of all errors that translating, binding or verifying raises on purpose."""


class CaptureError(TranslationError):
    """torch.export could not capture the module; the message says what in the module stands in its way."""


@dataclass(frozen=True)
class Problem:
    """One node that cannot be lowered: its op, the module path it ran in, the line of the user's source, and the reason."""

    op: str
    module: str
    source: str
    reason: str


class UnsupportedOps(TranslationError):
    """Some ops have no exact lowering. Lists every one of them, with its count, module paths and source lines."""

    def __init__(self, problems: Sequence[Problem]):
        self.problems = tuple(problems)
        super().__init__(self._message())

    def _message(self) -> str:
        groups: dict[tuple[str, str], list[Problem]] = {}
        for problem in self.problems:
            groups.setdefault((problem.op, problem.reason), []).append(problem)
        lines = [f"{len(self.problems)} node(s) cannot be translated:"]
        for (op, reason), found in groups.items():
            lines.append(f"\n  {op}  x{len(found)}: {reason}")
            shown = list(dict.fromkeys((p.module, p.source) for p in found))
            lines += [f"    in {module or 'the root module'}: {source}" for module, source in shown[:5]]
            if len(shown) > 5:
                lines.append(f"    and in {len(shown) - 5} more places")
        lines.append(
            "\nAdd a rule for each: @op_table.lowers(OP) on a function that builds the JAX expression (README, 'Adding a rule')."
        )
        return "\n".join(lines)


class BindingError(TranslationError):
    """The tensors do not fill the module exactly. Lists all that is missing, unexpected, or of the wrong shape or dtype."""

    def __init__(self, problems: Sequence[str]):
        self.problems = tuple(problems)
        super().__init__("the tensors do not fill the module:\n" + "\n".join(f"  {problem}" for problem in problems))


class Undecided(Exception):
    """An in-place op of a graph cannot be rewritten for certain, so that torch's own functionalisation has to."""
