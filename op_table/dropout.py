"""Dropout, which in evaluation mode is nothing at all."""

from __future__ import annotations

from op_table.expr import Expr, jnp
from op_table.registry import Unsupported, lowers


@lowers("aten.dropout.default", "aten.feature_dropout.default")
@lowers("aten.alpha_dropout.default", "aten.feature_alpha_dropout.default")
def dropout(input: Expr, p: float, train: bool) -> Expr:
    if train and p > 0:
        raise Unsupported(f"dropout in training mode (p={p}): only evaluation is translated")
    return input


@lowers("aten.native_dropout.default")
def native_dropout(input: Expr, p: float, train: bool | None) -> tuple[Expr, Expr]:
    return dropout(input, p, train is not False), jnp.ones_like(input, dtype=bool)
