"""Forms of attention, on [batch, heads, tokens, features]."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import torch.nn.functional as F
from jax import Array, lax

from benchmarks.lowerings.timing import Case, normal
from op_table.prelude.attention import scaled_dot_product_attention as emitted

BATCH = 8


def scaled_query(query: Array, key: Array, value: Array, mask: Array | None = None) -> Array:
    """The emitted form with the scale in the query."""
    return emitted(query * query.shape[-1] ** -0.5, key, value, mask, scale=1.0)


def library(query: Array, key: Array, value: Array, mask: Array | None = None) -> Array:
    """jax.nn's, whose heads are behind the tokens."""
    boolean = mask is not None and mask.dtype == bool
    y = jax.nn.dot_product_attention(
        *(jnp.swapaxes(x, 1, 2) for x in (query, key, value)), None if boolean else mask, mask if boolean else None
    )
    return jnp.swapaxes(y, 1, 2)


def flat(query: Array, key: Array, value: Array, mask: Array | None = None) -> Array:
    """One batch axis, and plain matrix products."""
    batch, heads, *size = query.shape
    q, k, v = (x.reshape(batch * heads, *x.shape[2:]) for x in (query, key, value))
    scores = (q * size[-1] ** -0.5) @ k.swapaxes(1, 2)
    if mask is not None:
        scores = scores.reshape(batch, heads, *scores.shape[1:])
        scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask
        scores = scores.reshape(batch * heads, *scores.shape[2:])
    return (jax.nn.softmax(scores, axis=-1) @ v).reshape(batch, heads, size[0], -1)


def late_division(query: Array, key: Array, value: Array, mask: Array | None = None) -> Array:
    """The sum of the softmax divides the output. Attending nowhere gives 0."""
    scores = jnp.einsum("...qd,...kd->...qk", query * query.shape[-1] ** -0.5, key)
    if mask is not None:
        scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask
    most = lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True))
    if mask is not None:
        most = jnp.where(most == -jnp.inf, 0, most)
    powers = jnp.exp(scores - most)
    total = jnp.sum(powers, axis=-1, keepdims=True)
    if mask is not None:
        total = jnp.where(total == 0, 1, total)
    return jnp.einsum("...qk,...kv->...qv", powers, value) / total


def one_where(query: Array, key: Array, value: Array, mask: Array | None = None) -> Array:
    """Nowhere is told by the mask, before the product, and taken out of the output."""
    if mask is None:
        return emitted(query, key, value)
    scores = jnp.einsum("...qd,...kd->...qk", query, key) * query.shape[-1] ** -0.5
    bias = jnp.where(mask, 0, -jnp.inf) if mask.dtype == bool else mask
    somewhere = jnp.max(bias, axis=-1, keepdims=True) > -jnp.inf
    scores = scores + jnp.where(somewhere, bias, 0)
    y = jnp.einsum("...qk,...kv->...qv", jax.nn.softmax(scores, axis=-1), value)
    return jnp.where(somewhere, y, 0)


def _by_example(form: Callable, query: Array, key: Array, value: Array, mask: Array | None) -> Array:
    if mask is None or mask.ndim < 4:
        return lax.map(lambda qkv: form(*qkv, mask), (query, key, value))
    return lax.map(lambda qkvm: form(*qkvm), (query, key, value, mask))


def examples(query: Array, key: Array, value: Array, mask: Array | None = None) -> Array:
    """An example at a time."""
    return _by_example(emitted, query, key, value, mask)


def examples_again(query: Array, key: Array, value: Array, mask: Array | None = None) -> Array:
    """An example at a time, whose scores are computed again for the gradients."""
    return _by_example(jax.checkpoint(emitted), query, key, value, mask)


def examples_late(query: Array, key: Array, value: Array, mask: Array | None = None) -> Array:
    """An example at a time, divided late."""
    return _by_example(late_division, query, key, value, mask)


FORMS = (scaled_query, library, flat, late_division, one_where, examples, examples_again, examples_late)


def attention(heads: int, tokens: int, features: int, mask: np.ndarray | None, masked: str, batch: int = BATCH) -> Case:
    qkv = tuple(normal(batch, heads, tokens, features, seed=seed) for seed in (0, 1, 2))
    torch = F.scaled_dot_product_attention
    given = () if mask is None else (mask,)
    forms = {"emitted": emitted} | {f.__name__: f for f in FORMS if f is not one_where or mask is not None}
    return Case("attention", f"{batch} x {heads} x {tokens} x {features}, {masked}", (*qkv, *given), forms, torch)


def cases() -> Iterator[Case]:
    for heads, tokens, features in ((12, 128, 64), (6, 197, 64), (12, 512, 64)):
        yield attention(heads, tokens, features, None, "no mask")
        yield attention(heads, tokens, features, np.tri(tokens, dtype=bool), "causal mask")
    padded = np.where(np.arange(128) < 108, np.float32(0), np.finfo(np.float32).min)
    yield attention(12, 128, 64, np.broadcast_to(padded, (BATCH, 1, 128, 128)).copy(), "added mask")
    yield attention(12, 256, 64, None, "no mask")
