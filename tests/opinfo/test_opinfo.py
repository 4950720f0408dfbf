"""A sample of torch's operator database, the same in every run: `make opinfo` runs the whole."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch

from tests.opinfo import entries, known, modules, numeric, statistics, table
from tests.opinfo.check import check, torch_gradients
from tests.opinfo.entries import Call
from tests.opinfo.outcome import CAPTURE, OK, REFUSED, TORCH, WRONG, Outcome

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
        assert row.reason and row.outcome in (REFUSED, TORCH), row


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_differences_tell_whose_gradient_is_wrong(dtype: torch.dtype) -> None:
    x, y = (torch.randn(3, 4, dtype=dtype, generator=torch.Generator().manual_seed(i)).requires_grad_() for i in (0, 1))
    call = Call(lambda x, y: (x.sin() * y.conj()).cumsum(0), (x, y))
    seeds, right = torch_gradients(call)
    wrong = [right[0], right[1] * 1.1]
    nan = [right[0], torch.full_like(right[1], torch.nan)]
    ours = {"right": right, "wrong": wrong, "nan": nan}
    ours = {name: [np.asarray(g.resolve_conj()) for g in gradients] for name, gradients in ours.items()}
    assert numeric.only_torch_errs(call, seeds, ours["right"], wrong)
    assert numeric.only_torch_errs(call, seeds, ours["right"], nan)
    assert not numeric.only_torch_errs(call, seeds, ours["right"], right)
    for bad in ("wrong", "nan"):
        assert not numeric.only_torch_errs(call, seeds, ours[bad], right)
        assert not numeric.only_torch_errs(call, seeds, ours[bad], wrong)


def test_draws_are_held_to_the_rounding_that_torch_shows() -> None:
    def draw(off: float = 0.0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.bernoulli(torch.full((2,), 0.5, dtype=dtype)) + off

    def ours(off: float) -> statistics.Draws:
        bits = np.random.default_rng(0).integers(0, 2, (statistics.DRAWS, 2))
        return statistics.Draws((bits + off).astype(np.float32))

    assert not statistics.problem(ours(0), draw)
    assert statistics.problem(ours(0.02), draw)
    assert statistics.problem(ours(0.02), draw, lambda: draw(dtype=torch.float64))  # torch rounds nothing here
    assert not statistics.problem(ours(-0.02), lambda: draw(0.01), lambda: draw(dtype=torch.float64))
    assert statistics.problem(ours(-0.5), lambda: draw(0.01), lambda: draw(dtype=torch.float64))
