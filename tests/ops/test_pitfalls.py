"""The rows of PITFALLS.md that elementwise ops, reductions, orders and indices fall into, one test a row, named for it.

Each shows what a plain JAX translation gives (where there is one) and that ours gives what torch gives. Rows, and their tests
here and elsewhere (nn: test_pitfalls_nn.py):

GELU                                  gelu_is_exact_by_default
BatchNorm, training                   nn: batch_norm_in_training_tracks_the_unbiased_variance, and ../test_training.py
mutated buffers                       ../test_translate.py: a_buffer_that_forward_updates_is_state, and ../test_training.py
SDPA, fully masked row                nn: attention_of_a_fully_masked_row_is_zero, gradient_through_a_fully_masked_row_is_finite
SDPA dropout, is_causal, enable_gqa   nn: attention_options_are_not_ignored
LayerNorm, RMSNorm                    nn: layer_norm_and_rms_norm_have_the_models_eps, norms_of_bfloat16_are_upcast_before_the_weight
pooling                               nn: pooling_windows_past_the_padding
ConvTranspose                         nn: transposed_convolution_flips_swaps_and_pads_the_output
interpolate                           nn: interpolation_does_not_antialias_and_aligns_as_told
promotion                             python_scalars_and_0d_arrays_are_weak_in_torch, integers_divide_to_float32_in_64_bit_mode, and others
int64                                 a_constant_beyond_int32_is_refused_not_wrapped, sums_of_small_integers_are_int64
integer division                      division_of_integers
gather, index out of range            gather_reads_from_the_start_where_the_index_is_shorter, an_index_out_of_range_reads_no_other_row
repeated indices                      repeated_indices_accumulate, of_repeated_indices_one_wins
views and in-place                    views_show_writes, and ../test_functionalise.py
ties; NaN order                       ties_and_nan_in_orders, nan_of_either_sign_is_the_largest
std, var                              std_and_var_divide_by_n_minus_one
round                                 round_half_to_even_and_decimals
edge values, 0 ** 0, branch cuts      edge_values_of_powers_roots_and_logarithms, integers_to_negative_powers, integers_to_powers_of_more_than_six_bits, branch_cuts_of_complex_functions
random                                test_random.py
matmul precision                      nn: products_are_verified_in_full_precision
ops that all peers lack               searchsorted_and_histograms_exist, nn: multi_head_attention_forward, ops_that_no_other_translator_has
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from op_table.registry import Unsupported
from tests.ops.harness import lowered
from tests.ops.tables import check_both, check_table

torch.manual_seed(0)
NAN, INF = float("nan"), float("inf")
X = torch.randn(3, 4)
INTS = torch.tensor([[-7, 3, 0], [5, -1, 2]])


def test_gelu_is_exact_by_default():
    assert np.abs(jax.nn.gelu(X.numpy()) - F.gelu(X).numpy()).max() > 1e-5
    check_both(
        [
            ("aten.gelu.default", F.gelu, [X]),
            ("aten.gelu.default", lambda x: F.gelu(x, approximate="tanh"), [X]),
        ]
    )


def test_python_scalars_and_0d_arrays_are_weak_in_torch():
    half, scalar = X.half(), torch.tensor(2.0, dtype=torch.float32)
    assert (half.numpy() * jnp.float32(2)).dtype == jnp.float32
    check_table(
        [
            ("aten.mul.Tensor", lambda x, y: x * y, [half, scalar]),
            ("aten.mul.Tensor", lambda x: x * 2.0, [half]),
            ("aten.add.Tensor", lambda x, y: x + y, [INTS.to(torch.int8), torch.tensor(1)]),
            ("aten.where.self", lambda c, x, y: torch.where(c, x, y), [X > 0, half, scalar]),
        ]
    )


def test_a_float_scalar_makes_integers_float32_for_good():
    weak = jnp.arange(3) * 0.5
    assert (weak + jnp.ones(3, jnp.bfloat16)).dtype == jnp.bfloat16
    bf16 = torch.ones(2, 3, dtype=torch.bfloat16)
    check_table(
        [
            ("aten.mul.Tensor", lambda x, y: x * 0.5 + y, [INTS, bf16]),
            ("aten.where.Scalar", lambda c, y: torch.where(c, 0.0, -1.0) + y, [INTS > 0, bf16]),
            ("aten.full.default", lambda y: torch.full((2, 3), 0.5) + y, [bf16]),
            ("aten.clamp.default", lambda x, y: x.clamp(0.5) + y, [INTS, bf16]),
        ]
    )


def test_division_of_integers():
    check_table(
        [
            ("aten.div.Tensor", lambda x: x / 2, [INTS]),
            ("aten.div.Tensor", lambda x, y: x / y, [INTS.to(torch.int8), torch.tensor([3, 2, 5], dtype=torch.int8)]),
            ("aten.floor_divide.default", lambda x: x // 2, [INTS]),
            ("aten.floor_divide.default", lambda x: x // -2, [INTS]),
            ("aten.remainder.Scalar", lambda x: x % 3, [INTS]),
            ("aten.remainder.Scalar", lambda x: x % -3, [INTS]),
            ("aten.fmod.Scalar", lambda x: torch.fmod(x, 3), [INTS]),
            ("aten.div.Tensor_mode", lambda x: torch.div(x, 2, rounding_mode="trunc"), [INTS]),
            ("aten.div.Tensor_mode", lambda x: torch.div(x, 2, rounding_mode="floor"), [INTS]),
        ]
    )


def test_integers_divide_to_float32_in_64_bit_mode():
    with jax.enable_x64(True):
        assert (jnp.arange(3) / 2).dtype == jnp.float64
        check_table([("aten.div.Tensor", lambda x: x / 2, [INTS]), ("aten.div.Tensor", lambda x: x / (x + 10), [INTS])])
        check_table([("aten.to.dtype", lambda x: x.to(torch.int32).to(torch.int64), [INTS])])
        check_table([("aten.bucketize.Tensor", torch.bucketize, [INTS, torch.tensor([0, 2])])])


def test_a_scaled_operand_is_promoted_first():
    small, half = torch.tensor([[100, 200, 50]], dtype=torch.uint8), X[:2, :3].half()
    assert (jnp.asarray(small.numpy()) * 3)[0, 1] == 600 - 512
    check_table(
        [
            ("aten.add.Tensor", lambda x, y: torch.add(x, y, alpha=3), [INTS, small]),
            ("aten.sub.Tensor", lambda x, y: torch.sub(x, y, alpha=0.3), [X[:2, :3], half]),
            ("aten.rsub.Tensor", lambda x, y: torch.rsub(x, y, alpha=3), [small, INTS]),
            ("aten.addcmul.default", lambda x, y: torch.addcmul(x, y, y, value=2), [INTS, small]),
        ]
    )


def test_a_constant_beyond_int32_is_refused_not_wrapped():
    with pytest.raises(Unsupported, match="does not fit in int32"):
        lowered(lambda x: x + 2**40, INTS)
    with pytest.raises(Unsupported, match="does not fit in int32"):
        lowered(lambda x: torch.full((2,), 2**31), X)


def test_sums_of_small_integers_are_int64():
    small = torch.tensor([100, 100, 100], dtype=torch.int8)
    assert jnp.cumsum(small.numpy()).dtype == jnp.int8
    check_table(
        [
            ("aten.cumsum.default", lambda x: x.cumsum(0), [small]),
            ("aten.sum.default", torch.sum, [small]),
            ("aten.sum.default", torch.sum, [small.to(torch.uint8)]),
            ("aten.prod.default", torch.prod, [small]),
        ]
    )


def test_repeated_indices_accumulate():
    index = torch.tensor([0, 0, 2])
    check_table(
        [
            ("aten.index_put.default", lambda x, i, v: x.index_put((i,), v, accumulate=True), [X, index, X]),
            ("aten.index_add.default", lambda x, i, v: x.index_add(0, i, v), [X, index, X]),
            ("aten.scatter_add.default", lambda x, i, v: x.scatter_add(0, i, v), [X, index[:, None].expand(3, 4), X]),
        ]
    )


def test_of_repeated_indices_one_wins():
    """Which one torch leaves open, too; on a CPU it is the last in both."""
    index = torch.tensor([0, 0, 2])
    check_table(
        [
            ("aten.index_put.default", lambda x, i, v: x.index_put((i,), v), [X, index, X]),
            ("aten.index_copy.default", lambda x, i, v: x.index_copy(0, i, v), [X, index, X]),
            ("aten.scatter.src", lambda x, i, v: x.scatter(0, i, v), [X, index[:, None].expand(3, 4), X]),
        ]
    )


def test_bools_are_added_as_or():
    index, bits = torch.tensor([0, 0, 2]), X > 0
    check_table(
        [
            ("aten.index_put.default", lambda x, i, v: x.index_put((i,), v, accumulate=True), [bits, index, ~bits]),
            ("aten.index_add.default", lambda x, i, v: x.index_add(0, i, v), [bits, index, ~bits]),
            ("aten.scatter_add.default", lambda x, i, v: x.scatter_add(0, i, v), [bits, index[:, None].expand(3, 4), ~bits]),
        ]
    )  # fmt: skip


def test_an_index_out_of_range_reads_no_other_row():
    """torch raises. A compiled JAX program cannot: it gives NaN, which shows, and not the last row."""
    index = torch.tensor([[0], [9], [1]])
    (found,), _ = lowered(lambda x, i: (x.gather(1, i % 10),), X, index)
    np.testing.assert_array_equal(np.isnan(found[:, 0]), [False, True, False])


def test_gather_reads_from_the_start_where_the_index_is_shorter():
    index = torch.tensor([[0, 3], [1, 2]])
    check_table([("aten.gather.default", lambda x, i: x.gather(1, i), [X, index])])


def test_views_show_writes():
    def write_through(x):
        y = x.clone()
        y.view(-1)[2:4] = 0
        y[:, 1].mul_(2)
        return y

    exported = torch.export.export(_module(write_through), (X,), strict=False).run_decompositions({})
    assert not any(
        str(node.target).split(".")[1].endswith("_") for node in exported.graph.nodes if "aten" in str(node.target)
    )
    check_table([("aten.slice_scatter.default", lambda x, v: x.slice_scatter(v, 1, 2, 4), [X, X[:, :2]])])


def _module(function):
    class Module(torch.nn.Module):
        def forward(self, x):
            return function(x)

    return Module()


def test_ties_and_nan_in_orders():
    ties = torch.tensor([2.0, 3.0, NAN, 3.0, NAN, -INF])
    check_table(
        [
            ("aten.sort.stable", lambda x: torch.sort(x, stable=True), [ties]),
            ("aten.sort.stable", lambda x: torch.sort(x, stable=True, descending=True), [ties]),
            ("aten.argsort.stable", lambda x: torch.argsort(x, stable=True), [ties]),
            ("aten.topk.default", lambda x: torch.topk(x, 4).values, [ties]),
            ("aten.argmax.default", torch.argmax, [ties]),
            ("aten.argmin.default", torch.argmin, [ties]),
            ("aten.argmax.default", torch.argmax, [ties[:2]]),
            ("aten.argmax.default", torch.argmax, [ties[[0, 1, 3]]]),
            ("aten.max.dim", lambda x: torch.max(x, 0), [ties]),
            ("aten.amax.default", torch.amax, [ties]),
            ("aten.maximum.default", lambda x: torch.maximum(x, x.flip(0)), [ties]),
            ("aten.clamp.default", lambda x: x.clamp(0, 1), [ties]),
            ("aten.relu.default", torch.relu, [ties]),
            ("aten.median.default", torch.median, [ties]),
            ("aten.cummax.default", lambda x: torch.cummax(x, 0), [ties]),
        ]
    )


def test_nan_of_either_sign_is_the_largest():
    zeros = torch.tensor([1.0, 0.0, 2.0, 0.0])
    nan = zeros / zeros  # the NaN of a division is negative on most machines
    assert not jnp.isnan(jax.lax.top_k(-jnp.abs(jnp.asarray(nan.numpy())), 2)[0]).all()
    check_table(
        [
            ("aten.topk.default", lambda x: torch.topk(x, 2)[0], [nan]),
            ("aten.topk.default", lambda x: torch.topk(-x, 2)[0], [nan]),
            ("aten.topk.default", lambda x: torch.topk(x.half() / x.half(), 3)[0], [zeros]),
            ("aten.sort.stable", lambda x: torch.sort(x, stable=True), [nan]),
            ("aten.argmax.default", torch.argmax, [nan]),
        ]
    )


def test_std_and_var_divide_by_n_minus_one():
    assert not np.allclose(jnp.var(X.numpy(), 1), X.var(1).numpy())
    check_both(
        [
            ("aten.var.dim", lambda x: x.var(1), [X]),
            ("aten.std.dim", lambda x: x.std(1), [X]),
            ("aten.std.correction", lambda x: x.std(1, correction=0), [X]),
        ]
    )


def test_round_half_to_even_and_decimals():
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, 0.125, 2.675, 25.0, 35.0, 0.15, 0.25])
    check_table(
        [
            ("aten.round.default", torch.round, [x]),
            ("aten.round.decimals", lambda x: torch.round(x, decimals=1), [x]),
            ("aten.round.decimals", lambda x: torch.round(x, decimals=-1), [x]),
        ]
    )


def test_edge_values_of_powers_roots_and_logarithms():
    x = torch.tensor([0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e-37, -2.0])
    rows = [("aten.pow.Tensor_Scalar", lambda x, p=p: x**p, [x]) for p in (0, 0.5, -0.5, -1, 2, 3, 1.5)]
    rows += [("aten.pow.Tensor_Tensor", lambda x: x ** x.flip(0), [x[:6]])]
    rows += [(f"aten.{f}.default", getattr(torch, f), [x[x != x[7]]]) for f in ("sqrt", "rsqrt", "log", "log1p")]
    check_table(rows)


def test_integers_to_negative_powers():
    base, exponent = torch.tensor([0, 1, -1, -1, 2, -3, 0]), torch.tensor([-1, -2, -3, -2, -1, 3, 0])
    check_table(
        [
            ("aten.pow.Tensor_Tensor", torch.pow, [base, exponent]),
            ("aten.pow.Scalar", lambda e: 2**e, [exponent]),
            ("aten.pow.Scalar", lambda e: torch.pow(-1, e), [exponent.int()]),
        ]
    )


def test_integers_to_powers_of_more_than_six_bits():
    exponent = torch.tensor([68, 64, 127, 3, 2**20 + 1, -(2**31)], dtype=torch.int32)
    check_table(
        [
            ("aten.pow.Scalar", lambda e: torch.pow(2, e), [exponent]),
            ("aten.pow.Tensor_Tensor", torch.pow, [torch.tensor([2, 3, -1, 5, 3, 3], dtype=torch.int32), exponent]),
            ("aten.pow.Scalar", lambda e: torch.pow(3, e), [torch.tensor([70, 255, 5], dtype=torch.uint8)]),
        ]
    )


def test_branch_cuts_of_complex_functions():
    z = torch.tensor([complex(a, b) for a in (-4.0, 4.0, 0.5, 0.0, -0.0) for b in (0.0, -0.0, 3.0, -3.0)])
    assert jnp.sqrt(z.numpy())[1].imag == -z[1].sqrt().imag.item()
    functions = ("sqrt", "log", "acos", "asin", "acosh", "asinh", "angle", "abs", "exp", "sgn", "log2", "log10")
    check_table([(f"aten.{f}.default", getattr(torch, f), [z]) for f in functions])


def test_searchsorted_and_histograms_exist():
    check_table(
        [
            ("aten.searchsorted.Tensor", torch.searchsorted, [torch.tensor([1.0, 2, 2, 3]), X]),
            ("aten.bucketize.Tensor", lambda x, b: torch.bucketize(x, b, right=True), [X, torch.tensor([-1.0, 0, 1])]),
            ("aten.histc.default", lambda x: torch.histc(x, 5, -2, 2), [X]),
        ]
    )


def test_shapes_that_depend_on_values_are_refused():
    for function in (torch.nonzero, lambda x: x[x > 0], lambda x: torch.masked_select(x, x > 0), torch.unique):
        with pytest.raises(Unsupported, match="values"):
            lowered(function, X)
