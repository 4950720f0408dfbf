"""Every entry of torch's database of nn modules, in evaluation and in training mode, with a few of its calls."""

from __future__ import annotations

import pytest

from tests.opinfo import known, modules

# In training mode an entry has the same calls once more.
CALLS = {False: 2, True: 1}


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("part", range(4))
def test_modules(part: int, training: bool) -> None:
    names = sorted(modules.entries())[part::4]
    problems = []
    for name in names:
        outcome = modules.outcome(modules.entries()[name], training, most=CALLS[training])
        problems += [f"{name}: {surprise}" for surprise in known.surprises(outcome, whole=False)]
    assert names and not problems, "\n".join(problems)
