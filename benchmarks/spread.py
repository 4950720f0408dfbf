"""Quartiles of a sample of measurements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """The quartiles of count measurements, in the unit of the measurements."""

    low: float
    median: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of at least one value."""
        sample = np.array(list(values), float)
        low, median, high = map(float, np.quantile(sample, (0.25, 0.5, 0.75)))
        return cls(low, median, high, len(sample))


def ratios(values: Iterable[float], of: Iterable[float]) -> Spread:
    """The spread of each value's ratio to what was measured beside it in the same round."""
    return Spread.of(value / other for value, other in zip(values, of, strict=True))
