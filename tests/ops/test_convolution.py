from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from op_table.convolution import fastest
from tests.ops.harness import check, lowered
from tests.ops.nn_checks import check_both

SIZES = {1: (11,), 2: (9, 11), 3: (7, 6, 8)}
CONV = {n: getattr(F, f"conv{n}d") for n in SIZES}
TRANSPOSE = {n: getattr(F, f"conv_transpose{n}d") for n in SIZES}


def transpose_op(n):
    return f"aten.conv_transpose{n}d." + ("default" if n == 1 else "input")


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"groups": 2, "dilation": 2, "padding": 2},
        {"padding": "same", "dilation": 3},
        {"padding": "valid"},
    ],
    ids=str,
)
def test_conv(n, options):
    groups = options.get("groups", 1)
    x, w, b = torch.randn(2, 4, *SIZES[n]), torch.randn(6, 4 // groups, *(3,) * n), torch.randn(6)
    overload = "padding" if isinstance(options.get("padding"), str) else "default"
    run = check_both if options.get("groups") else check
    run(lambda x, w, b: CONV[n](x, w, b, **options), x, w, b, op=f"aten.conv{n}d.{overload}")


def test_same_padding_of_an_even_kernel_is_larger_behind():
    x, w = torch.randn(2, 3, 8, 9), torch.randn(4, 3, 2, 4)
    check_both(lambda x, w: F.conv2d(x, w, padding="same"), x, w, op="aten.conv2d.padding")


@pytest.mark.parametrize("n", SIZES)
def test_one_example_without_batch_axis(n):
    x, w, b = torch.randn(4, *SIZES[n]), torch.randn(6, 4, *(3,) * n), torch.randn(6)
    check(CONV[n], x, w, b, op=f"aten.conv{n}d.default")
    w = torch.randn(4, 6, *(3,) * n)
    check(TRANSPOSE[n], x, w, b, op=transpose_op(n))


@pytest.mark.parametrize("name, channels, groups, kernel, size", [
    ("small", (1, 8), 1, (7,), (90,)),
    (None, (20, 8), 1, (7,), (90,)),
    ("depthwise", (8, 8), 8, (3, 3), (9, 9)),
    ("grouped", (16, 16), 2, (3, 3), (9, 9)),
    ("grouped", (8, 16), 4, (3, 3), (9, 9)),
    ("grouped", (8, 8), 2, (7,), (30,)),
    ("grouped", (8, 8), 2, (40,), (90,)),
    ("grouped", (24, 36), 6, (3, 3), (9, 9)),  # three groups a convolution
    ("padded", (20, 8), 1, (6,), (90,)),  # more results than inputs
    ("volume", (4, 8), 1, (3, 3, 3), (6, 5, 4)),
    ("volume of groups", (4, 8), 2, (3, 3, 3), (6, 5, 4)),
    ("scan", (8, 8), 2, (5, 5), (4, 4)),  # a kernel longer than the result,
    ("scan", (8, 8), 8, (9, 9), (9, 9)),
    ("scan", (8, 16), 8, (3, 3), (9, 9)),  # some filters a channel,
    ("scan", (144, 144), 72, (3,), (9,)),  # and many groups
])  # fmt: skip
def test_convolutions_are_computed_by_what_is_fast(name, channels, groups, kernel, size):
    n, padding = len(size), tuple(k // 2 for k in kernel)
    x, w = torch.randn(2, channels[0], *size), torch.randn(channels[1], channels[0] // groups, *kernel)
    assert fastest(size, w.shape, (1,) * n, tuple((p, p) for p in padding), (1,) * n, groups) == name
    check_both(lambda x, w: CONV[n](x, w, padding=padding, groups=groups), x, w, op=f"aten.conv{n}d.default")


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_large_integers(groups):
    x, w = torch.randint(10**6, 10**7, (2, 4, 5, 5)), torch.randint(1, 9, (4, 4 // groups, 3, 3))
    conv = partial(F.conv2d, groups=groups)
    np.testing.assert_array_equal(lowered(conv, x, w)[0][0], conv(x, w))


def test_axes_with_options_of_their_own():
    x, w = torch.randn(2, 4, 9, 11), torch.randn(6, 4, 3, 2)
    options = {"stride": (1, 2), "padding": (0, 1), "dilation": (2, 1)}
    check_both(lambda x, w: F.conv2d(x, w, **options), x, w, op="aten.conv2d.default")


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"stride": 2, "groups": 2, "dilation": 2},
        {"stride": 3, "padding": 3},
    ],
    ids=str,
)
def test_conv_transpose(n, options):
    groups = options.get("groups", 1)
    x, w = torch.randn(2, 4, *(s - 3 for s in SIZES[n])), torch.randn(4, 6 // groups, *(3,) * n)
    run = check_both if options.get("groups") else check
    run(lambda x, w, b: TRANSPOSE[n](x, w, b, **options), x, w, torch.randn(6), op=transpose_op(n))


def test_conv_transpose_with_options_of_their_own():
    x, w = torch.randn(2, 4, 5, 6), torch.randn(4, 3, 3, 2)
    options = {"stride": (3, 2), "padding": (0, 1), "output_padding": (2, 0), "dilation": (1, 2)}
    check_both(lambda x, w: F.conv_transpose2d(x, w, **options), x, w, op=transpose_op(2))


@pytest.mark.parametrize("transposed", [False, True])
def test_general_form(transposed):
    x, w, b = torch.randn(2, 4, 6, 7), torch.randn(4, 4, 3, 3), torch.randn(4)
    op = torch.ops.aten.convolution.default
    check(lambda x, w, b: op(x, w, b, [2, 2], [1, 1], [1, 1], transposed, [0, 0], 1), x, w, b, op=str(op))


def test_time_batch_channel():
    x, w, b = torch.randn(7, 2, 4), torch.randn(3, 4, 5), torch.randn(5)
    check_both(lambda x, w, b: torch.conv_tbc(x, w, b, 1), x, w, b, op="aten.conv_tbc.default")


def test_empty_batch_and_half_precision():
    w = torch.randn(6, 4, 3, 3)
    check(F.conv2d, torch.randn(0, 4, 5, 5), w, op="aten.conv2d.default")
    check(F.conv2d, torch.randn(2, 4, 5, 5).bfloat16(), w.bfloat16(), op="aten.conv2d.default")
