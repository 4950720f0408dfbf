"""Connectionist temporal classification loss."""

from __future__ import annotations

from typing import Any

from op_table.dtypes import is_array
from op_table.expr import Expr, Value, jnp, prelude
from op_table.prelude import ctc
from op_table.registry import Unsupported, lowers


@lowers("aten.ctc_loss.IntList", "aten.ctc_loss.Tensor")
def ctc_loss(
    log_probs: Value,
    targets: Value,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: int = 1,
    zero_infinity: bool = False,
) -> Expr:
    if 0 in (*log_probs.hint, *targets.hint):
        raise Unsupported("ctc_loss of an empty tensor")
    batched = log_probs.ndim == 3
    longest = targets.shape[-1]
    if targets.ndim == 1 and batched and not is_array(target_lengths):
        longest = max(target_lengths)
    lengths = [_lengths(n, batched) for n in (input_lengths, target_lengths)]
    if targets.ndim == 1 and batched:
        targets = prelude(ctc.split_targets)(targets, lengths[1], longest)
    elif not batched:
        log_probs, targets = log_probs[:, None], (targets if targets.ndim == 2 else targets[None])
    loss = prelude(ctc.ctc_loss)(log_probs, targets, *lengths, *([blank] if blank else []))
    if zero_infinity:
        loss = jnp.where(jnp.isinf(loss), 0, loss)
    if reduction == 1:
        return jnp.mean(loss / jnp.maximum(lengths[1], 1))
    if reduction == 2:
        return jnp.sum(loss)
    return loss if batched else loss[0]


def _lengths(given: Any, batched: bool) -> Expr:
    """Lengths as an array with one for each item of the batch."""
    if not is_array(given):
        return jnp.asarray(list(given))
    return given if given.ndim else given[None]
