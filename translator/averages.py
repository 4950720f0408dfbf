"""While torch.export traces, batch norm without a momentum stays one program: torch reads its counter as a Python number there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch.nn.modules.batchnorm import _BatchNorm


@contextlib.contextmanager
def traceable() -> Iterator[None]:
    """Patch batch norms whose running statistics are the plain average of all batches: the counter is a tensor throughout."""
    original = _BatchNorm.forward

    def forward(self: _BatchNorm, input: torch.Tensor) -> torch.Tensor:
        averages = self.momentum is None and self.num_batches_tracked is not None
        if not (averages and self.training and self.track_running_stats):
            return original(self, input)
        self._check_input_dim(input)
        self.num_batches_tracked.add_(1)
        share = 1.0 / self.num_batches_tracked
        with torch.no_grad():
            wide = input.to(self.running_mean.dtype)
            over = [0, *range(2, input.ndim)]
            self.running_mean.lerp_(wide.mean(over), share)
            self.running_var.lerp_(wide.var(over), share)
        return torch.nn.functional.batch_norm(input, None, None, self.weight, self.bias, True, 0.0, self.eps)

    _BatchNorm.forward = forward
    try:
        yield
    finally:
        _BatchNorm.forward = original
