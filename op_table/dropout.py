"""Dropout, which in evaluation mode is nothing at all."""

from __future__ import annotations

import numpy as np

from op_table.dtypes import written
from op_table.expr import Expr, RandomKey, Value, jnp, prelude
from op_table.prelude import random as drawing
from op_table.registry import lowers


@lowers("aten.dropout.default")
def dropout(input: Expr, p: float, train: bool) -> Expr:
    return prelude(drawing.dropout)(input, p, RandomKey()) if train and p > 0 else input


@lowers("aten.feature_dropout.default")
def feature_dropout(input: Expr, p: float, train: bool) -> Expr:
    return prelude(drawing.feature_dropout)(input, p, RandomKey()) if train and p > 0 else input


@lowers("aten.alpha_dropout.default")
def alpha_dropout(input: Expr, p: float, train: bool) -> Expr:
    return prelude(drawing.alpha_dropout)(input, p, RandomKey()) if train and p > 0 else input


@lowers("aten.feature_alpha_dropout.default")
def feature_alpha_dropout(input: Expr, p: float, train: bool) -> Expr:
    return prelude(drawing.alpha_dropout)(input, p, RandomKey(), feature=True) if train and p > 0 else input


@lowers("aten.native_dropout.default")
def native_dropout(input: Value, p: float, train: bool | None) -> tuple[Expr, Expr]:
    """Both the result and the mask: elements of the input that are zero are not told from those that were dropped."""
    if train is False or p == 0:
        return input, jnp.ones_like(input, dtype=written(np.dtype(bool)))
    return prelude(drawing.dropout_with_mask)(input, p, RandomKey())
