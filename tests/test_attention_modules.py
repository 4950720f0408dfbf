"""nn.MultiheadAttention is translated as one would write it, and gives what torch's own forward gives."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import translator
from translator import provenance

BATCH, QUERIES, KEYS, WIDTH, HEADS = 2, 5, 4, 6, 2


class Attention(nn.Module):
    """One call of an attention layer. of: which of its two inputs queries, keys and values are."""

    def __init__(self, of: str = "xxx", call: dict[str, Any] | None = None, **options: Any):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.MultiheadAttention(WIDTH, HEADS, **options)
        if self.layer.in_proj_bias is not None:
            nn.init.normal_(self.layer.in_proj_bias)
            nn.init.normal_(self.layer.out_proj.bias)
        self.of, self.call = of, call or {}

    def forward(self, x: Tensor, y: Tensor, key_padding_mask: Tensor | None = None, attn_mask: Tensor | None = None):
        query, key, value = ({"x": x, "y": y}[name] for name in self.of)
        masks = {"key_padding_mask": key_padding_mask, "attn_mask": attn_mask}
        return self.layer(query, key, value, **masks, **self.call)


def inputs(batch_first: bool = True, width: int = WIDTH) -> tuple[Tensor, Tensor]:
    x, y = torch.randn(BATCH, QUERIES, WIDTH), torch.randn(BATCH, KEYS, width)
    return (x, y) if batch_first else (x.transpose(0, 1), y.transpose(0, 1))


def masks(of: str, padding: str | None, attention: str | None) -> dict[str, Tensor]:
    """Masks of a kind: boolean or float, attention's of each head where it has "heads"."""
    keys = QUERIES if of == "xxx" else KEYS
    found = {}
    if padding is not None:
        mask = torch.arange(keys) >= torch.tensor([[keys], [keys - 2]])
        found["key_padding_mask"] = mask if padding == "bool" else torch.randn(BATCH, keys)
    if attention is not None:
        shape = (BATCH * HEADS, QUERIES, keys) if "heads" in attention else (QUERIES, keys)
        mask = torch.rand(shape, generator=torch.Generator().manual_seed(3)) < 0.3
        mask[..., 0] = False  # a row of nothing is NaN in torch, too, but says little
        found["attn_mask"] = mask if "bool" in attention else torch.randn(shape)
    return found


def verified(module: nn.Module, *args: Any, **kwargs: Any) -> translator.Translation:
    translation = translator.translate(module, args, kwargs, dynamic_shapes=None)
    verification = translation.verify(sizes=0)
    assert verification.ok, str(verification)
    return translation


CASES = list(
    itertools.product(("xxx", "xyy", "xyx"), (True, False), (None, "bool", "float"), (None, "bool", "float heads"))
)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("of, batch_first, padding, attention", CASES[::5])
def test_masks_and_inputs(of, batch_first, padding, attention, need_weights):
    module = Attention(of, {"need_weights": need_weights}, batch_first=batch_first).eval()
    if of == "xyx":  # keys and values of two arrays are as long as one another
        args = (torch.randn(BATCH, QUERIES, WIDTH),) * 2
        args = tuple(x + i for i, x in enumerate(args))
        args = args if batch_first else tuple(x.transpose(0, 1) for x in args)
        of = "xxx"
    else:
        args = inputs(batch_first)
    source = verified(module, *args, **masks(of, padding, attention)).source
    assert "out_proj: eqx.nn.Linear" in source
    assert "squeeze" not in source


@pytest.mark.parametrize(
    "options",
    [
        {"bias": False},
        {"kdim": 3, "vdim": 3},
        {"add_bias_kv": True},
        {"add_zero_attn": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("call", [{}, {"need_weights": False}, {"average_attn_weights": False}], ids=str)
def test_options(options, call):
    width = options.get("kdim", WIDTH)
    verified(Attention("xyy", call, batch_first=True, **options).eval(), *inputs(width=width))


def test_causal():
    mask = nn.Transformer.generate_square_subsequent_mask(QUERIES)
    module = Attention(call={"is_causal": True, "need_weights": False}, batch_first=True).eval()
    verified(module, *inputs(), attn_mask=mask)


def test_without_a_batch():
    verified(Attention("xyy").eval(), torch.randn(QUERIES, WIDTH), torch.randn(KEYS, WIDTH))


def test_an_output_projection_with_a_hook_is_not_called():
    module = Attention().eval()
    module.layer.out_proj.register_forward_hook(
        lambda layer, args, output: output + 1
    )  # torch does not call it, either
    verified(module, *inputs(False))


def test_a_subclass_keeps_its_forward():
    class Doubled(nn.MultiheadAttention):
        def forward(self, query, key, value, **options):
            output, weights = super().forward(query, key, value, **options)
            return 2 * output, weights

    module = Attention().eval()
    module.layer = Doubled(WIDTH, HEADS).eval()
    verified(module, *inputs(False))


def test_a_mask_of_a_wrong_shape_is_refused_as_by_torch():
    with pytest.raises(translator.CaptureError, match="attn_mask"):
        translator.translate(Attention().eval(), (*inputs(False), None, torch.zeros(1, QUERIES)))


def test_layers_are_as_they_were_afterwards():
    module = Attention().eval()
    translator.translate(module, inputs(False))
    assert "forward" not in vars(module.layer)


def test_errors_point_to_the_users_line():
    translation = translator.translate(Attention().eval(), inputs(False))
    node = next(n for n in translation.captured.graph.nodes if "chunk" in n.name)
    assert "self.layer(query, key, value" in provenance.user_line(node)
