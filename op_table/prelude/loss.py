"""Losses of each element or example, before they are reduced."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def smooth_l1(
    x: Float[Array, "..."], target: Float[Array, "..."], beta: float = 1.0
) -> Float[Array, "..."]:
    """torch.nn.functional.smooth_l1_loss(reduction="none") with a positive beta."""
    distance = jnp.abs(x - target)
    return jnp.where(distance < beta, 0.5 * distance * distance / beta, distance - 0.5 * beta)


def huber(
    x: Float[Array, "..."], target: Float[Array, "..."], delta: float = 1.0
) -> Float[Array, "..."]:
    """torch.nn.functional.huber_loss(reduction="none")."""
    distance = jnp.abs(x - target)
    return jnp.where(distance <= delta, 0.5 * distance * distance, delta * (distance - 0.5 * delta))


def binary_cross_entropy(
    x: Float[Array, "..."], target: Float[Array, "..."]
) -> Float[Array, "..."]:
    """torch.nn.functional.binary_cross_entropy(reduction="none"), whose logarithms end at -100."""
    yes, no = jnp.maximum(jnp.log(x), -100), jnp.maximum(jnp.log1p(-x), -100)
    return (target - 1) * no - target * yes


def binary_cross_entropy_with_logits(
    x: Float[Array, "..."],
    target: Float[Array, "..."],
    pos_weight: Float[Array, "..."] | None = None,
) -> Float[Array, "..."]:
    """torch.nn.functional.binary_cross_entropy_with_logits(reduction="none")."""
    no = jax.nn.softplus(-x)
    return (1 - target) * x + (no if pos_weight is None else ((pos_weight - 1) * target + 1) * no)


def poisson_nll(
    x: Float[Array, "..."], target: Float[Array, "..."], *, log_input: bool, full: bool, eps: float
) -> Float[Array, "..."]:
    """torch.nn.functional.poisson_nll_loss(reduction="none"); full adds Stirling's term."""
    loss = jnp.exp(x) - target * x if log_input else x - target * jnp.log(x + eps)
    if full:
        counts = jnp.maximum(target, 1)
        stirling = counts * jnp.log(counts) - counts + 0.5 * jnp.log(2 * math.pi * counts)
        loss = loss + jnp.where(target > 1, stirling, 0)
    return loss


def nll(
    log_probs: Float[Array, "batch classes *size"],
    target: Int[Array, "batch *size"],
    weight: Float[Array, " classes"] | None = None,
    ignore_index: int = -100,
) -> tuple[Float[Array, "batch *size"], Float[Array, "batch *size"]]:
    """The negative log-likelihood of each target and its weight: 0 for those that are ignored."""
    kept = target != ignore_index
    safe = jnp.where(kept, target, 0)
    share = kept.astype(log_probs.dtype) if weight is None else jnp.where(kept, weight[safe], 0)
    picked = jnp.take_along_axis(log_probs, safe[:, None], axis=1)[:, 0]
    return jnp.where(kept, -picked * share, 0), share


def nll_loss(
    log_probs: Float[Array, "batch classes *size"],
    target: Int[Array, "batch *size"],
    weight: Float[Array, " classes"] | None = None,
    *,
    reduction: str = "mean",
    ignore_index: int = -100,
) -> Float[Array, "..."]:
    """torch.nn.functional.nll_loss. The mean is over the weights of the targets."""
    loss, share = nll(log_probs, target, weight, ignore_index)
    if reduction == "none":
        return loss
    return jnp.sum(loss) if reduction == "sum" else jnp.sum(loss) / jnp.sum(share)


def cross_entropy(
    logits: Float[Array, "batch classes *size"],
    target: Int[Array, "batch *size"],
    weight: Float[Array, " classes"] | None = None,
    *,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Float[Array, "..."]:
    """torch.nn.functional.cross_entropy with a class for each target."""
    log_probs = jax.nn.log_softmax(logits, axis=1)
    loss, share = nll(log_probs, target, weight, ignore_index)
    if label_smoothing > 0:
        classes = logits.shape[1]
        per_class = (-1,) + (1,) * (logits.ndim - 2)
        weighted = log_probs if weight is None else log_probs * weight.reshape(per_class)
        smooth = jnp.where(target != ignore_index, -jnp.sum(weighted, axis=1), 0)
        loss = (1 - label_smoothing) * loss + label_smoothing / classes * smooth
    if reduction == "none":
        return loss
    return jnp.sum(loss) if reduction == "sum" else jnp.sum(loss) / jnp.sum(share)


def soft_cross_entropy(
    logits: Float[Array, "batch classes *size"],
    target: Float[Array, "batch classes *size"],
    weight: Float[Array, " classes"] | None = None,
    *,
    label_smoothing: float = 0.0,
) -> Float[Array, "batch *size"]:
    """torch.nn.functional.cross_entropy(reduction="none") with a probability for each class."""
    target = target * (1 - label_smoothing) + label_smoothing / logits.shape[1]
    if weight is not None:
        target = target * weight.reshape(-1, *(1 for _ in logits.shape[2:]))
    return -jnp.sum(jax.nn.log_softmax(logits, axis=1) * target, axis=1)


def multi_margin(
    x: Float[Array, "batch classes"],
    target: Int[Array, " batch"],
    weight: Float[Array, " classes"] | None = None,
    *,
    p: int = 1,
    margin: float = 1.0,
) -> Float[Array, " batch"]:
    """torch.nn.functional.multi_margin_loss(reduction="none")."""
    right = jnp.take_along_axis(x, target[:, None], axis=1)
    loss = jnp.maximum(margin - right + x, 0) ** p
    if weight is not None:
        loss = loss * weight[target][:, None]
    others = jnp.arange(x.shape[1]) != target[:, None]
    return jnp.sum(jnp.where(others, loss, 0), axis=1) / x.shape[1]


def multilabel_margin(
    x: Float[Array, "batch classes"], target: Int[Array, "batch classes"]
) -> Float[Array, " batch"]:
    """torch.nn.functional.multilabel_margin_loss(reduction="none"): labels end at the first -1."""
    valid = jnp.cumprod(target >= 0, axis=1).astype(bool)
    labels = jnp.where(valid, target, 0)
    is_label = jnp.any((jnp.arange(x.shape[1]) == labels[:, :, None]) & valid[:, :, None], axis=1)
    right = jnp.take_along_axis(x, labels, axis=1)
    loss = jnp.maximum(1 - right[:, :, None] + x[:, None, :], 0)
    counted = valid[:, :, None] & ~is_label[:, None, :]
    return jnp.sum(jnp.where(counted, loss, 0), axis=(1, 2)) / x.shape[1]
