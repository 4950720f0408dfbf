"""Gradients by central differences of torch's own forward: the judge where torch's gradient may not be its function's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from tests.opinfo.entries import Call
from translator import compare
from translator.reference import widened
from translator.trees import torch_leaves

# A step of this share of an element: in float64 the quotient is good to some nine digits.
STEP = 1e-6

# So far, as a share of the gradient's scale, float32 may be from the quotient; and so far off is a gradient that is no rounding.
CLOSE = 1e-4
FAR = 1e-2

# So many elements of a tensor are moved at most, evenly spread: each takes two or four calls.
ELEMENTS = 256


def only_torch_errs(call: Call, seeds: Sequence[Any], found: Sequence[Any], expected: Sequence[Any]) -> bool:
    """Whether gradients are those of torch's function, and torch's own are not.

    seeds: the cotangent of each output, None for those without. found, expected: the emitted module's and torch's
    gradient of each tensor, None where none is wanted.
    """
    errs = False
    for place, theirs in enumerate(expected):
        if theirs is None:
            continue
        places = _spread(theirs.numel())
        slopes = _slopes(call, seeds, place, places)
        scale = max(np.abs(slopes).max(initial=0.0), 1e-30)
        ours = np.asarray(found[place]).reshape(-1)[places]
        own = compare.wide(compare.as_array(theirs)).reshape(-1)[places]
        if not (np.abs(ours - slopes) <= CLOSE * scale).all():  # nor where something is NaN
            return False
        errs |= not (np.abs(own - slopes) <= FAR * scale).all()
    return errs


def _spread(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, ELEMENTS)).astype(int)) if count else np.arange(0)


def _slopes(call: Call, seeds: Sequence[Any], place: int, elements: np.ndarray) -> np.ndarray:
    """The gradient of some elements of one tensor, of the real part of the outputs' product with their cotangents.

    Of a complex element a + ib it is d/da + i d/db, as torch's are.
    """
    tensors = [widened(tensor.detach().clone()) for tensor in call.tensors]
    own = tensors[place].contiguous()

    def total(moved: torch.Tensor) -> float:
        given = [moved if i == place else tensor.clone() for i, tensor in enumerate(tensors)]
        with torch.no_grad():
            outputs = torch_leaves(call(*given)).values()
        pairs = [(out, seed) for out, seed in zip(outputs, seeds, strict=True) if seed is not None]
        return sum(float((out * seed.to(out.dtype).conj()).real.sum()) for out, seed in pairs)

    found = np.zeros(len(elements), complex if own.is_complex() else float)
    for i, element in enumerate(elements):
        step = STEP * max(1.0, float(own.reshape(-1)[element].abs()))
        for unit in (1, 1j) if own.is_complex() else (1,):
            ends = []
            for sign in (1, -1):
                moved = own.clone()
                moved.view(-1)[element] += sign * step * unit
                ends.append(total(moved))
            found[i] += unit * (ends[0] - ends[1]) / (2 * step)
    return found
