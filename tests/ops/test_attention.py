import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from op_table.attention import scaled_dot_product_attention as attention
from op_table.expr import Value
from op_table.prelude.attention_dropout import attention_with_dropout
from tests.ops.harness import check, compare, to_array
from tests.ops.nn_checks import check_both

OP = "aten.scaled_dot_product_attention.default"


def sdpa(**options):
    return functools.partial(F.scaled_dot_product_attention, **options)


@pytest.mark.parametrize("leading", [(), (2,), (2, 3), (2, 1, 3)])
def test_any_leading_axes(leading):
    q, k, v = torch.randn(*leading, 5, 8), torch.randn(*leading, 7, 8), torch.randn(*leading, 7, 6)
    (check_both if leading == (2, 3) else check)(sdpa(), q, k, v, op=OP)


@pytest.mark.parametrize("queries, keys", [(5, 5), (3, 6), (6, 3)])
def test_causal_is_aligned_top_left(queries, keys):
    q, k, v = torch.randn(2, 3, queries, 4), torch.randn(2, 3, keys, 4), torch.randn(2, 3, keys, 4)
    check_both(sdpa(is_causal=True), q, k, v, op=OP)


@pytest.mark.parametrize("shape", [(5, 7), (2, 1, 1, 7), (2, 1, 5, 1), (3, 5, 7), (2, 3, 5, 7)])
@pytest.mark.parametrize("kind", ["bool", "additive"])
def test_masks(shape, kind):
    q, k, v = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 7, 4), torch.randn(2, 3, 7, 4)
    mask = torch.rand(shape) > 0.5 if kind == "bool" else torch.randn(shape)
    check(sdpa(), q, k, v, mask, op=OP)


@pytest.mark.parametrize("kind", ["bool", "minus infinity"])
def test_rows_that_may_attend_nowhere_are_zero(kind):
    q, k, v = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 7, 4), torch.randn(2, 3, 7, 4)
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[2] = False
    if kind != "bool":
        mask = torch.zeros(5, 7).masked_fill(~mask, -torch.inf)
    assert (F.scaled_dot_product_attention(q, k, v, mask)[:, :, 2] == 0).all()
    check_both(sdpa(), q, k, v, mask, op=OP)


def test_rows_of_the_lowest_finite_bias_attend_evenly():
    q, k, v = torch.randn(1, 2, 3, 4), torch.randn(1, 2, 5, 4), torch.randn(1, 2, 5, 4)
    mask = torch.zeros(3, 5)
    mask[1] = torch.finfo(torch.float32).min
    check(sdpa(), q, k, v, mask, op=OP)


def test_mask_beside_is_causal():
    q, k, v = torch.randn(2, 2, 5, 4), torch.randn(2, 2, 5, 4), torch.randn(2, 2, 5, 4)
    check_both(sdpa(is_causal=True), q, k, v, torch.rand(5, 5) > 0.3, op=OP)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_grouped_queries(groups):
    q, k, v = torch.randn(2, 4, 5, 8), torch.randn(2, groups, 7, 8), torch.randn(2, groups, 7, 8)
    check_both(sdpa(enable_gqa=True), q, k, v, op=OP)


def test_scale_and_broadcast_heads():
    q, k, v = torch.randn(2, 4, 5, 8), torch.randn(2, 1, 7, 8), torch.randn(2, 1, 7, 8)
    check_both(sdpa(scale=0.3), q, k, v, op=OP)


def test_the_default_scale_spelled_out_is_left_out():
    query = Value("q", (2, 4, 5, 32), np.dtype("float32"))
    assert attention(query, query, query, scale=32**-0.5).kwargs == ()
    assert attention(query, query, query, scale=0.2).kwargs == (("scale", 0.2),)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("masked", [False, True])
def test_half(dtype, masked):
    q, k, v = (torch.randn(2, 3, 5, 8, dtype=dtype) for _ in range(3))
    check(sdpa(), q, k, v, *([torch.rand(5, 5) > 0.5] if masked else []), op=OP)


def test_dropout():
    q, k, v = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 6, 4), torch.randn(2, 3, 6, 8)
    mask = torch.rand(5, 6) > 0.5
    arrays = [to_array(x) for x in (q, k, v)]
    whole = attention_with_dropout(*arrays, 0.0, jax.random.key(0), mask=to_array(mask))
    compare(whole, F.scaled_dot_product_attention(q, k, v, mask))
    ones = [*arrays[:2], jnp.ones_like(arrays[2])]
    kept = [attention_with_dropout(*ones, 0.25, key) for key in jax.random.split(jax.random.key(1), 50)]
    assert abs(np.mean(kept) - 1) < 0.02 and np.std(kept) > 0.1


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.3}])
def test_fused_kernel(options):
    q, k, v = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)
    op = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
    check_both(lambda q, k, v: op(q, k, v, **options), q, k, v, op=str(op))
    if not options:
        check_both(lambda q, k, v, m: op(q, k, v, attn_mask=m), q, k, v, torch.randn(2, 1, 5, 5), op=str(op))
