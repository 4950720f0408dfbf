"""Random ops: torch's bits cannot be had, so many draws are compared as samples of one distribution."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import jax
import numpy as np
import torch
from scipy import stats

from op_table.expr import canonical
from tests.compiling import optimised
from tests.opinfo.distance import MULTIPLE, ULPS
from translator import compare
from translator.trees import emitted_leaves, torch_leaves

DRAWS = 400

# A sound pair of generators fails one comparison in ten million; there are some ten thousand.
LEAST_P = 1e-7

# Draws that are as close as this, as a share of the result's scale, or as a few roundings, count as equal.
CLOSE = 1e-4
ROUNDINGS = 4

# So many elements of one result are compared, evenly spread: more say nothing new.
ELEMENTS = 12


@dataclass(frozen=True)
class Draws:
    """Many results of one sample, stacked along a new first axis."""

    result: Any


def is_random(translation: Any) -> bool:
    """Whether the emitted module takes a key."""
    return translation.emitted.takes_key


def draws(function: Callable[[jax.Array], Sequence[Any]]) -> list[Draws]:
    """What a function of a key that gives a result for each sample gives for many keys, sample by sample."""
    keys = jax.random.split(jax.random.key(0), DRAWS)
    with optimised():  # else a softmax of large scores is one but for a rounding, and its gradient not zero
        return [Draws(result) for result in jax.jit(jax.vmap(function))(keys)]


@contextlib.contextmanager
def unseeded() -> Iterator[None]:
    """The database's functions reset torch's generator before each call, and put it back after: not here."""
    with (
        mock.patch("torch.manual_seed", lambda seed: None),
        mock.patch("torch.testing._utils.freeze_rng_state", contextlib.nullcontext),
    ):
        yield


def always(found: Draws) -> Any:
    """The one result that all draws give; None where they differ."""
    leaves = jax.tree.leaves(found.result)
    alike = all(bool(((leaf == leaf[:1]) | (leaf != leaf)).all()) for leaf in map(np.asarray, leaves))
    return jax.tree.map(lambda leaf: leaf[0], found.result) if alike else None


def problem(found: Draws, draw: Callable[[], Any], exact: Callable[[], Any] = lambda: None) -> str:
    """Why the draws are no sample of what torch draws; empty if they are.

    draw gives one more of torch's results, exact one more of torch's in float64, or None: what torch's own rounding is
    measured by, as for ops that leave nothing to chance.
    """
    theirs = _drawn(draw)
    ours = emitted_leaves(found.result)
    if ours.keys() != theirs[0].keys():
        return f"gives {sorted(ours)} where torch gives {sorted(theirs[0])}"
    wide: list[dict[str, Any]] | None = None
    for key, array in ours.items():
        wanted = np.stack([compare.as_array(draw[key]) for draw in theirs])
        different = compare.dtype_problem(array, wanted)
        if different:
            return f"{key} {different}"
        if array.shape != wanted.shape:
            return f"{key} has shape {list(array.shape[1:])} where torch has {list(wanted.shape[1:])}"
        different = _different(array, wanted)
        if different and compare.is_inexact(wanted.dtype):
            wide = _drawn(exact) if wide is None else wide
            if key in wide[0]:
                different = _different(array, wanted, np.stack([compare.as_array(draw[key]) for draw in wide]))
        if different:
            return f"{key} {different}"
    return ""


def _drawn(draw: Callable[[], Any]) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    with unseeded():
        return [torch_leaves(draw()) for _ in range(DRAWS)]


def _different(ours: np.ndarray, theirs: np.ndarray, exact: np.ndarray | None = None) -> str:
    """Elements one by one, then their sum over a draw, which shows whether they depend on one another as torch's do."""
    unit = compare.ulp(canonical(theirs.dtype)) if compare.is_inexact(theirs.dtype) else 0.0
    close = max(CLOSE, ROUNDINGS * unit) if unit else 0
    exact = theirs if exact is None else exact
    ours, theirs, exact = (_real(a).reshape(DRAWS, -1) for a in (ours, theirs, exact))
    count = ours.shape[1]
    if not count:
        return ""
    columns = np.unique(np.linspace(0, count - 1, ELEMENTS).astype(int))
    triples = [(f"element {c}", ours[:, c], theirs[:, c], exact[:, c], 1) for c in columns]
    triples.append(("the sum", ours.sum(1), theirs.sum(1), exact.sum(1), count))  # of as many roundings
    # What is nothing beside the result's greatest has no digits of its own.
    least = ULPS * unit * np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0)
    typical = np.nan_to_num(np.median(np.abs(theirs), axis=0), posinf=0).max()
    for what, a, b, c, terms in triples:
        size = max(np.abs(b[np.isfinite(b)]).max(initial=0.0), terms * typical, 1e-30)
        p = _p_value(a, c, max(close * size, least, MULTIPLE * _rounding(b, c, close * size)))
        if p < LEAST_P:
            return f"is of another distribution: {what} has p = {p:.1e}"
    return ""


def _rounding(theirs: np.ndarray, exact: np.ndarray, width: float) -> float:
    """How far draws are moved by rounding, to a factor of two: zero if not by more than width, or by more than all they are."""
    if _p_value(theirs, exact, width) >= LEAST_P:
        return 0.0
    scale = np.abs(exact[np.isfinite(exact)]).max(initial=0.0)
    while width < scale:
        width *= 2
        if _p_value(theirs, exact, width) >= LEAST_P:
            return width
    return 0.0


def _p_value(a: np.ndarray, b: np.ndarray, close: float) -> float:
    """The two-sample Kolmogorov-Smirnov test, where values that lie close together count as equal."""
    a, b = np.sort(a), np.sort(b)  # NaN last
    if np.isnan(a).any() or np.isnan(b).any():
        return float(np.array_equal(a, b, equal_nan=True))

    def ahead(first: np.ndarray, second: np.ndarray) -> float:
        """By how much one distribution function is at most above the other, moved by what is close."""
        below = np.searchsorted(second, first + close, side="right") / len(second)
        return float((np.arange(1, len(first) + 1) / len(first) - below).max())

    distance = max(ahead(a, b), ahead(b, a), 0.0)
    return float(stats.kstwobign.sf(distance * (len(a) * len(b) / (len(a) + len(b))) ** 0.5))


def _real(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "c":
        return np.stack([array.real, array.imag], axis=-1).astype(np.float64)
    return array.astype(np.float64)
