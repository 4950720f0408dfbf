"""What one process of the whole run does."""

from __future__ import annotations

import warnings

import jax
import torch

from tests.compiling import quickly
from tests.opinfo import entries, modules
from tests.opinfo.check import check
from tests.opinfo.outcome import CRASH, Outcome


def run(task: tuple[str, str, int | None]) -> Outcome:
    """One entry in one dtype, with at most so many samples; an error of the runner itself is an outcome, too."""
    name, dtype, most = task
    warnings.simplefilter("ignore")
    quickly()
    torch.set_num_threads(1)
    try:
        if dtype in modules.MODES:
            return modules.outcome(modules.entries()[name], dtype == "training", most)
        return check(entries.entries()[name], dtype, most)
    except Exception as error:
        outcome = Outcome(name, dtype)
        outcome.add(CRASH, f"{type(error).__name__}: {error}"[:300])
        return outcome
    finally:
        jax.clear_caches()
