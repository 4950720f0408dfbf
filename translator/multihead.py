"""While torch.export traces, nn.MultiheadAttention computes what it does as one would write it, and calls its output projection.

torch's own forward moves the batch behind the sequence and folds the heads into it: transposes that nobody would port.
verify compares with the module itself, not with what is traced here.
"""

from __future__ import annotations

import contextlib
import math
import types
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear


@contextlib.contextmanager
def written_out(module: nn.Module) -> Iterator[None]:
    """While this lasts, the attention layers of module run the forward of `WrittenOut`."""
    layers = [m for m in module.modules() if isinstance(m, nn.MultiheadAttention) and _may_be_written_out(m)]
    for layer in layers:
        layer.forward = types.MethodType(WrittenOut.forward, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _may_be_written_out(layer: nn.MultiheadAttention) -> bool:
    """Whether a layer runs torch's forward, and calling its output projection is what that does with its weights."""
    out = layer.out_proj
    hooked = isinstance(out, nn.Module) and (out._forward_hooks or out._forward_pre_hooks)
    own = "forward" not in vars(layer) and type(layer).forward is nn.MultiheadAttention.forward
    return own and type(out) is NonDynamicallyQuantizableLinear and not hooked


class WrittenOut(nn.MultiheadAttention):
    """What stands for nn.MultiheadAttention. What is unusual (see `_is_usual`) goes through torch's own forward."""

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        if not _is_usual(self, query, key, value, key_padding_mask, attn_mask, is_causal):
            return nn.MultiheadAttention.forward(
                self, query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
            )
        causal = is_causal and key_padding_mask is None and not need_weights
        mask = None if causal else _mask(self, query, key_padding_mask, attn_mask)
        q, k, v = _projections(self, query, key, value)
        q = _heads(self, q)
        k = _heads(self, k)
        v = _heads(self, v)
        dropout = self.dropout if self.training else 0.0
        attn_weights = None
        if need_weights:
            scores = (q * math.sqrt(1.0 / self.head_dim)) @ k.transpose(-2, -1)
            scores = scores if mask is None else scores + mask
            attn_weights = torch.softmax(scores, dim=-1)
            attn_weights = F.dropout(attn_weights, dropout) if dropout else attn_weights
            attended = attn_weights @ v
            attn_weights = attn_weights.mean(dim=1) if average_attn_weights else attn_weights
        else:
            attended = F.scaled_dot_product_attention(q, k, v, mask, dropout, causal)
        attended = attended.transpose(1, 2) if self.batch_first else attended.permute(2, 0, 1, 3)
        attn_output = self.out_proj(attended.reshape(query.shape))
        return attn_output, attn_weights


def _is_usual(
    self: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    is_causal: bool,
) -> bool:
    """Whether a call is on batches, without learned or zero keys, with masks of the shapes that torch asks for."""
    if query.ndim != 3 or key.ndim != 3 or value.ndim != 3 or query.shape[-1] != self.embed_dim:
        return False
    if self.bias_k is not None or self.bias_v is not None or self.add_zero_attn or is_causal and attn_mask is None:
        return False
    if key.shape[:2] != value.shape[:2] or self._qkv_same_embed_dim and key.shape != value.shape:
        return False
    batch, length, keys = _sizes(self, query, key)
    if key_padding_mask is not None and key_padding_mask.shape != (batch, keys):
        return False
    shapes = ((length, keys), (batch * self.num_heads, length, keys))
    return attn_mask is None or attn_mask.shape == shapes[attn_mask.ndim == 3]


def _sizes(self: nn.MultiheadAttention, query: Tensor, key: Tensor) -> tuple[int, int, int]:
    """The batch, the queries and the keys."""
    batch, length = (0, 1) if self.batch_first else (1, 0)
    return query.shape[batch], query.shape[length], key.shape[length]


def _projections(
    self: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values before they are divided among the heads: of equal inputs by one product."""
    weight, bias = self.in_proj_weight, self.in_proj_bias
    if weight is not None and query is key and key is value:
        q, k, v = F.linear(query, weight, bias).chunk(3, -1)
    elif weight is not None and key is value:
        sizes = [self.embed_dim, 2 * self.embed_dim]
        q_weight, kv_weight = weight.split(sizes)
        q_bias, kv_bias = (None, None) if bias is None else bias.split(sizes)
        q = F.linear(query, q_weight, q_bias)
        k, v = F.linear(key, kv_weight, kv_bias).chunk(2, -1)
    else:
        own = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        q_weight, k_weight, v_weight = own if weight is None else weight.chunk(3)
        q_bias, k_bias, v_bias = (None, None, None) if bias is None else bias.chunk(3)
        q = F.linear(query, q_weight, q_bias)
        k = F.linear(key, k_weight, k_bias)
        v = F.linear(value, v_weight, v_bias)
    return q, k, v


def _heads(self: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """(batch, heads, length, width of a head)."""
    x = x.unflatten(-1, (self.num_heads, self.head_dim))
    return x.transpose(1, 2) if self.batch_first else x.permute(1, 2, 0, 3)


def _mask(
    self: nn.MultiheadAttention, query: Tensor, key_padding_mask: Tensor | None, attn_mask: Tensor | None
) -> Tensor | None:
    """What is added to the scores: -inf where a boolean mask is True."""
    other = F._none_or_dtype(attn_mask)
    mask = F._canonical_mask(attn_mask, "attn_mask", None, "", query.dtype, check_other=False)
    if mask is not None and mask.ndim == 3:
        mask = mask.unflatten(0, (-1, self.num_heads))
    if key_padding_mask is None:
        return mask
    padding = key_padding_mask[:, None, None]
    padding = F._canonical_mask(padding, "key_padding_mask", other, "attn_mask", query.dtype)
    return padding if mask is None else mask + padding
