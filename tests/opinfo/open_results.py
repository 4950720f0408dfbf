"""Compares an op's result with torch's, and knows which results torch itself leaves open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tests.opinfo import statistics
from tests.opinfo.distance import gap
from tests.opinfo.entries import Call
from translator import compare as arrays
from translator.trees import emitted_leaves, torch_leaves

# What memory happens to hold: only shape and dtype are compared.
UNDEFINED = {
    "empty",
    "empty_like",
    "empty_permuted",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
}

# Of equal values torch may name any: an index is right if it names an element that is equal to the one torch names. Where the
# op returns the values, too, these are compared as they are.
TIES = {"argsort", "kthvalue", "median", "mode", "nanmedian", "sort", "topk"}


def _adjoint(x: np.ndarray) -> np.ndarray:
    return np.conj(np.swapaxes(x, -1, -2))


def _by_singular_values(u: np.ndarray, s: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
    """The values, the matrix that they make with the vectors, and whether these are orthonormal."""
    rank = s.shape[-1]
    product = u[..., :rank] * s[..., None, :] @ _adjoint(v[..., :rank])
    return s, product, _adjoint(u) @ u, _adjoint(v) @ v


def _by_eigenvalues(values: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, ...]:
    """The values, and for each the projection on its vector, which is of length 1."""
    columns = np.swapaxes(vectors, -1, -2)
    return values, columns[..., :, None] * np.conj(columns)[..., None, :]


# Singular vectors and eigenvectors have no sign of their own (no phase, if they are complex), and those that complete a basis
# may be any that do. Compared is what does not depend on that choice: functions of the op's results.
FREE_VECTORS: dict[str, Callable[..., tuple[np.ndarray, ...]]] = {
    "linalg.eig": _by_eigenvalues,
    "linalg.eigh": _by_eigenvalues,
    "linalg.svd": lambda u, s, vh: _by_singular_values(u, s, _adjoint(vh)),
    "pca_lowrank": _by_singular_values,
    "svd": _by_singular_values,
    "svd_lowrank": _by_singular_values,
}


def _settled(name: str, leaves: dict[str, Any]) -> tuple[np.ndarray, ...]:
    return FREE_VECTORS[name](*(arrays.as_array(leaf) for leaf in leaves.values()))


def compare(name: str, call: Call, found: Any, expected: Any, truth: Callable[[], Any]) -> str:
    """Why a result is not torch's; empty if it is. truth gives the result in float64, or None, and is asked only if need be."""
    if name in FREE_VECTORS:
        return _compare_settled(name, call, found, expected, truth)
    if isinstance(found, statistics.Draws):
        problem = statistics.problem(found, lambda: call(*(tensor.detach().clone() for tensor in call.tensors)), truth)
        same = statistics.always(found) if problem else None
        if same is None:
            return problem
        found = same  # the sample leaves nothing to chance, and its rounding can be measured
    ours, theirs = emitted_leaves(found), torch_leaves(expected)
    if ours.keys() != theirs.keys():
        return f"gives {sorted(ours)} where torch gives {sorted(theirs)}"
    wide: dict[str, Any] | None = None
    for key, wanted in theirs.items():
        array, own = ours[key], arrays.as_array(wanted)
        if name in UNDEFINED:
            problem = arrays.dtype_problem(array, own) or (
                "" if array.shape == own.shape else f"has shape {array.shape}"
            )
        elif name in TIES and own.dtype == np.int64 and array.shape == own.shape:
            problem = _other_element(call.tensors[0], array, own)
        else:
            problem = gap(array, wanted)
            if problem and arrays.is_inexact(own.dtype):
                wide = torch_leaves(truth()) if wide is None else wide
                problem = gap(array, wanted, wide.get(key))
        if problem:
            return f"{key} {problem}"
    return ""


def _compare_settled(name: str, call: Call, found: Any, expected: Any, truth: Callable[[], Any]) -> str:
    """As compare does, by what does not depend on the choice of vectors."""

    def settled(result: Any) -> tuple[torch.Tensor, ...]:
        return tuple(torch.from_numpy(np.array(part)) for part in _settled(name, torch_leaves(result)))

    def wide() -> Any:
        result = truth()
        return None if result is None else settled(result)

    if isinstance(found, statistics.Draws):
        ours: Any = statistics.Draws(_settled(name, emitted_leaves(found.result)))
    else:
        ours = _settled(name, emitted_leaves(found))
    return compare("", Call(lambda *tensors: settled(call(*tensors)), call.tensors), ours, settled(expected), wide)


def _other_element(source: torch.Tensor, ours: np.ndarray, theirs: np.ndarray) -> str:
    """Why indices name other elements of source than torch's do; empty if they name equal ones along one of its axes."""
    values = arrays.as_array(source.detach())
    if np.array_equal(ours, theirs):
        return ""
    flat = [(values.reshape(-1), ours.reshape(-1), theirs.reshape(-1), 0)]
    along = [
        (
            values,
            *((ours, theirs) if ours.ndim == values.ndim else (np.expand_dims(ours, a), np.expand_dims(theirs, a))),
            a,
        )
        for a in range(values.ndim)
    ]
    for array, mine, yours, axis in along + flat:
        try:
            named = [np.take_along_axis(array, indices, axis) for indices in (mine, yours)]
        except (IndexError, ValueError):  # not the axis that the op went along
            continue
        if np.array_equal(*named, equal_nan=array.dtype.kind in "fc"):
            return ""
    return arrays.same(ours, theirs)
