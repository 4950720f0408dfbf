"""While torch.export traces, recurrent layers give shapes without running step by step.

torch's own tracing of an LSTM runs its steps one by one, which fixes the length of the sequence. The op stays whole in the graph,
so only the shapes of what it gives matter here, and those are known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

aten = torch.ops.aten


@contextlib.contextmanager
def analytic() -> Iterator[None]:
    """Replace the kernels that torch wrote in Python for tracing. A torch that has none is left as it is."""
    replaced: list[tuple[torch._ops.OpOverload, dict]] = []
    kernels = {aten.lstm.input: _lstm, aten.gru.input: _gru, aten.rnn_tanh.input: _gru, aten.rnn_relu.input: _gru}
    try:
        for op, kernel in kernels.items():
            own = getattr(op, "py_kernels", None)
            if own and hasattr(op, "_dispatch_cache"):
                replaced.append((op, dict(own)))
                own.update(dict.fromkeys(own, kernel))
                op._dispatch_cache.clear()
        yield
    finally:
        for op, own in replaced:
            op.py_kernels.clear()
            op.py_kernels.update(own)
            op._dispatch_cache.clear()


def _output(x: torch.Tensor, hidden: torch.Tensor, bidirectional: bool) -> torch.Tensor:
    """(time, batch, features), or (batch, time, features): as the input, with the hidden state's features."""
    return x.new_empty((*x.shape[:2], hidden.shape[2] * (2 if bidirectional else 1)))


def _lstm(x, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    return _output(x, hx[0], bidirectional), hx[0].new_empty(hx[0].shape), hx[1].new_empty(hx[1].shape)


def _gru(x, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    return _output(x, hx, bidirectional), hx.new_empty(hx.shape)
