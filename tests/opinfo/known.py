"""What is known not to come out as torch has it: known.csv, one row an entry, with the reason.

A row names an entry, the dtypes it holds for, the part (forward or gradient) and how it comes out: refused, or differing from
torch where torch errs. None is wrong. It is expected to hold strictly: an entry that does better fails the run, too, until its row is taken out.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

from tests.opinfo.outcome import CAPTURE, OK, Outcome

PATH = Path(__file__).with_name("known.csv")


@dataclass(frozen=True)
class Row:
    op: str
    dtypes: tuple[str, ...]
    part: str
    outcome: str
    reason: str


@functools.cache
def rows() -> dict[tuple[str, str, str], Row]:
    """The rows by entry, dtype and part."""
    found = {}
    with PATH.open(newline="") as file:
        for line in csv.DictReader(file):
            row = Row(line["op"], tuple(line["dtypes"].split()), line["part"], line["outcome"], line["reason"])
            for dtype in row.dtypes:
                assert (row.op, dtype, row.part) not in found, f"{row.op} has two rows for {dtype}"
                found[row.op, dtype, row.part] = row
    return found


def surprises(outcome: Outcome, whole: bool = True) -> list[str]:
    """How an outcome differs from what is known, for the worse or for the better; empty if it does not.

    whole: whether all samples were run: of a few, those that fail may be missing.
    """
    found = []
    for part, how in (("forward", outcome.forward), ("gradient", outcome.gradient)):
        row = rows().get((outcome.op, outcome.dtype, part))
        prefix = "gradient " if part == "gradient" else ""
        if row is None and how not in (OK, CAPTURE, ""):
            found.append(f"{part} is {how}: {outcome.reasons.get(prefix + how, '')}")
        elif row is not None and how != row.outcome and (whole or how not in (OK, "")):
            found.append(f"{part} is {how or 'not run'}, and known.csv has it {row.outcome}")
    return found
