"""Connectionist temporal classification."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

# Stands for the logarithm of zero, and leaves gradients finite.
IMPOSSIBLE = -1e30


def ctc_loss(
    log_probs: Float[Array, "time batch classes"],
    targets: Int[Array, "batch length"],
    input_lengths: Int[Array, " batch"],
    target_lengths: Int[Array, " batch"],
    blank: int = 0,
) -> Float[Array, " batch"]:
    """torch.nn.functional.ctc_loss without reduction: minus the log probability of each target.

    Source: Graves et al., Connectionist Temporal Classification, https://www.cs.toronto.edu/~graves/icml_2006.pdf, (6) to (8).
    """
    time, batch, _ = log_probs.shape
    places = jnp.arange(2 * targets.shape[1] + 1)
    # Blanks stand between, before and after the labels.
    labels = jnp.full((batch, places.size), blank).at[:, 1::2].set(targets)
    before = jnp.roll(labels, 2, axis=1)
    may_skip = (places >= 2) & (labels != blank) & (labels != before)
    emitted = jnp.take_along_axis(log_probs, labels[None].repeat(time, axis=0), axis=2)

    def step(
        alpha: Float[Array, "batch places"], now: tuple[Array, Array]
    ) -> tuple[Float[Array, "batch places"], None]:
        t, log_prob = now
        one = jnp.pad(alpha, ((0, 0), (1, 0)), constant_values=IMPOSSIBLE)[:, :-1]
        two = jnp.pad(alpha, ((0, 0), (2, 0)), constant_values=IMPOSSIBLE)[:, :-2]
        ways = jnp.stack([alpha, one, jnp.where(may_skip, two, IMPOSSIBLE)])
        following = jax.nn.logsumexp(ways, axis=0) + log_prob
        following = jnp.maximum(following, IMPOSSIBLE)
        return jnp.where(t < input_lengths[:, None], following, alpha), None

    # Before the first step, all is at a blank that stands before the first.
    start = jnp.full((batch, places.size), IMPOSSIBLE, log_probs.dtype)
    has_label = (target_lengths[:, None] > 0) & (places == 1)
    first = jnp.where((places == 0) | has_label, emitted[0], start)
    first = jnp.where(
        input_lengths[:, None] > 0, first, jnp.where(places == 0, 0, IMPOSSIBLE)
    ).astype(log_probs.dtype)
    alpha, _ = lax.scan(step, first, (jnp.arange(1, time), emitted[1:]))
    last = 2 * target_lengths[:, None]
    at_blank = jnp.take_along_axis(alpha, last, axis=1)[:, 0]
    at_label = jnp.take_along_axis(alpha, jnp.maximum(last - 1, 0), axis=1)[:, 0]
    at_label = jnp.where(target_lengths > 0, at_label, IMPOSSIBLE)
    loss = -jnp.logaddexp(at_blank, at_label)
    return jnp.where(loss > -IMPOSSIBLE / 2, jnp.inf, loss)


def split_targets(
    targets: Int[Array, " total"], lengths: Int[Array, " batch"], longest: int
) -> Int[Array, "batch longest"]:
    """Targets that lie one after the other as a row each. What is beyond a row's length is none of its own."""
    starts = jnp.cumsum(lengths) - lengths
    return targets[jnp.minimum(starts[:, None] + jnp.arange(longest), targets.size - 1)]
