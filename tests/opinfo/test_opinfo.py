"""A sample of torch's operator database, the same in every run: `make opinfo` runs the whole."""

from __future__ import annotations

import zlib

import pytest

from tests.opinfo import entries, known, modules, table
from tests.opinfo.check import check
from tests.opinfo.outcome import CAPTURE, OK, WRONG, Outcome

# One entry in so many is run in each dtype, with a few of its samples.
EVERY = {"float32": 12, "float64": 60}
ELSE = 36
SAMPLES = 3


def chosen(dtype: str) -> list[str]:
    """Entries spread by name, so that an entry that torch adds moves no other in or out."""
    return [
        name
        for name, op in entries.entries().items()
        if entries.supports(op, dtype) and zlib.crc32(f"{name} {dtype}".encode()) % EVERY.get(dtype, ELSE) == 0
    ]


@pytest.mark.parametrize("dtype", entries.DTYPES)
@pytest.mark.parametrize("part", range(2))
def test_entries(dtype: str, part: int) -> None:
    names = chosen(dtype)[part::2]
    problems = []
    for name in names:
        op = entries.entries()[name]
        outcome = check(op, dtype, most=SAMPLES)
        problems += [f"{name}: {surprise}" for surprise in known.surprises(outcome, whole=False)]
    assert names and not problems, "\n".join(problems)


def test_known_rows_name_entries_and_dtypes() -> None:
    for (name, dtype, part), row in known.rows().items():
        known_names = modules.entries() if dtype in modules.MODES else entries.entries()
        assert name in known_names and dtype in (*entries.DTYPES, *modules.MODES), row
        assert part in ("forward", "gradient"), row
        assert row.reason and row.outcome != OK, row


def test_a_wrong_value_is_seen() -> None:
    outcome = Outcome("add", "float32")
    outcome.add(OK)
    assert not known.surprises(outcome)
    outcome.add(WRONG, "off by 1.0")
    assert known.surprises(outcome) == ["forward is wrong: off by 1.0"]


def test_what_passes_must_leave_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    row = known.Row("add", ("float32",), "forward", "refused", "for the test")
    monkeypatch.setattr(known, "rows", lambda: {("add", "float32", "forward"): row})
    outcome = Outcome("add", "float32")
    outcome.add(OK)
    assert "known.csv has it refused" in known.surprises(outcome)[0]


def test_shares_leave_out_what_torch_cannot_capture() -> None:
    outcomes = []
    for how in (OK, OK, CAPTURE, WRONG):
        outcomes.append(Outcome("op", "float32"))
        outcomes[-1].add(how)
    assert table.share(outcomes, "float32") == (2, 3)
