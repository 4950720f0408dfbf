"""Histograms."""

from __future__ import annotations

from typing import Any

from op_table.axes import given
from op_table.expr import Expr, prelude
from op_table.prelude import histogram as real
from op_table.registry import lowers


@lowers("aten.histc.default")
def histc(x: Expr, bins: int = 100, min: Any = 0, max: Any = 0) -> Expr:
    return prelude(real.histc)(x, bins, *(() if min == max else (min, max)))


def _edges(x: Expr, bins: list, range: list | None) -> Expr:
    return prelude(real.even_edges)(x, bins, *([] if range is None else [range]))


@lowers("aten.histogram.bin_ct")
def histogram(
    x: Expr, bins: int = 100, *, range: list | None = None, weight: Expr | None = None, density: bool = False
) -> Expr:
    return histogram_of_bins(x, _edges(x.ravel(), [bins], range)[0], weight=weight, density=density)


@lowers("aten.histogram.bins_tensor")
def histogram_of_bins(x: Expr, bins: Expr, *, weight: Expr | None = None, density: bool = False) -> Expr:
    return prelude(real.histogram)(x, bins, **given(weights=weight, density=density))


@lowers("aten._histogramdd_bin_edges.default")
def bin_edges(
    x: Expr, bins: list, *, range: list | None = None, weight: Expr | None = None, density: bool = False
) -> Expr:
    return _edges(x, bins, range)


@lowers("aten._histogramdd_from_bin_cts.default")
def histogramdd(
    x: Expr, bins: list, *, range: list | None = None, weight: Expr | None = None, density: bool = False
) -> Expr:
    return histogramdd_of_bins(x, _edges(x, bins, range), weight=weight, density=density)


@lowers("aten._histogramdd_from_bin_tensors.default")
def histogramdd_of_bins(x: Expr, bins: Any, *, weight: Expr | None = None, density: bool = False) -> Expr:
    return prelude(real.histogramdd)(x, bins, **given(weights=weight, density=density))
