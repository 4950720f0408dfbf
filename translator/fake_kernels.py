"""Shapes that torch.export needs and torch does not know, or has wrong: kernels that stand in while it traces."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch._C import DispatchKey
from torch._subclasses import fake_impls

aten = torch.ops.aten


def _ctc_loss(mode: Any, op: Any, log_probs: torch.Tensor, targets: torch.Tensor, *rest: Any, **named: Any) -> tuple:
    """The loss of each item. The second output is for torch's own gradient alone, and its true length depends on values."""
    time, *batch, _ = log_probs.shape
    with mode:
        return log_probs.new_empty(batch), log_probs.new_empty((*batch, time, 2 * targets.shape[-1] + 1))


def _multilabel_margin_loss(input: torch.Tensor, target: torch.Tensor, reduction: int) -> tuple:
    """The loss of each example; torch's decomposition gives that of a single one an axis."""
    loss, is_target = _DECOMPOSED(input, target, reduction)
    return (loss.reshape(()) if input.ndim == 1 else loss), is_target


_KERNELS = {aten._ctc_loss.default: _ctc_loss, aten._ctc_loss.Tensor: _ctc_loss}
_LOSS = aten.multilabel_margin_loss_forward.default
_DECOMPOSED = _LOSS.py_kernels[DispatchKey.Autograd]


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Give torch's fake tensors the kernels, and take them back afterwards."""
    table = fake_impls.op_implementations_dict
    before = {op: table[op] for op in _KERNELS if op in table}
    table.update(_KERNELS)
    _LOSS.py_kernels[DispatchKey.Autograd] = _multilabel_margin_loss
    _LOSS._dispatch_cache.clear()
    try:
        yield
    finally:
        for op in _KERNELS:
            del table[op]
        table.update(before)
        _LOSS.py_kernels[DispatchKey.Autograd] = _DECOMPOSED
        _LOSS._dispatch_cache.clear()
