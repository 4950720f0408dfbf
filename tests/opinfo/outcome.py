"""What became of one entry of the operator database in one dtype."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

# Outcomes of one sample, the worst first.
WRONG = "wrong"  # a value that is not torch's
CRASH = "crash"  # an error that is no TranslationError
REFUSED = "refused"  # a clear error: an op without an exact lowering
TORCH = "torch errs"  # a gradient that is not torch's, and by central differences of torch's function is right where torch's is not
CAPTURE = "capture"  # torch.export itself could not
OK = "ok"
ORDER = (WRONG, CRASH, REFUSED, TORCH, CAPTURE, OK)


@dataclass
class Outcome:
    """counts and gradients: how many samples came out how. reasons: the first message of each outcome. how: rule, prelude, decomposition."""

    op: str
    dtype: str
    counts: Counter[str] = field(default_factory=Counter)
    gradients: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    how: set[str] = field(default_factory=set)

    def add(self, outcome: str, reason: str = "", gradient: bool = False) -> None:
        (self.gradients if gradient else self.counts)[outcome] += 1
        if reason:
            self.reasons.setdefault(f"gradient {outcome}" if gradient else outcome, reason)

    @staticmethod
    def worst(counts: Counter[str]) -> str:
        """An entry is as good as its worst sample; empty if it has none. Samples that torch.export refuses count only if all are."""
        found = [outcome for outcome in ORDER if counts[outcome]]
        if found and found[0] == CAPTURE and OK in found:
            return OK
        return found[0] if found else ""

    @property
    def forward(self) -> str:
        return self.worst(self.counts)

    @property
    def gradient(self) -> str:
        return self.worst(self.gradients)

    @classmethod
    def of(cls, line: str) -> Outcome:
        """The outcome that a line of json holds."""
        plain = json.loads(line)
        counted = {name: Counter(plain[name]) for name in ("counts", "gradients")}
        return cls(**plain | counted | {"how": set(plain["how"])})

    def plain(self) -> dict:
        """The outcome as json can write it."""
        return vars(self) | {"how": sorted(self.how)}
