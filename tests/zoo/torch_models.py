"""Models made of `torch.nn` alone."""

from __future__ import annotations

import torch
from torch import nn

from tests.zoo.case import Case, model, perturb_norms


class MaskedAttention(nn.Module):
    """Self-attention with a float mask on scores, and cross-attention with a mask of padded keys."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.self_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.cross_attention = nn.MultiheadAttention(width, heads, batch_first=True, kdim=12, vdim=20)

    def forward(self, x, key, value, attn_mask, key_padding_mask):
        hidden, weights = self.self_attention(x, x, x, attn_mask=attn_mask)
        output, cross_weights = self.cross_attention(
            hidden, key, value, key_padding_mask=key_padding_mask, average_attn_weights=False
        )
        return output, weights, cross_weights


def padding(batch: int, length: int) -> torch.Tensor:
    """(batch, length) booleans, True where a row is padded; every row but the first has one more padded place."""
    return torch.arange(length) >= length - torch.arange(batch)[:, None]


@model("torch_lstm")
def torch_lstm() -> Case:
    """Two layers in both directions, from a given state."""
    lstm = nn.LSTM(6, 8, num_layers=2, bidirectional=True, batch_first=True)

    def call(batch: int, length: int):
        state = (torch.randn(4, batch, 8), torch.randn(4, batch, 8))
        return (torch.randn(batch, length, 6), state), {}

    return Case(lstm, *call(3, 5), other_inputs=(call(4, 5), call(2, 9)))


@model("torch_lstm_projected")
def torch_lstm_projected() -> Case:
    """One direction, time first, without a given state, with a projection."""
    lstm = nn.LSTM(6, 8, proj_size=4)
    return Case(lstm, (torch.randn(5, 3, 6),), other_inputs=(((torch.randn(8, 4, 6),), {}),))


@model("torch_gru")
def torch_gru() -> Case:
    """Two layers, time first, without a bias."""
    gru = nn.GRU(6, 8, num_layers=2, bias=False)
    return Case(gru, (torch.randn(5, 3, 6),), other_inputs=(((torch.randn(2, 4, 6),), {}),))


@model("torch_gru_bidirectional")
def torch_gru_bidirectional() -> Case:
    """Both directions, from a given state."""
    gru = nn.GRU(6, 8, bidirectional=True, batch_first=True)

    def call(batch: int, length: int):
        return (torch.randn(batch, length, 6), torch.randn(2, batch, 8)), {}

    return Case(gru, *call(3, 5), other_inputs=(call(4, 11),))


@model("torch_transformer")
def torch_transformer() -> Case:
    """Encoder and decoder, with a causal mask on the target and padded keys in the source."""
    transformer = nn.Transformer(
        d_model=16,
        nhead=4,
        num_encoder_layers=2,
        num_decoder_layers=2,
        dim_feedforward=32,
        batch_first=True,
    )

    def call(batch: int, source: int, target: int):
        keywords = {
            "tgt_mask": nn.Transformer.generate_square_subsequent_mask(target),
            "tgt_is_causal": True,  # otherwise torch looks at the mask's values to find out
            "src_key_padding_mask": padding(batch, source),
            "memory_key_padding_mask": padding(batch, source),
        }
        return (torch.randn(batch, source, 16), torch.randn(batch, target, 16)), keywords

    return Case(perturb_norms(transformer), *call(2, 7, 5), other_inputs=(call(3, 8, 6),))


@model("torch_transformer_prenorm")
def torch_transformer_prenorm() -> Case:
    """Encoder with the norm first and GELU, time first."""
    layer = nn.TransformerEncoderLayer(16, 4, dim_feedforward=32, activation="gelu", norm_first=True)
    encoder = nn.TransformerEncoder(layer, num_layers=2, norm=nn.LayerNorm(16), enable_nested_tensor=False)
    return Case(perturb_norms(encoder), (torch.randn(5, 3, 16),), other_inputs=(((torch.randn(6, 4, 16),), {}),))


@model("torch_multihead_attention")
def torch_multihead_attention() -> Case:
    """A float mask on scores, and a boolean mask of padded keys of another width."""
    module = MaskedAttention(16, 4)

    def call(batch: int, length: int, keys: int):
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        inputs = (torch.randn(batch, length, 16), torch.randn(batch, keys, 12), torch.randn(batch, keys, 20))
        return inputs, {"attn_mask": mask, "key_padding_mask": padding(batch, keys)}

    return Case(module, *call(2, 5, 7), other_inputs=(call(3, 6, 8),))
