"""Losses. Each is reduced to its mean or sum, or not at all, as the op's `reduction` says."""

from __future__ import annotations

from typing import Any

from op_table.dtypes import inexact, is_float, promoted, written
from op_table.expr import Expr, jax, jnp, prelude
from op_table.prelude import distance
from op_table.prelude import loss as real
from op_table.registry import Unsupported, lowers

REDUCTIONS = ("none", "mean", "sum")


def _reduced(loss: Expr, reduction: int) -> Expr:
    return (loss, jnp.mean(loss), jnp.sum(loss))[reduction] if reduction else loss


def _given(**options: tuple[Any, Any]) -> dict[str, Any]:
    """Keyword arguments from pairs (value, default), without those at their default."""
    return {name: value for name, (value, default) in options.items() if value != default}


def _optional(x: Expr | None) -> tuple:
    return () if x is None else (x,)


@lowers("aten.mse_loss.default")
def mse_loss(x: Expr, target: Expr, reduction: int = 1) -> Expr:
    x, target = promoted(x, target)
    return _reduced(jnp.square(x - target), reduction)


@lowers("aten.l1_loss.default")
def l1_loss(x: Expr, target: Expr, reduction: int = 1) -> Expr:
    x, target = promoted(x, target)
    return _reduced(jnp.abs(x - target), reduction)


@lowers("aten.smooth_l1_loss.default")
def smooth_l1_loss(x: Expr, target: Expr, reduction: int = 1, beta: float = 1.0) -> Expr:
    if beta == 0:
        return l1_loss(x, target, reduction)
    x, target = promoted(x, target)
    return _reduced(prelude(real.smooth_l1)(x, target, **_given(beta=(beta, 1.0))), reduction)


@lowers("aten.huber_loss.default")
def huber_loss(x: Expr, target: Expr, reduction: int = 1, delta: float = 1.0) -> Expr:
    x, target = promoted(x, target)
    return _reduced(prelude(real.huber)(x, target, **_given(delta=(delta, 1.0))), reduction)


@lowers("aten.binary_cross_entropy.default")
def binary_cross_entropy(x: Expr, target: Expr, weight: Expr | None = None, reduction: int = 1) -> Expr:
    loss = prelude(real.binary_cross_entropy)(x, target)
    return _reduced(loss if weight is None else loss * weight, reduction)


@lowers("aten.binary_cross_entropy_with_logits.default")
def binary_cross_entropy_with_logits(x: Expr, target: Expr, weight=None, pos_weight=None, reduction: int = 1) -> Expr:
    loss = prelude(real.binary_cross_entropy_with_logits)(x, target, *_optional(pos_weight))
    return _reduced(loss if weight is None else loss * weight, reduction)


@lowers("aten.kl_div.default")
def kl_div(x: Expr, target: Expr, reduction: int = 1, *, log_target: bool = False) -> Expr:
    if log_target:
        return _reduced(jnp.exp(target) * (target - x), reduction)
    return _reduced(jax.scipy.special.xlogy(target, target) - target * x, reduction)


@lowers("aten.soft_margin_loss.default")
def soft_margin_loss(x: Expr, target: Expr, reduction: int = 1) -> Expr:
    return _reduced(jnp.log1p(jnp.exp(-target * x)), reduction)  # which overflows where torch's does


@lowers("aten.poisson_nll_loss.default")
def poisson_nll_loss(input: Expr, target: Expr, log_input: bool, full: bool, eps: float, reduction: int) -> Expr:
    return _reduced(prelude(real.poisson_nll)(input, target, log_input=log_input, full=full, eps=eps), reduction)


@lowers("aten.hinge_embedding_loss.default")
def hinge_embedding_loss(x: Expr, target: Expr, margin: float = 1.0, reduction: int = 1) -> Expr:
    apart = jnp.where(target != 1, jnp.maximum(margin - x, 0), 0)
    return _reduced(apart + jnp.where(target != -1, x, 0), reduction)


@lowers("aten.margin_ranking_loss.default")
def margin_ranking_loss(input1: Expr, input2: Expr, target: Expr, margin: float = 0.0, reduction: int = 1) -> Expr:
    loss = -target * (input1 - input2)
    return _reduced(jnp.maximum(loss + margin if margin else inexact(loss), 0), reduction)


@lowers("aten.cosine_embedding_loss.default")
def cosine_embedding_loss(input1: Expr, input2: Expr, target: Expr, margin: float = 0.0, reduction: int = 1) -> Expr:
    return _reduced(prelude(distance.cosine_embedding)(input1, input2, target, margin), reduction)


@lowers("aten.triplet_margin_loss.default")
def triplet_margin_loss(
    anchor: Expr,
    positive: Expr,
    negative: Expr,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: int = 1,
) -> Expr:
    options = _given(p=(p, 2.0), eps=(eps, 1e-6))
    near, far = (prelude(distance.pairwise_distance)(anchor, other, **options) for other in (positive, negative))
    if swap:
        far = jnp.minimum(far, prelude(distance.pairwise_distance)(positive, negative, **options))
    return _reduced(jnp.maximum(margin + near - far, 0), reduction)


@lowers("aten.nll_loss.default", "aten.nll_loss_nd.default", "aten.nll_loss2d.default")
def nll_loss(x: Expr, target: Expr, weight=None, reduction: int = 1, ignore_index: int = -100) -> Expr:
    options = _given(reduction=(REDUCTIONS[reduction], "mean"), ignore_index=(ignore_index, -100))
    loss = prelude(real.nll_loss)(*_batched(x, target), *_optional(weight), **options)
    return loss[0] if x.ndim == 1 and not reduction else loss


@lowers("aten.nll_loss_forward.default", "aten.nll_loss2d_forward.default")
def nll_loss_forward(x: Expr, target: Expr, weight, reduction: int, ignore_index: int) -> tuple[Expr, Expr]:
    options = _given(ignore_index=(ignore_index, -100))
    share = prelude(real.nll)(*_batched(x, target), *_optional(weight), **options)[1]
    total = jnp.sum(share) if reduction else jnp.zeros_like(x, shape=())
    return nll_loss(x, target, weight, reduction, ignore_index), total


@lowers("aten.cross_entropy_loss.default")
def cross_entropy_loss(
    x: Expr, target: Expr, weight=None, reduction: int = 1, ignore_index: int = -100, label_smoothing: float = 0.0
) -> Expr:
    smoothing = _given(label_smoothing=(label_smoothing, 0.0))
    unbatched = x.ndim == 1 and not reduction
    if is_float(target.dtype):
        if ignore_index >= 0:
            raise Unsupported("cross_entropy of class probabilities with an ignore_index")
        x, target = (x[None], target[None]) if x.ndim == 1 else (x, target)
        loss = prelude(real.soft_cross_entropy)(x, target, *_optional(weight), **smoothing)
        return loss[0] if unbatched else _reduced(loss, reduction)
    options = _given(reduction=(REDUCTIONS[reduction], "mean"), ignore_index=(ignore_index, -100))
    loss = prelude(real.cross_entropy)(*_batched(x, target), *_optional(weight), **options, **smoothing)
    return loss[0] if unbatched else loss


@lowers("torch_nn._linear_cross_entropy_batch_chunked_no_reduction.default")
def linear_cross_entropy(
    x: Expr, linear_weight: Expr, target: Expr, bias, weight, ignore_index: int, *chunking: Any, reduction: int = 0
) -> Expr:
    """chunking is how torch saves memory."""
    scores = x @ linear_weight.T
    scores = scores if bias is None else scores + bias
    return cross_entropy_loss(scores, target, weight, reduction, ignore_index)


@lowers("torch_nn._linear_cross_entropy_batch_chunked.default")
def linear_cross_entropy_reduced(
    x: Expr, linear_weight: Expr, target: Expr, bias, weight, reduction: str, ignore_index: int, *further: Any
) -> tuple:
    """The loss, and what torch keeps for its backward pass, which nothing else reads."""
    loss = linear_cross_entropy(
        x, linear_weight, target, bias, weight, ignore_index, reduction=REDUCTIONS.index(reduction)
    )
    of_x, of_weight, of_bias = further[-3:]
    kept = ((x.shape, of_x, (0, 0)), (linear_weight.shape, of_weight, (0, 0)), (linear_weight.shape[:1], of_bias, (0,)))
    return loss, *(jnp.zeros(shape if wanted else empty, written(x.dtype)) for shape, wanted, empty in kept)


def _batched(x: Expr, target: Expr) -> tuple[Expr, Expr]:
    """Scores and targets with a batch axis, which torch does not ask of a single example."""
    return (x.reshape(1, -1), target.reshape(1)) if x.ndim < 2 else (x, target)


@lowers("aten.multi_margin_loss.default")
def multi_margin_loss(x: Expr, target: Expr, p=1, margin=1, weight=None, reduction: int = 1) -> Expr:
    options = _given(p=(p, 1), margin=(margin, 1))
    unbatched = x.ndim < 2
    loss = prelude(real.multi_margin)(*_batched(x, target), *_optional(weight), **options)
    return loss[0] if unbatched and (not reduction) and target.ndim == 0 else _reduced(loss, reduction)


@lowers("aten.multilabel_margin_loss.default")
def multilabel_margin_loss(x: Expr, target: Expr, reduction: int = 1) -> Expr:
    unbatched = x.ndim < 2
    x, target = (x.reshape(1, -1), target.reshape(1, -1)) if unbatched else (x, target)
    loss = prelude(real.multilabel_margin)(x, target)
    return loss[0] if unbatched else _reduced(loss, reduction)
