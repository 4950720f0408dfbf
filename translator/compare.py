"""How far two results are apart, and how far they may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from op_table.dtypes import is_float, to_torch
from op_table.expr import canonical
from translator.arrays import to_array

# float32 may be this much further from float64 than torch's own float32 is.
MULTIPLE = 4.0

# And this many units in the last place of the output's scale, whatever torch's error: where torch is exact, or lucky, another
# order of the same sum is still right, and differs by a rounding or two in each of a few places.
FLOOR_ULPS = 16

# float64 must agree to this share of the output's scale.
WIDE_BOUND = 1e-9


def as_array(value: Any) -> np.ndarray:
    """A torch tensor or Python number as numpy."""
    return to_array(value) if isinstance(value, torch.Tensor) else np.asarray(value)


def ulp(dtype: np.dtype) -> float:
    """The relative spacing of a floating or complex dtype's numbers."""
    return float(torch.finfo(to_torch(dtype)).eps)


def is_inexact(dtype: np.dtype) -> bool:
    return is_float(dtype) or np.dtype(dtype).kind == "c"


def wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


@dataclass(frozen=True)
class Distance:
    """The greatest distance of an array from the truth, as a share of the truth's scale. reason says why none can be given."""

    error: float
    reason: str = ""


def distance(array: np.ndarray, truth: np.ndarray, like: np.ndarray) -> Distance:
    """How far a floating array is from truth, which is in float64.

    The scale is truth's greatest finite magnitude, 1 where it is all zeros. Values near the end of the dtype's range (masks are
    filled with its least number) would hide all others: they stand aside, each measured by its own magnitude. like is what
    torch itself gives in array's dtype: its infinities and NaNs must be array's, too, and take no part in the distance.
    """
    if array.shape != truth.shape:
        return Distance(np.inf, f"has shape {list(array.shape)} where torch has {list(truth.shape)}")
    limit = float(torch.finfo(to_torch(like.dtype)).max) / 4
    array, truth, like = wide(array), wide(truth), wide(like)
    special = ~np.isfinite(like)
    if not np.array_equal(np.where(special, like, 0), np.where(np.isfinite(array), 0, array), equal_nan=True):
        return Distance(np.inf, "has NaN or infinity in other places than torch")
    used = ~special & np.isfinite(truth)
    if not used.any():
        return Distance(0.0)
    magnitude = np.abs(np.where(used, truth, 0))
    huge = magnitude > limit
    with np.errstate(invalid="ignore"):  # infinity from infinity, where it is not used
        gap = np.abs(np.where(used, array - truth, 0))
    usual = magnitude[~huge].max(initial=0.0)
    return Distance(float((gap / np.where(huge, magnitude, usual or 1.0)).max(initial=0.0)))


def same(array: np.ndarray, expected: np.ndarray) -> str:
    """Why an integer or boolean array is not torch's; empty if it is.

    A limit of int64, which stands for what no integer is beyond, is the limit of the integers that JAX has (axes.number).
    """
    if array.shape != expected.shape:
        return f"has shape {list(array.shape)} where torch has {list(expected.shape)}"
    if expected.dtype == np.int64 and array.dtype == np.int32:
        for limit in ("min", "max"):
            at_limit = expected == getattr(np.iinfo(np.int64), limit)
            expected = np.where(at_limit, getattr(np.iinfo(np.int32), limit), expected)
    wrong = int((array != expected).sum())
    return f"differs in {wrong} of {expected.size} places" if wrong else ""


def dtype_problem(array: np.ndarray, expected: np.ndarray) -> str:
    """Why an emitted output's dtype is not torch's, as JAX holds it without x64; empty if it is."""
    wanted = canonical(expected.dtype)
    return "" if canonical(array.dtype) == wanted else f"is {array.dtype} where torch has {wanted}"
