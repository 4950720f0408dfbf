"""The rows of PITFALLS.md that neural network ops fall into, one test a row, named for it.

Each shows what a plain JAX translation gives (where there is one) and that ours gives what torch gives.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

import translator
from tests.ops.harness import check, lowered, to_array

SDPA = "aten.scaled_dot_product_attention.default"


def test_batch_norm_in_training_tracks_the_unbiased_variance():
    """And normalises by the biased one; momentum is the new share."""
    x = torch.randn(4, 3)
    translation = translator.translate(torch.nn.BatchNorm1d(3, momentum=0.25).train(), (x,))
    y, state = translation.model(jnp.asarray(x.numpy()), state=translation.state)
    found = translator.state_dict(translation.model, state)["running_var"]
    np.testing.assert_allclose(found, 0.75 + 0.25 * x.numpy().var(0, ddof=1), rtol=1e-6)
    np.testing.assert_allclose(np.asarray(y).var(0), 1, atol=1e-3)


def test_attention_of_a_fully_masked_row_is_zero():
    q = torch.randn(1, 2, 3, 4)
    mask = torch.tensor([[True, True, True], [False, False, False], [True, False, True]])
    scores = jnp.where(mask.numpy(), 1.0, -jnp.inf)
    assert jnp.isnan(jax.nn.softmax(scores)).any()
    check(lambda q, m: F.scaled_dot_product_attention(q, q, q, m), q, mask, op=SDPA)


def test_gradient_through_a_fully_masked_row_is_finite():
    from op_table.prelude.attention import scaled_dot_product_attention

    mask = np.array([[True, True, True], [False, False, False], [True, False, True]])
    q = torch.randn(1, 2, 3, 4, requires_grad=True)
    F.scaled_dot_product_attention(q, q, q, torch.as_tensor(mask)).square().sum().backward()
    gradient = jax.grad(lambda q: jnp.sum(scaled_dot_product_attention(q, q, q, mask) ** 2))(to_array(q))
    np.testing.assert_allclose(gradient, q.grad.numpy(), rtol=1e-5, atol=1e-5)


def test_attention_options_are_not_ignored():
    q, k = torch.randn(2, 4, 5, 8), torch.randn(2, 4, 3, 8)
    check(lambda q, k: F.scaled_dot_product_attention(q, k, k, is_causal=True), q, k, op=SDPA)
    check(lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True), q, k[:, :2], op=SDPA)
    dropped, _ = lowered(lambda q, k: F.scaled_dot_product_attention(q, k, k, dropout_p=0.5), q, k)
    assert not np.allclose(dropped[0], to_array(F.scaled_dot_product_attention(q, k, k)), atol=1e-3)


def test_attention_in_float64_stays_in_float64():
    q = torch.randn(1, 2, 3, 4, dtype=torch.float64)
    with jax.enable_x64(True):
        array = to_array(q).swapaxes(1, 2)
        theirs = to_array(F.scaled_dot_product_attention(q, q, q)).swapaxes(1, 2)
        assert jnp.max(jnp.abs(jax.nn.dot_product_attention(array, array, array) - theirs)) > 1e-10
        check(lambda q: F.scaled_dot_product_attention(q, q, q), q, op=SDPA, tolerance=1e-12)


@pytest.mark.parametrize("eps", [1e-12, 1e-3])
def test_layer_norm_and_rms_norm_have_the_models_eps(eps):
    x, w = torch.randn(2, 8) * 1e-2, torch.randn(8)
    check(lambda x, w: F.layer_norm(x, (8,), w, None, eps), x, w, op="aten.layer_norm.default")
    check(lambda x, w: F.rms_norm(x, (8,), w, eps), x, w, op="aten.rms_norm.default")


def test_norms_of_bfloat16_are_upcast_before_the_weight():
    x, w = (torch.randn(64, 32) * 3).bfloat16(), torch.randn(32).bfloat16()
    for function in (lambda x, w: F.rms_norm(x, (32,), w), lambda x, w: F.layer_norm(x, (32,), w)):
        (ours,), _ = lowered(function, x, w)
        assert (np.asarray(ours, np.float32) == function(x, w).float().numpy()).mean() > 0.99


def test_pooling_windows_past_the_padding():
    x = torch.randn(1, 2, 7, 7)
    for options in ({"ceil_mode": True}, {"padding": 1}, {"padding": 1, "count_include_pad": False, "ceil_mode": True}):
        check(lambda x, o=options: F.avg_pool2d(x, 3, 3, **o), x[..., :6], op="aten.avg_pool2d.default")
    check(lambda x: F.max_pool2d(x, 2, 2, ceil_mode=True), x - 5, op="aten.max_pool2d.default")


def test_transposed_convolution_flips_swaps_and_pads_the_output():
    x, w = torch.randn(2, 4, 5, 5), torch.randn(4, 3, 3, 3)
    options = {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}
    check(lambda x, w: F.conv_transpose2d(x, w, **options), x, w, op="aten.conv_transpose2d.input")


def test_interpolation_does_not_antialias_and_aligns_as_told():
    x = torch.randn(1, 1, 9, 9)
    for options in ({"size": (4, 4)}, {"size": (4, 4), "align_corners": True}, {"scale_factor": 0.45}):
        check(lambda x, o=options: F.interpolate(x, mode="bilinear", **o), x)
    kept, recomputed = (
        F.interpolate(x, scale_factor=0.45, mode="bilinear", recompute_scale_factor=r) for r in (False, True)
    )
    assert not torch.allclose(kept, recomputed)
    check(lambda x: F.interpolate(x, scale_factor=0.45, mode="bilinear", recompute_scale_factor=True), x)
    check(lambda x: F.interpolate(x, scale_factor=0.45), x)


@pytest.mark.parametrize("need_weights", [False, True])
def test_multi_head_attention_forward(need_weights):
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval().requires_grad_(False)

    def attend(q, k, padding):
        output, weights = layer(q, k, k, key_padding_mask=padding, need_weights=need_weights)
        return (output, weights) if need_weights else output

    padding = torch.tensor([[0, 0, -torch.inf], [0, -torch.inf, -torch.inf]])
    check(attend, torch.randn(2, 5, 8), torch.randn(2, 3, 8), padding)


def test_transformer_encoder_layer_keeps_no_fast_path():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval().requires_grad_(False)
    with torch.no_grad():
        check(lambda x: layer(x), torch.randn(2, 5, 8), op=SDPA)


def test_products_are_verified_in_full_precision():
    from translator.runtime import Runner

    translation = translator.translate(nn.Linear(2, 2).eval(), (torch.ones(1, 2),))
    assert jax.config.jax_default_matmul_precision is None
    with Runner(translation.source, {}, translation.captured.state).mode():
        assert jax.config.jax_default_matmul_precision == "highest"


def test_ops_that_no_other_translator_has():
    check(lambda x, g: F.grid_sample(x, g, align_corners=False), torch.randn(1, 2, 4, 5), torch.randn(1, 3, 3, 2))
    bags = torch.tensor([[1, 2], [0, 0]])
    check(lambda i, w: F.embedding_bag(i, w, mode="max", padding_idx=0), bags, torch.randn(4, 3))
    check(
        lambda x, s: F.fractional_max_pool2d(x, 2, output_size=3, _random_samples=s),
        torch.randn(1, 2, 7, 7),
        torch.rand(1, 2, 2),
    )
