"""How a tensor that no checkpoint carries is written in the source: as a formula, as its numbers, or read from a file beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from op_table.creation import MOST_WRITTEN
from op_table.dtypes import is_float, to_numpy, written
from op_table.expr import Attribute, Expr, Name, canonical, jnp, np_
from translator.affine import recognise
from translator.errors import TranslationError


def short_names(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """What each constant is called: by the last part of its torch name where that is unique. Equal tensors share a name.

    tensors: by torch name, in order.
    """
    first: dict[Any, str] = {}
    same = {name: first.setdefault(_content(name, tensor), name) for name, tensor in tensors.items()}
    last = Counter(name.rpartition(".")[2] for name in first.values())
    short = {name: name.rpartition(".")[2] for name in first.values()}
    return {name: short[kept] if last[short[kept]] == 1 else kept for name, kept in same.items()}


def _content(name: str, tensor: torch.Tensor) -> Any:
    if tensor.is_meta or tensor.layout is not torch.strided or tensor.is_conj() or tensor.is_quantized:
        return name
    return (
        tensor.dtype,
        tuple(tensor.shape),
        tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(),
    )


def constant(name: str, tensor: torch.Tensor) -> tuple[Expr, torch.Tensor | None]:
    """The expression of a constant, and the tensor to be stored beside the source where it is too large to be written.

    The numbers are numpy's, so that under x64 they stay the numbers that torch holds. Raises TranslationError for integers that
    JAX cannot hold without x64.
    """
    tensor = tensor.detach()
    dtype = to_numpy(tensor.dtype)
    if tensor.dtype is torch.int64 and not (tensor == tensor.to(torch.int32)).all():
        raise TranslationError(
            f"the constant {name} holds integers that do not fit in int32, and without x64 JAX has no wider type"
        )
    found = formula(tensor, dtype)
    if found is not None:
        return found, None
    if tensor.numel() > MOST_WRITTEN:
        return Name("CONSTANTS")[name], tensor
    numbers = tensor.to(torch.float32) if dtype.name == "bfloat16" else tensor
    numbers = numbers.numpy()
    if dtype.name == "bfloat16":
        return jnp.array(_plain(numbers), dtype=written(dtype)), None
    token = (
        Name("bool")
        if dtype.kind == "b"
        else Attribute(np_, dtype.name if is_float(dtype) or dtype.kind == "c" else canonical(dtype).name)
    )
    if tensor.ndim == 0 and dtype.kind != "b":
        return token(_plain(numbers)), None
    return Attribute(np_, "array")(_plain(numbers), dtype=token), None


def written_out(name: str, tensor: torch.Tensor) -> Expr:
    """The expression of an array that has to stand in the source itself.

    Raises TranslationError where it holds too many numbers.
    """
    found, stored = constant(name, tensor)
    if stored is not None:
        raise TranslationError(
            f"forward writes to {name}, which no checkpoint carries, and its first {tensor.numel()} numbers follow no rule: "
            "register it as a persistent buffer"
        )
    return found


def _plain(numbers: np.ndarray) -> Any:
    """Nested lists of Python numbers, each with the fewest digits that give it back."""
    if numbers.ndim:
        return [_plain(part) for part in numbers]
    if numbers.dtype.kind != "f":
        return numbers.item()
    return float(str(numbers)) if np.isfinite(numbers) else numbers.item()


def formula(tensor: torch.Tensor, dtype: np.dtype) -> Expr | None:
    """zeros, ones, a full array, an arange along one axis, or a triangle of ones; None for any other."""
    shape = tuple(tensor.shape)
    if tensor.numel() < 2:
        return None
    first = tensor.reshape(-1)[0]
    if bool((tensor == first).all()):
        value = first.item()
        if value in (0, 1) and not isinstance(value, complex):
            return (jnp.ones if value else jnp.zeros)(shape, dtype=written(dtype))
        return jnp.full(shape, value, dtype=written(dtype))
    affine = recognise(tensor) if tensor.dtype in (torch.int32, torch.int64) else None
    if affine is not None:
        moving = [axis for axis, step in enumerate(affine.steps) if step != 0]
        if len(moving) == 1 and all(n == 1 for axis, n in enumerate(shape) if axis != moving[0]):
            start, step, n = int(affine.base), int(affine.steps[moving[0]]), shape[moving[0]]
            bounds = (
                (n,)
                if (start, step) == (0, 1)
                else (start, start + n)
                if step == 1
                else (start, start + step * n, step)
            )
            index = tuple(slice(None) if axis == moving[0] else None for axis in range(len(shape)))
            return jnp.arange(*bounds) if len(shape) == 1 else jnp.arange(*bounds)[index]
    if tensor.ndim >= 2 and all(n == 1 for n in shape[:-2]):
        for name, triangle in (("tril", torch.tril), ("triu", torch.triu)):
            if torch.equal(tensor, triangle(torch.ones_like(tensor))):
                return Attribute(jnp, name)(jnp.ones(shape, dtype=written(dtype)))
    return None
