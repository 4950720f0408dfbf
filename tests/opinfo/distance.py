"""Whether an array is what a tensor holds, but for rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from op_table.expr import canonical
from translator import compare

# A result may be off by this many units in the last place of its scale, and by this multiple of torch's own error where that
# is known: another order of the same sum, or another polynomial for the same function.
ULPS = 32
MULTIPLE = 8

# Of what torch itself rounds in float64 nothing is known: there is no wider type to compute it in.
FLOAT64_ULPS = 256


def gap(found: Any, expected: Any, truth: Any = None) -> str:
    """Why an array is not a tensor's value, within the rounding that the tensor itself shows; empty if it is.

    truth: the same value computed in float64, or None.
    """
    own, array = compare.as_array(expected), np.asarray(found)
    problem = compare.dtype_problem(array, own)
    if problem:
        return problem
    if not compare.is_inexact(own.dtype):
        return compare.same(array, own)
    distance = compare.distance(array, compare.wide(own), own)
    ulps = FLOAT64_ULPS if canonical(own.dtype).itemsize // (2 if own.dtype.kind == "c" else 1) == 8 else ULPS
    bound = ulps * compare.ulp(canonical(own.dtype))  # float64 is JAX's float32 without x64
    if not distance.reason and distance.error <= bound:
        return ""
    if isinstance(truth, torch.Tensor) and truth.shape == own.shape:
        better = compare.wide(compare.as_array(truth))
        from_truth = compare.distance(array, better, own)
        rounding = compare.distance(own, better, own)
        if not from_truth.reason and from_truth.error <= MULTIPLE * rounding.error + bound:
            return ""
    return distance.reason or f"off by {distance.error:.1e} of its scale"
