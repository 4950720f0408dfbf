"""Shapes that torch.export needs and torch does not know: fake kernels that stand in while it traces."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch._subclasses import fake_impls

aten = torch.ops.aten


def _ctc_loss(mode: Any, op: Any, log_probs: torch.Tensor, targets: torch.Tensor, *rest: Any, **named: Any) -> tuple:
    """The loss of each item. The second output is for torch's own gradient alone, and its true length depends on values."""
    time, *batch, _ = log_probs.shape
    with mode:
        return log_probs.new_empty(batch), log_probs.new_empty((*batch, time, 2 * targets.shape[-1] + 1))


_KERNELS = {aten._ctc_loss.default: _ctc_loss, aten._ctc_loss.Tensor: _ctc_loss}


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Give torch's fake tensors the kernels, and take them back afterwards."""
    table = fake_impls.op_implementations_dict
    before = {op: table[op] for op in _KERNELS if op in table}
    table.update(_KERNELS)
    try:
        yield
    finally:
        for op in _KERNELS:
            del table[op]
        table.update(before)
