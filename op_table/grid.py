"""Grids of places, and sampling an image at them."""

from __future__ import annotations

from op_table.expr import Expr, prelude
from op_table.prelude import grid as real
from op_table.registry import lowers

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")


@lowers("aten.grid_sampler.default", "aten.grid_sampler_2d.default", "aten.grid_sampler_3d.default")
def grid_sampler(input: Expr, grid: Expr, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Expr:
    options = {"mode": MODES[interpolation_mode], "padding": PADDINGS[padding_mode], "align_corners": align_corners}
    default = {"mode": "bilinear", "padding": "zeros", "align_corners": False}
    return prelude(real.grid_sample)(input, grid, **{k: v for k, v in options.items() if v != default[k]})


@lowers("aten.affine_grid_generator.default")
def affine_grid_generator(theta: Expr, size: list, align_corners: bool) -> Expr:
    return prelude(real.affine_grid)(theta, tuple(size), **({"align_corners": True} if align_corners else {}))
