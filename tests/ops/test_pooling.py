import jax
import jax.numpy as jnp
import pytest
import torch
import torch.nn.functional as F

from op_table.prelude import pooling, windows
from tests.ops.harness import check
from tests.ops.nn_checks import check_both

SIZES = {1: (11,), 2: (9, 11), 3: (5, 6, 7)}


def image(n):
    return torch.randn(2, 3, *SIZES[n])


MAX = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "stride": 2, "dilation": 3, "padding": 1, "ceil_mode": True},
]


@pytest.mark.parametrize("n, options", [(1, MAX[3]), *((2, o) for o in MAX), (3, MAX[1]), (3, MAX[4])], ids=str)
def test_max_pool(n, options):
    pool = getattr(F, f"max_pool{n}d")
    check(lambda x: pool(x, **options), image(n), op=f"aten.max_pool{n}d.default")
    if n == 2:
        name = "aten.max_pool2d_with_indices.default"
        check(lambda x: pool(x, **options, return_indices=True), image(n), op=name)


def test_max_pool_of_other_dtypes_and_ranks():
    op = "aten.max_pool2d.default"
    check(lambda x: F.max_pool2d(x, 2), torch.randint(-9, 9, (2, 4, 4)), op=op)
    check(lambda x: F.max_pool2d(x, 2, dilation=2), torch.randint(-9, 9, (2, 4, 4)), op=op)
    check(lambda x: F.max_pool2d(x, (2, 3), (1, 2)), image(2)[0].bfloat16(), op=op)
    check(lambda x: F.max_pool2d(x, 2), torch.full((1, 1, 4, 4), -torch.inf), op=op)


def test_max_pool_propagates_nan_and_finds_the_first_of_ties():
    x = torch.randint(0, 3, (1, 2, 6, 6)).float()
    check(lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True), x)
    x[0, 0, 2, 3] = torch.nan
    check(lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True), x)


@pytest.mark.parametrize("n", [1, 3])
def test_max_pool_with_indices(n):
    pool = getattr(F, f"max_pool{n}d")
    check(lambda x: pool(x, 3, 2, 1, return_indices=True), image(n), op=f"aten.max_pool{n}d_with_indices.default")


AVERAGE = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
    {"kernel_size": 4, "stride": 3, "padding": 2, "ceil_mode": True},
    {"kernel_size": 4, "stride": 3, "padding": 1, "ceil_mode": True, "count_include_pad": False},
]


@pytest.mark.parametrize("n, options", [(1, AVERAGE[2]), *((2, o) for o in AVERAGE), (3, AVERAGE[6])], ids=str)
def test_avg_pool(n, options):
    pool = getattr(F, f"avg_pool{n}d")
    run = check_both if n == 2 and "count_include_pad" in options else check
    run(lambda x: pool(x, **options), image(n), op=f"aten.avg_pool{n}d.default")


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_avg_pool_divisor_and_axes_of_their_own(ceil_mode):
    op = "aten.avg_pool2d.default"
    check(lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode, divisor_override=5), image(2), op=op)
    check(lambda x: F.avg_pool2d(x, (2, 3), (3, 2), (0, 1), ceil_mode, False), image(2)[0], op=op)
    with jax.enable_x64(True):  # where what is counted in float64 would be a float64
        check(lambda x: F.avg_pool2d(x, (2, 3), (3, 2), (0, 1), ceil_mode, False), image(2), op=op)


@pytest.mark.parametrize("output", [1, 4, 12, (None, 1)], ids=str)
def test_adaptive_pools(output):
    run = check_both if output == 4 else check
    run(lambda x: F.adaptive_avg_pool2d(x, output), image(2), op="aten.adaptive_avg_pool2d.default")
    op = "aten.adaptive_max_pool2d.default"
    run(lambda x: F.adaptive_max_pool2d(x, output, return_indices=True), image(2), op=op)


@pytest.mark.parametrize("n, output", [(1, 4), (3, 4), (3, 1)])
def test_adaptive_pools_of_other_ranks(n, output):
    average, maximum = getattr(F, f"adaptive_avg_pool{n}d"), getattr(F, f"adaptive_max_pool{n}d")
    check(lambda x: average(x, output), image(n), op=f"aten.adaptive_avg_pool{n}d.default")
    check(lambda x: maximum(x, output, return_indices=True), image(n), op=f"aten.adaptive_max_pool{n}d.default")


def test_adaptive_max_pool_of_ties():
    check(lambda x: F.adaptive_max_pool2d(x, 3, return_indices=True), torch.zeros(1, 1, 7, 8))


def test_half_precision_accumulates_in_float32():
    x = (image(2) + 30).bfloat16()
    check(lambda x: F.avg_pool2d(x, 7), x, op="aten.avg_pool2d.default", tolerance=4e-3)
    check(lambda x: F.adaptive_avg_pool2d(x, 2), x, op="aten.adaptive_avg_pool2d.default", tolerance=4e-3)
    check(lambda x: F.adaptive_avg_pool2d(x, 1), x, op="aten.adaptive_avg_pool2d.default", tolerance=4e-3)


def test_max_unpool():
    def unpool(x):
        return F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)

    check_both(unpool, torch.randn(2, 3, 8, 6), op="aten.max_unpool2d.default")
    places = torch.tensor([[[[[3, 9]]]]])
    op = torch.ops.aten.max_unpool3d.default
    check(lambda x, i: op(x, i, [2, 3, 2], [1, 1, 1], [0, 0, 0]), torch.randn(1, 1, 1, 1, 2), places, op=str(op))


@pytest.mark.parametrize("options", MAX, ids=str)
def test_gradient_of_max_pool(options):
    """JAX has no gradient of a dilated reduce_window: dilation goes another way."""
    x = torch.randn(1, 2, 7, 8, requires_grad=True)
    F.max_pool2d(x, **options).sin().sum().backward()
    options = {"padding": 0, "dilation": 1, "ceil_mode": False, "stride": options["kernel_size"]} | options
    kernel, ceil = (options.pop("kernel_size"),) * 2, options.pop("ceil_mode")
    if ceil:
        options["padding"] = pooling.ceil_padding((7, 8), kernel, **options)
    pool = windows.max_pool_dilated
    if options["dilation"] == 1:
        pool = pooling.max_pool
        del options["dilation"]
    gradient = jax.grad(lambda x: jnp.sum(jnp.sin(pool(x, kernel, **options))))(jnp.asarray(x.detach().numpy()))
    assert jnp.allclose(gradient, x.grad.numpy(), atol=1e-6)


@pytest.mark.parametrize("output", [(4, 5), (1, 3)])
def test_fractional_max_pool(output):
    def pool(x, samples):
        return F.fractional_max_pool2d(x, (2, 3), output, _random_samples=samples, return_indices=True)

    check_both(pool, image(2), torch.rand(2, 3, 2), op="aten.fractional_max_pool2d.default")


def test_fractional_max_pool_of_volumes():
    def pool(x, samples):
        return F.fractional_max_pool3d(x, 2, (2, 3, 4), _random_samples=samples, return_indices=True)

    check(pool, image(3), torch.rand(2, 3, 3), op="aten.fractional_max_pool3d.default")


def test_max_pool_backward():
    x = image(2)
    places = F.max_pool2d(x, 2, 1, return_indices=True)[1]
    op = torch.ops.aten.max_pool2d_with_indices_backward.default
    check(
        lambda g, x, i: op(g, x, [2, 2], [1, 1], [0, 0], [1, 1], False, i),
        torch.randn(places.shape),
        x,
        places,
        op=str(op),
    )


def test_fractional_max_pool_without_a_batch():
    def pool(x, samples):
        return F.fractional_max_pool2d(x, 2, 3, _random_samples=samples, return_indices=True)

    for items in (1, 2):  # of samples for two, torch takes the first
        check(pool, image(2)[0], torch.rand(items, 3, 2), op="aten.fractional_max_pool2d.default")


@pytest.mark.parametrize(
    "options", [{}, {"padding": 1}, {"ceil_mode": True}, {"padding": 1, "count_include_pad": False}]
)
def test_average_pooling_of_integers_drops_the_rest(options):
    x = torch.arange(-9, 9).reshape(1, 3, 6)
    check(lambda x: F.avg_pool1d(x, 3, 2, **options), x, op="aten.avg_pool1d.default")
    check(lambda x: F.avg_pool2d(x, 2, divisor_override=3), x, op="aten.avg_pool2d.default")
