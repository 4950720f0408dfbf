"""Reductions of consecutive segments of an axis."""

from __future__ import annotations

from op_table.expr import Expr, Value, jnp, prelude
from op_table.prelude import segments as real
from op_table.registry import Unsupported, lowers


@lowers("aten.segment_reduce.default")
def segment_reduce(
    x: Value,
    reduce: str,
    *,
    lengths: Value | None = None,
    indices: Value | None = None,
    offsets: Value | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: float | None = None,
) -> Expr:
    """torch has the segments along the last axis of lengths or offsets."""
    if offsets is None:
        if lengths is None:
            raise Unsupported("segment_reduce by indices")
        offsets = jnp.cumsum(jnp.pad(lengths, [(0, 0)] * (lengths.ndim - 1) + [(1, 0)]), axis=-1)
    options = {} if initial is None else {"initial": initial}
    return prelude(real.segment_reduce)(x, offsets, reduce, **options)
