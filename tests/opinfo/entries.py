"""The entries of torch's own operator database and their sample inputs, as tensors to trace over and all else to bake in."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import OpInfo
from torch.utils import _pytree as pytree

DTYPES = ("float32", "int64", "bool", "bfloat16", "float16", "complex64", "float64")

# The dtypes in which gradients are compared.
DIFFERENTIATED = ("float32", "complex64")


@dataclass(frozen=True)
class Call:
    """One sample: a function of some tensors, its other arguments fixed. wide: whether these ask for float64 or complex128."""

    function: Callable[..., Any]
    tensors: tuple[torch.Tensor, ...]
    wide: bool = False

    def __call__(self, *tensors: torch.Tensor) -> Any:
        return self.function(*tensors)


class Calls(torch.nn.Module):
    """Several samples of one op as one module: its arguments are the samples' tensors one after the other."""

    def __init__(self, calls: Sequence[Call]):
        super().__init__()
        self.calls = tuple(calls)

    def forward(self, *tensors: torch.Tensor) -> Any:
        results, start = [], 0
        for call in self.calls:
            count = len(call.tensors)
            results.append(call(*tensors[start : start + count]))
            start += count
        return tuple(results)

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(tensor for call in self.calls for tensor in call.tensors)


def name(op: OpInfo) -> str:
    """An entry's name with its variant: `linalg.norm.subgradients_at_zero`."""
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name


@functools.cache
def entries() -> dict[str, OpInfo]:
    """All entries by name."""
    return {name(op): op for op in op_db}


def supports(op: OpInfo, dtype: str) -> bool:
    return dtype in DTYPES and op.supports_dtype(getattr(torch, dtype), "cpu")


def differentiable(op: OpInfo, dtype: str) -> bool:
    return (
        op.supports_autograd
        and dtype in DIFFERENTIATED
        and getattr(torch, dtype) in op.supported_backward_dtypes("cpu")
    )


def samples(op: OpInfo, dtype: str, gradient: bool = False) -> list[Call]:
    """An entry's samples in a dtype, always the same ones.

    gradient: with tensors that require gradients, and outputs that do not depend on the choice of a basis or of a sign.
    """
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            call(op, sample, gradient)
            for sample in op.sample_inputs("cpu", getattr(torch, dtype), requires_grad=gradient)
        ]


def call(op: OpInfo, sample: Any, gradient: bool) -> Call:
    leaves, spec = pytree.tree_flatten(((sample.input, *sample.args), sample.kwargs))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided]
    fixed = [None if i in places else leaf for i, leaf in enumerate(leaves)]
    process = sample.output_process_fn_grad if gradient else None

    def function(*tensors: torch.Tensor) -> Any:
        given = list(fixed)
        for place, tensor in zip(places, tensors, strict=True):
            given[place] = tensor
        args, kwargs = pytree.tree_unflatten(given, spec)
        result = op.op(*args, **kwargs)
        return process(result) if process is not None else result

    wide = any(leaf in (torch.float64, torch.complex128) for leaf in fixed if isinstance(leaf, torch.dtype))
    return Call(function, tuple(leaves[i] for i in places), wide)
