"""Resizing: nearest, linear and cubic interpolation, by a size or by factors."""

from __future__ import annotations

from typing import Any

from op_table.dtypes import is_float
from op_table.expr import Expr, Size, jnp, prelude
from op_table.prelude import interpolation as real
from op_table.registry import Unsupported, lowers


def target_size(output_size: Any, factors: Any) -> dict[str, Any]:
    """The keyword arguments that say how large: torch keeps the factors beside a size to compute positions from them."""
    if factors is not None and any(factor is None for factor in factors):
        if any(factor is not None for factor in factors):
            raise Unsupported("interpolation by a factor along some axes only")
        factors = None
    given = {"size": output_size, "scale_factor": factors}
    return {name: tuple(value) for name, value in given.items() if value is not None}


def set_flags(**flags: bool) -> dict[str, bool]:
    return {name: True for name, flag in flags.items() if flag}


def doubling(size: tuple, target: dict[str, Any]) -> list[int] | None:
    """The power of two by which each axis grows, where all do: repeating is then exact for every rounding of positions."""
    if "scale_factor" in target:
        if "size" in target:
            return None
        factors = target["scale_factor"]
    else:
        factors = [_ratio(a, b) for a, b in zip(size, target["size"], strict=True)]
    return [int(f) for f in factors] if all(f in (1, 2, 4, 8, 16, 32) for f in factors) else None


def _ratio(size: int | Size, new_size: int | Size) -> int | None:
    return next((factor for factor in (1, 2, 4, 8, 16, 32) if size * factor == new_size), None)


def _nearest(x: Expr, target: dict[str, Any], exact: bool) -> Expr:
    repeats = doubling(x.shape[2:], target)
    if repeats is None:
        return prelude(real.upsample_nearest)(x, **target, **set_flags(exact=exact))
    for axis, count in enumerate(repeats, start=2):
        if count > 1:
            x = jnp.repeat(x, count, axis=axis)
    return x


def _weighted(function, x: Expr, target: dict[str, Any], **flags: bool) -> Expr:
    if not is_float(x.dtype):
        raise Unsupported(f"interpolation of {x.dtype}, which torch rounds in its own way")
    return prelude(function)(x, **target, **set_flags(**flags))


def register_resizing(name: str, rule, aligned: bool) -> None:
    """rule(x, target, align_corners) for both overloads of an op, which is named with its namespace."""

    def by_factors(input: Expr, output_size, *rest) -> Expr:
        align_corners, factors = (rest[0], rest[1]) if aligned else (False, rest[0])
        return rule(input, target_size(output_size, factors), align_corners)

    def by_size(x: Expr, output_size, *rest, **scales) -> Expr:
        align_corners, given = (rest[0], rest[1:]) if aligned else (False, rest)
        given = (*given, *scales.values())
        return rule(x, target_size(output_size, given or None), align_corners)

    lowers(f"{name}.vec")(by_factors)
    lowers(f"{name}.default")(by_size)


for _n, _linear in ((1, "linear1d"), (2, "bilinear2d"), (3, "trilinear3d")):
    register_resizing(f"aten.upsample_nearest{_n}d", lambda x, target, _: _nearest(x, target, False), aligned=False)
    register_resizing(
        f"aten._upsample_nearest_exact{_n}d", lambda x, target, _: _nearest(x, target, True), aligned=False
    )
    register_resizing(
        f"aten.upsample_{_linear}",
        lambda x, target, align: _weighted(real.upsample_linear, x, target, align_corners=align),
        aligned=True,
    )

register_resizing(
    "aten.upsample_bicubic2d",
    lambda x, target, align: _weighted(real.upsample_cubic, x, target, align_corners=align),
    aligned=True,
)

for _kind, _cubic in (("bilinear", False), ("bicubic", True)):
    register_resizing(
        f"aten._upsample_{_kind}2d_aa",
        lambda x, target, align, cubic=_cubic: _weighted(
            real.upsample_antialiased, x, target, align_corners=align, cubic=cubic
        ),
        aligned=True,
    )
