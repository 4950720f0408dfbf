"""Look-ups in tables of embeddings."""

from __future__ import annotations

from op_table.dtypes import INT
from op_table.expr import Expr, jnp, prelude
from op_table.prelude import embedding as real
from op_table.registry import lowers

MODES = ("sum", "mean", "max")


@lowers("aten.embedding.default")
def embedding(weight: Expr, indices: Expr, padding_idx=-1, scale_grad_by_freq=False, sparse=False) -> Expr:
    """padding_idx and scale_grad_by_freq are about gradients alone."""
    return weight[indices]


@lowers("aten.embedding_renorm.default")
def embedding_renorm(weight: Expr, indices: Expr, max_norm: float, norm_type: float) -> Expr:
    return prelude(real.embedding_renorm)(weight, indices, max_norm, norm_type)


@lowers("aten.embedding_bag.padding_idx", "aten.embedding_bag.default")
def embedding_bag(
    weight: Expr,
    indices: Expr,
    offsets: Expr,
    scale_grad_by_freq=False,
    mode=0,
    sparse=False,
    per_sample_weights=None,
    include_last_offset=False,
    padding_idx=None,
) -> tuple:
    """The bags, and what torch keeps for its backward pass: the bag of each index, the bags' sizes, where maxima were."""
    bagging: dict = {"include_last_offset": True} if include_last_offset else {}
    if padding_idx is not None:
        bagging["padding_idx"] = padding_idx if padding_idx >= 0 else padding_idx + weight.shape[0]
    weights = {} if per_sample_weights is None else {"per_sample_weights": per_sample_weights}
    bags = prelude(real.embedding_bag)(weight, indices, offsets, mode=MODES[mode], **weights, **bagging)

    count, offset_count = indices.shape[0], offsets.shape[0]
    bag_count = offset_count - 1 if include_last_offset else offset_count
    bag_of_index = prelude(real.bag_of_index)(offsets, count, bag_count)
    if MODES[mode] == "sum":
        fast = weight.dtype.name in ("float32", "float16") and "padding_idx" not in bagging
        bag_of_index = jnp.zeros(0, INT) if fast else bag_of_index
        return bags, bag_of_index, jnp.zeros(offset_count, INT), jnp.zeros(bag_count, INT)
    sizes = prelude(real.embedding_bag_sizes)(indices, offsets, **bagging)
    best = prelude(real.embedding_bag_argmax)(weight, indices, offsets, **bagging) if MODES[mode] == "max" else sizes
    return bags, bag_of_index, jnp.append(sizes, 0) if include_last_offset else sizes, best
