"""Attention: torch's composite op and the fused kernel that it may have been exported as."""

from __future__ import annotations

import math

from op_table.expr import Expr, Name, RandomKey, jnp, prelude, static
from op_table.prelude import attention as real
from op_table.prelude import attention_dropout as dropping
from op_table.registry import Unsupported, lowers


@lowers("aten.scaled_dot_product_attention.default")
def scaled_dot_product_attention(
    query: Expr,
    key: Expr,
    value: Expr,
    attn_mask: Expr | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Expr:
    options = _options(query, key, attn_mask, is_causal, scale)
    if enable_gqa:
        key, value = (_repeat_heads(query, shared) for shared in (key, value))
    if dropout_p:
        return prelude(dropping.attention_with_dropout)(query, key, value, dropout_p, RandomKey(), **options)
    mask = [options.pop("mask")] if "mask" in options else []
    return prelude(real.scaled_dot_product_attention)(query, key, value, *mask, **options)


@lowers("aten._scaled_dot_product_flash_attention_for_cpu.default")
def flash_attention_for_cpu(
    query: Expr,
    key: Expr,
    value: Expr,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Expr | None = None,
    scale: float | None = None,
) -> tuple[Expr, Expr]:
    if dropout_p:
        raise Unsupported("the fused kernel of attention with dropout")
    options = _options(query, key, attn_mask, is_causal, scale)
    output = prelude(real.scaled_dot_product_attention)(query, key, value, **options)
    return output, prelude(real.attention_logsumexp)(query, key, **options)


def _options(query: Expr, key: Expr, mask: Expr | None, is_causal: bool, scale: float | None) -> dict:
    """The keyword arguments of a call that differ from their defaults: many models spell the default scale out."""
    if is_causal:
        causal = jnp.tri(query.shape[-2], key.shape[-2], dtype=Name("bool"))
        mask = causal if mask is None else mask & causal if mask.dtype == bool else jnp.where(causal, mask, -math.inf)
    features = query.shape[-1]
    if scale is not None and static(features) and math.isclose(scale, features**-0.5, rel_tol=1e-15):
        scale = None
    options = {"mask": mask, "scale": scale}
    return {name: option for name, option in options.items() if option is not None}


def _repeat_heads(query: Expr, shared: Expr) -> Expr:
    """Keys or values with one head for each of the query's, where groups of query heads share one."""
    if query.ndim < 3 or query.shape[-3] == shared.shape[-3]:
        return shared
    heads, groups = query.shape[-3], shared.shape[-3]
    if not (static(heads) and static(groups)):
        raise Unsupported("enable_gqa with a number of heads that is not fixed")
    return jnp.repeat(shared, heads // groups, axis=-3)
