"""The forms that XLA runs faster on a CPU, their values and gradients: against torch, and in forward mode against XLA's own."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from jax import lax

from op_table.prelude import activation, channels_last, convolution, dense_convolution, pooling, volumes, windows
from tests.ops.gradients import check_gradient

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
SIZES = {1: (11,), 2: (8, 9), 3: (7, 6, 5)}


def double(*shape):
    return torch.randn(shape, dtype=torch.float64)


def pairs(padding):
    return tuple((n, n) for n in padding)


@pytest.mark.parametrize("axes", SIZES)
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("channels", [3, 200])  # fewer and more than there are results a channel
def test_pointwise_and_patches(axes, kernel, channels):
    x, weight = double(2, channels, *SIZES[axes]), double(4, channels, *(kernel,) * axes)
    stride = (kernel,) * axes
    if kernel == 1:
        strides = tuple(range(1, axes + 1))
        check_gradient(
            lambda x, w: convolution.pointwise_conv(x, w, strides),
            lambda x, w: CONV[axes](x, w, stride=strides),
            x,
            weight,
        )
    check_gradient(convolution.patch_conv, lambda x, w: CONV[axes](x, w, stride=stride), x, weight)


@pytest.mark.parametrize("axes", SIZES)
@pytest.mark.parametrize("outputs", [4, 300])  # a weight smaller and larger than x
def test_patches_with_channels_last(axes, outputs):
    x, weight = double(2, 3, *SIZES[axes]), double(outputs, 3, *(2,) * axes)
    check_gradient(last(channels_last.patch_conv_last), lambda x, w: CONV[axes](x, w, stride=(2,) * axes), x, weight)


WINDOWS = [  # size, kernel, stride, padding, dilation
    ((11,), (3,), (1,), (1,), (1,)),
    ((8, 9), (3, 5), (2, 1), (1, 2), (1, 2)),
    ((4, 4), (7, 7), (1, 1), (3, 3), (1, 1)),
    ((9, 9), (3, 2), (2, 3), (0, 0), (2, 1)),
    ((5, 6, 4), (3, 2, 3), (2, 2, 1), (1, 0, 2), (1, 1, 2)),
    ((2, 2), (3, 3), (1, 1), (1, 1), (1, 1)),
    ((6, 5), (4, 2), (1, 1), (2, 2), (1, 1)),
    ((5, 3, 4), (3, 1, 1), (1, 2, 1), (2, 0, 0), (2, 1, 1)),
]


@pytest.mark.parametrize("size, kernel, stride, padding, dilation", WINDOWS)
def test_convolutions(size, kernel, stride, padding, dilation):
    options, axes = (stride, pairs(padding), dilation), len(size)
    x, dense, depthwise, grouped = (double(2, 4, *size), *(double(4, n, *kernel) for n in (4, 1, 2)))

    def reference(groups):
        return lambda x, w: CONV[axes](x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)

    check_gradient(lambda x, w: convolution.small_conv(x, w, *options), reference(1), x, dense)
    check_gradient(last(channels_last.small_conv_last, *options), reference(1), x, dense)
    check_gradient(lambda x, w: dense_convolution.padded_conv(x, w, *options), reference(1), x, dense)
    check_gradient(last(dense_convolution.padded_conv_last, *options), reference(1), x, dense)
    if axes == 3:
        check_gradient(lambda x, w: volumes.volume_conv(x, w, *options), reference(1), x, dense)
        check_gradient(last(volumes.volume_conv_last, *options), reference(1), x, dense)
        check_gradient(lambda x, w: volumes.grouped_volume_conv(x, w, *options, 2), reference(2), x, grouped)
    check_gradient(lambda x, w: convolution.depthwise_conv(x, w, *options), reference(4), x, depthwise)
    check_gradient(lambda x, w: convolution.grouped_conv(x, w, *options, 2), reference(2), x, grouped)
    for groups, weight in ((2, grouped), (4, depthwise)):
        named = dict(zip(("stride", "padding", "dilation"), options, strict=True))
        scan = partial(convolution.scan_conv, **named, groups=groups)
        check_gradient(scan, reference(groups), x, weight)
        check_gradient(last(channels_last.scan_conv_last, *options, groups), reference(groups), x, weight)
    check_gradient(last(channels_last.grouped_conv_last, *options, 2), reference(2), x, grouped)


def last(function, *options):
    """A function of channels-last images on images as torch has them."""
    return lambda x, w: jnp.moveaxis(function(jnp.moveaxis(x, 1, -1), w, *options), -1, 1)


def test_a_convolution_of_many_results_of_many_inputs_is_no_product():
    text = str(jax.make_jaxpr(lambda x, w: convolution.small_conv(x, w, (1, 1), ((1, 1), (1, 1)), (1, 1)))(
        jnp.zeros((1, 6, 9, 9)), jnp.zeros((2, 6, 3, 3))
    ))  # fmt: skip
    assert "conv_general_dilated" in text and "dot_general" not in text


@pytest.mark.parametrize("form", [convolution.depthwise_conv, channels_last.depthwise_conv_last])
def test_a_depthwise_convolution_is_computed_once_however_often_it_is_read(form):
    """XLA fuses nothing with what it does not inline: there is one computation of the sum, and one of its gradient."""

    def loss(x, weight):
        y = form(x, weight, (1, 1), ((1, 1), (1, 1)), (1, 1))
        return jnp.sum(y * jax.nn.sigmoid(y) + jnp.max(y))

    x, weight = jnp.ones((2, 4, 4, 4)), jnp.ones((4, 1, 3, 3))
    entry = jax.jit(loss).lower(x, weight).compile().as_text().split("ENTRY")[1]
    assert len(re.findall(r" call\(.*shifted_products", entry)) == 1
    assert " multiply(" not in entry.split("shifted_products")[0]
    step = jax.jit(jax.grad(loss, (0, 1))).lower(x, weight).compile().as_text()
    assert re.search(r" call\(.*padded_products", step)


@pytest.mark.parametrize("size, kernel, stride, padding, dilation", WINDOWS)
@pytest.mark.parametrize("groups", [4, 2])
def test_convolutions_of_groups_in_all_modes_of_differentiation(size, kernel, stride, padding, dilation, groups):
    x, weight = (np.random.default_rng(0).normal(size=shape) for shape in ((2, 4, *size), (4, 4 // groups, *kernel)))
    options = stride, pairs(padding), dilation

    def products(x, weight):
        if groups == 4:
            return convolution.depthwise_conv(x, weight, *options)
        return convolution.scan_conv(x, weight, *options, groups)

    def whole(x, weight):
        return lax.conv_general_dilated(x, weight, *options[:2], rhs_dilation=dilation, feature_group_count=groups)

    def modes(function, x, weight):
        """Forward mode, the second derivative and a batch."""
        once = jax.grad(lambda x, w: jnp.sum(jnp.sin(function(x, w))))
        twice = jax.grad(lambda x, w: jnp.sum(jnp.cos(once(x, w))), (0, 1))
        batch = jax.vmap(function, (0, None))(x[:, None], weight)
        return jax.jvp(function, (x, weight), (x + 1, weight + 1)), twice(x, weight), batch

    with jax.enable_x64(True):
        run = jax.jit(modes, static_argnums=0)
        close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10)
        jax.tree.map(close, run(products, x, weight), run(whole, x, weight))
    assert products(x[:0], weight).shape == whole(x[:0], weight).shape


@pytest.mark.parametrize("size, kernel, stride, padding, output_padding", [
    ((5,), (4,), (2,), (1,), (0,)),
    ((5, 4), (2, 2), (2, 2), (0, 0), (0, 0)),
    ((5, 4), (3, 3), (2, 2), (1, 1), (1, 1)),
    ((4, 3), (5, 3), (2, 3), (2, 0), (1, 2)),
    ((1, 1), (4, 4), (1, 1), (0, 0), (0, 0)),
    ((4, 4), (3, 3), (1, 1), (2, 2), (0, 0)),
    ((4, 4), (3, 4), (3, 4), (3, 1), (0, 3)),
    ((3, 2, 3), (3, 2, 4), (2, 1, 2), (1, 0, 1), (1, 0, 0)),
    ((4, 4), (1, 2), (2, 2), (0, 0), (1, 1)),
    ((3, 3), (5, 5), (5, 5), (0, 0), (0, 0)),
])  # fmt: skip
def test_transposed_convolutions(size, kernel, stride, padding, output_padding):
    options = {"stride": stride, "padding": padding, "output_padding": output_padding}
    forms = [convolution.conv_transpose, *([volumes.volume_conv_transpose] if len(size) == 3 else [])]
    for groups, channels, of_group in ((1, 3, 4), (2, 4, 3), (4, 4, 1), (18, 18, 2)):
        x, weight, bias = double(2, channels, *size), double(channels, of_group, *kernel), double(of_group * groups)
        for form in forms:
            check_gradient(
                partial(form, **options, groups=groups),
                partial(TRANSPOSE[len(size)], **options, groups=groups),
                x, weight, bias,
            )  # fmt: skip
            found = form(jnp.zeros((0, *x.shape[1:])), jnp.ones(weight.shape), **options, groups=groups)
            assert found.shape == TRANSPOSE[len(size)](x[:0], weight, **options, groups=groups).shape


@pytest.mark.parametrize("size, kernel, stride, padding", [(9, 3, 2, 1), (8, 2, 2, 0), (7, 3, 1, 1), (70, 66, 3, 5)])
def test_pools(size, kernel, stride, padding):
    x, options = double(2, 3, 6, size), {"stride": (1, stride), "padding": (0, padding)}
    check_gradient(
        lambda x: pooling.max_pool(x, (2, kernel), **options), lambda x: F.max_pool2d(x, (2, kernel), **options), x
    )
    ties = x.round().clone()  # of which the first has the gradient
    check_gradient(
        lambda x: pooling.max_pool(x, (2, kernel), **options), lambda x: F.max_pool2d(x, (2, kernel), **options), ties
    )
    check_gradient(
        lambda x: pooling.avg_pool(x, (2, kernel), **options), lambda x: F.avg_pool2d(x, (2, kernel), **options), x
    )
    x = x.detach().clone()
    x[0, 0, 2, 3] = torch.nan
    found = pooling.max_pool(jnp.asarray(x.numpy()), (2, kernel), **options)
    np.testing.assert_array_equal(jnp.isnan(found), F.max_pool2d(x, (2, kernel), **options).isnan())


@pytest.mark.parametrize("output", [(2, 3), (3, 3), (4, 5), (12, 9)])
def test_adaptive_pools(output):
    check_gradient(
        lambda x: windows.adaptive_avg_pool(x, output), lambda x: F.adaptive_avg_pool2d(x, output), double(2, 3, 12, 9)
    )


def test_gelu():
    check_gradient(activation.gelu, F.gelu, torch.linspace(-9, 9, 101))
