"""Elementwise arithmetic, with edge values, promotion and every overload."""

import math

import jax
import numpy as np
import pytest
import torch

from op_table.prelude import branches
from tests.ops.harness import check, lowered
from tests.ops.tables import check_both, check_table

torch.manual_seed(0)
aten = torch.ops.aten
NAN, INF = float("nan"), float("inf")
EDGES = torch.tensor([-INF, -2.5, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 1.5, 2.5, 3.5, INF, NAN])
UNIT = torch.linspace(-0.99, 0.99, 12).reshape(3, 4)
ABOVE = torch.rand(3, 4) * 4 + 0.1
INTS = torch.arange(-4, 8).reshape(3, 4)
HALF = torch.randn(3, 4, dtype=torch.float16)
BF16 = torch.randn(3, 4).bfloat16()
BOOLS = torch.tensor([[True, False, True, True]])

EVERYWHERE = """abs angle cos deg2rad erf erfc exp exp2 expm1 isfinite isinf isnan isneginf isposinf neg
    rad2deg sgn sign sin sinc square tanh atan asinh ceil floor trunc frac round i0 nan_to_num positive
    cosh sinh special_ndtr special_i0e special_i1 special_i1e special_log_ndtr signbit isreal reciprocal""".split()
INSIDE = "acos asin atanh erfinv tan special_entr".split()
POSITIVE = "digamma lgamma log log10 log1p log2 rsqrt sqrt acosh special_entr".split()
OF_INTEGERS = "abs neg sign sgn ceil floor trunc round exp sin sqrt isnan isfinite isinf square reciprocal".split()


def unary(names, x):
    return [(f"aten.{name}.default", getattr(aten, name), [x]) for name in names]


def test_unary_at_edge_values():
    # torch's i0e of infinity and log_ndtr of NaN are its own affair.
    skip = {"special_i0e", "special_i1e", "special_i1", "i0", "special_log_ndtr", "sinc", "isreal"}
    check_table(unary([name for name in EVERYWHERE if name not in skip], EDGES))


def test_unary():
    check_both(unary(EVERYWHERE, UNIT * 3) + unary(INSIDE, UNIT), tolerance=1e-11)
    check_both(unary(POSITIVE, ABOVE + 1), tolerance=1e-11)
    check_table(unary("log log2 sqrt rsqrt log1p lgamma".split(), EDGES[5:]))


def test_digamma_at_its_poles():
    x = torch.tensor([0.0, -0.0, -1.0, -2.0, -0.5, 1.0, INF, -INF, NAN])
    names = ["digamma", "special_digamma", "special_psi"]
    check_table([*unary(names, x), ("aten.polygamma.default", lambda x: torch.polygamma(0, x), [x])])
    check_table(unary(names, INTS))


def test_exp2_keeps_its_digits_at_large_arguments():
    x = torch.cat([torch.linspace(-120, 127, 500), EDGES])
    check_table(unary(["exp2", "special_exp2"], x), tolerance=3e-7)
    check_table(unary(["exp2"], INTS) + unary(["exp2"], HALF) + unary(["exp2"], BF16), tolerance=1e-2)


def test_unary_of_integers_and_half():
    check_table(unary(OF_INTEGERS, INTS) + unary(OF_INTEGERS[:8], INTS.to(torch.int8)))
    check_table(unary("exp tanh sin abs neg rsqrt erf".split(), HALF.abs() + 0.1))
    check_table(unary("exp tanh sin abs neg rsqrt erf".split(), BF16.abs() + 0.1), tolerance=1e-2)


@pytest.mark.parametrize("decimals", [1, 3, -1, -2])
def test_round_decimals(decimals):
    x = torch.tensor([0.25, 0.35, 123.456, -15.0, 25.0, 0.5, 1.5])
    check(lambda x: torch.round(x, decimals=decimals), x, op="aten.round.decimals")
    numbers = torch.arange(-2000.0, 2000.0) * (7 * 10**-decimals)  # to the last bit: 3 * 0.1 is not 3 / 10
    check(lambda x: torch.round(x, decimals=decimals), numbers, op="aten.round.decimals", tolerance=0.0)


def test_unary_with_arguments():
    x, u = EDGES, UNIT / 2 + 0.5
    check_both(
        [
            ("aten.nan_to_num.default", lambda x: torch.nan_to_num(x, 1.5, posinf=7.0, neginf=-7.0), [x]),
            ("aten.nan_to_num.default", lambda x: torch.nan_to_num(x, nan=0.0, posinf=0.0), [x]),
            ("aten.nan_to_num.default", torch.nan_to_num, [INTS]),
            ("aten.logit.default", torch.logit, [u]),
            ("aten.logit.default", lambda x: torch.logit(x, 0.2), [u]),
            ("aten.polygamma.default", lambda x: torch.polygamma(0, x), [ABOVE]),
            ("aten.frexp.Tensor", torch.frexp, [ABOVE]),
        ],
        tolerance=1e-10,
    )
    # torch's own series for the trigamma function ends early.
    check_table([("aten.polygamma.default", lambda x: torch.polygamma(1, x), [ABOVE])])


PAIRS = [
    (torch.randn(3, 4), torch.randn(4)),
    (torch.randn(3, 1), torch.randn(3, 4)),
    (HALF, torch.randn(3, 4)),
    (HALF, torch.tensor(1.5, dtype=torch.float64)),
    (BF16, torch.tensor(2)),
    (INTS, torch.tensor([1.5, -2.5, 3.0, 0.5])),
    (INTS, torch.tensor([1, -2, 3, 5])),
    (INTS.to(torch.int8), torch.tensor([1, -2, 3, 5])),
    (torch.randn(3, 4), torch.tensor([1, -2, 3, 5])),
    (torch.tensor(2.5), INTS),
    (HALF, BF16),
]
ARITHMETIC = {
    "add.Tensor": torch.add,
    "sub.Tensor": torch.sub,
    "mul.Tensor": torch.mul,
    "div.Tensor": torch.div,
    "rsub.Tensor": torch.rsub,
    "maximum.default": torch.maximum,
    "minimum.default": torch.minimum,
    "max.other": torch.max,
    "remainder.Tensor": torch.remainder,
    "fmod.Tensor": torch.fmod,
    "floor_divide.default": torch.floor_divide,
    "fmax.default": torch.fmax,
    "fmin.default": torch.fmin,
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_binary_promotes_like_torch(name):
    check_table([(f"aten.{name}", ARITHMETIC[name], pair) for pair in PAIRS], tolerance=1e-2 if "rem" in name else None)


@pytest.mark.parametrize("scalar", [2, -3, 2.5, True])
def test_scalars_are_weak(scalar):
    functions = {
        "add.Tensor": torch.add,
        "mul.Tensor": torch.mul,
        "div.Tensor": torch.div,
        "remainder.Scalar": torch.remainder,
        "fmod.Scalar": torch.fmod,
        "floor_divide.default": torch.floor_divide,
        "rsub.Scalar": torch.rsub,
        "sub.Tensor": torch.sub,
    }
    if scalar is True:
        functions = {name: f for name, f in functions.items() if name in ("add.Tensor", "mul.Tensor", "div.Tensor")}
    inputs = [UNIT, HALF, BF16, INTS, INTS.to(torch.int16)]
    check_table([(f"aten.{n}", lambda x, f=f: f(x, scalar), [x]) for n, f in functions.items() for x in inputs], 1e-2)
    check_table([(f"aten.{n}", lambda x, f=f: f(x, scalar), [UNIT]) for n, f in functions.items()])


def test_bools():
    check_table(
        [
            ("aten.add.Tensor", torch.add, [BOOLS, BOOLS[:, ::2].repeat(1, 2)]),
            ("aten.mul.Tensor", torch.mul, [BOOLS, ~BOOLS]),
            ("aten.mul.Tensor", torch.mul, [BOOLS, UNIT]),
            ("aten.add.Tensor", lambda x: x + 1, [BOOLS]),
            ("aten.mul.Tensor", lambda x: x * -1e4, [BOOLS]),
            ("aten.div.Tensor", lambda x: x / 2, [BOOLS]),
            ("aten.sgn.default", torch.sgn, [BOOLS]),
            ("aten.sign.default", torch.sign, [BOOLS]),
        ]
    )


def test_alpha_and_scalar_overloads():
    x, y, i = UNIT, UNIT.flip(1), INTS
    ends = torch.tensor([-math.inf, math.inf, 1.0, 0.0, 3.0])
    check_both(
        [
            ("aten.add.Tensor", lambda x, y: torch.add(x, y, alpha=2), [x, y]),
            ("aten.add.Tensor", lambda x, y: torch.add(x, y, alpha=2), [i, i]),
            ("aten.add.Tensor", lambda x, y: torch.add(x, y, alpha=2), [i > 0, i < 1]),
            ("aten.sub.Tensor", lambda x, y: torch.sub(x, y, alpha=0.5), [x, y]),
            ("aten.rsub.Tensor", lambda x, y: torch.rsub(x, y, alpha=0.5), [x, y]),
            ("aten.rsub.Scalar", lambda x: aten.rsub.Scalar(x, 3, 2), [i]),
            ("aten.add.Scalar", lambda x: aten.add.Scalar(x, 3, 2), [x]),
            ("aten.sub.Scalar", lambda x: aten.sub.Scalar(x, 3.5), [x]),
            ("aten.mul.Scalar", lambda x: aten.mul.Scalar(x, 3.5), [x]),
            ("aten.div.Scalar", lambda x: aten.div.Scalar(x, 3.5), [x]),
            ("aten.remainder.Scalar_Tensor", lambda x: torch.remainder(5, x), [i.abs() + 1]),
            ("aten.lerp.Scalar", lambda x, y: torch.lerp(x, y, 0.3), [x, y]),
            ("aten.lerp.Scalar", lambda x, y: torch.lerp(x, y, 0.5), [ends, ends.flip(0)]),
            ("aten.lerp.Tensor", torch.lerp, [ends, ends.flip(0), torch.rand(5)]),
            ("aten.lerp.Tensor", torch.lerp, [x, y, torch.rand(3, 4)]),
            ("aten.addcmul.default", lambda x, a, b: torch.addcmul(x, a, b, value=0.5), [x, y, y[0]]),
            ("aten.addcmul.default", torch.addcmul, [x, y, y[0]]),
            ("aten.special_xlogy.default", torch.special.xlogy, [x, ABOVE.half()]),
            ("aten.addcdiv.default", lambda x, a, b: torch.addcdiv(x, a, b, value=2), [x, y, ABOVE]),
        ]
    )


@pytest.mark.parametrize("mode", [None, "trunc", "floor"])
def test_div_rounding_mode(mode):
    x = torch.tensor([-7.0, -6.0, -0.5, 0.0, 5.0, 7.5])
    divide = lambda x, y: torch.div(x, y, rounding_mode=mode)
    check_table(
        [
            ("aten.div.Tensor_mode", divide, [x, torch.tensor([2.0, -2.0, 0.25, 3.0, -2.0, 2.5])]),
            ("aten.div.Tensor_mode", divide, [INTS, torch.tensor([3, -3, 2, -2])]),
            ("aten.div.Tensor_mode", lambda x: divide(x, 3), [INTS]),
            ("aten.div.Tensor_mode", lambda x: divide(x, -2.5), [INTS]),
            ("aten.div.Scalar_mode", lambda x: aten.div.Scalar_mode(x, 2, rounding_mode=mode), [x]),
        ]
    )


def test_float_division_at_edges():
    x = torch.tensor([1.0, -1.0, 0.0, INF, -INF, NAN, 5.0, -5.0])
    for y in (torch.tensor(0.0), torch.tensor(INF), torch.tensor(-2.0)):
        check_table(
            [("aten.div.Tensor", torch.div, [x, y]), ("aten.remainder.Tensor", torch.remainder, [x, y])]
            + [("aten.fmod.Tensor", torch.fmod, [x, y])]
            + ([("aten.floor_divide.default", torch.floor_divide, [x, y])] if y.isfinite() else [])
        )


@pytest.mark.parametrize("exponent", [2, 3, 2.0, 3.0, 0.5, -0.5, 1, -1, -2, 0, 2.5, 0.0, -1.5])
def test_pow_scalar(exponent):
    pow = lambda x: torch.pow(x, exponent)
    rows = [("aten.pow.Tensor_Scalar", pow, [x]) for x in (EDGES, torch.tensor([0.0, -0.0]), HALF.abs() + 0.1)]
    if exponent >= 0:
        rows += [("aten.pow.Tensor_Scalar", pow, [x]) for x in (INTS.abs(), BOOLS)]
    check_table(rows)


def test_pow():
    check_both(
        [
            ("aten.pow.Tensor_Tensor", torch.pow, [ABOVE, UNIT]),
            ("aten.pow.Tensor_Tensor", torch.pow, [EDGES[:, None], torch.tensor([0.0, 1.0, 2.0, -1.0, INF, NAN])]),
            ("aten.pow.Tensor_Tensor", torch.pow, [INTS, torch.tensor([0, 1, 2, 3])]),
            ("aten.pow.Tensor_Tensor", torch.pow, [ABOVE, INTS]),
            ("aten.pow.Scalar", lambda x: torch.pow(2, x), [UNIT]),
            ("aten.pow.Scalar", lambda x: torch.pow(2.0, x), [INTS]),
            ("aten.pow.Scalar", lambda x: torch.pow(10000, x), [UNIT]),
            ("aten.pow.Scalar", lambda x: torch.pow(-2, x), [INTS.abs()]),
        ]
    )


def test_other_binaries():
    x, y = UNIT, UNIT.flip(0) * 2
    names = "atan2 copysign hypot logaddexp logaddexp2 nextafter xlogy heaviside ldexp".split()
    overload = {"copysign": "Tensor", "xlogy": "Tensor", "ldexp": "Tensor"}
    rows = [(f"aten.{n}.{overload.get(n, 'default')}", getattr(torch, n), [x.abs(), y.abs()]) for n in names]
    rows += [(f"aten.{n}.{overload.get(n, 'default')}", getattr(torch, n), [x, y]) for n in ("atan2", "copysign")]
    rows += [
        ("aten.gcd.default", torch.gcd, [INTS, INTS.flip(0)]),
        ("aten.lcm.default", torch.lcm, [INTS.abs() + 1, INTS.flip(0).abs() + 1]),
        ("aten.copysign.Scalar", lambda x: torch.copysign(x, -1.0), [x]),
        ("aten.heaviside.default", torch.heaviside, [EDGES, torch.tensor(0.5)]),
        ("aten.xlogy.Tensor", torch.xlogy, [torch.tensor([0.0, 0.0, 1.0]), torch.tensor([NAN, 0.0, 0.0])]),
        ("aten.special_xlogy.default", torch.special.xlogy, [x.abs(), y.abs()]),
        ("aten.special_xlog1py.default", torch.special.xlog1py, [x, y.abs()]),
        ("aten.special_gammainc.default", torch.special.gammainc, [ABOVE, ABOVE.flip(0)]),
        ("aten.special_gammaincc.default", torch.special.gammaincc, [ABOVE, ABOVE.flip(0)]),
        ("aten.xlogy.Scalar_Other", lambda x: torch.xlogy(x, 2.0), [x]),
        ("aten.xlogy.Scalar_Self", lambda x: torch.xlogy(2.0, x), [ABOVE]),
        ("aten.special_zeta.default", torch.special.zeta, [ABOVE + 1.5, ABOVE]),
        ("aten.float_power.Tensor_Scalar", lambda x: torch.float_power(x, 2), [INTS]),
    ]
    check_table(rows)


def test_nan_wins_in_maximum_and_minimum():
    y = torch.tensor([1.0])
    functions = {"maximum": torch.maximum, "minimum": torch.minimum, "fmax": torch.fmax, "fmin": torch.fmin}
    check_table([(f"aten.{n}.default", f, [EDGES, y]) for n, f in functions.items()])


def test_complex_sign_and_logaddexp():
    z = torch.randn(12, dtype=torch.complex64) * 3
    z[0] = 0
    check_table(
        [
            ("aten.sgn.default", lambda z: z.sgn(), [z]),
            ("aten.logaddexp.default", lambda z, w: torch.logaddexp(z, w), [z, z.flip(0)]),
        ]
    )


def test_gradient_of_complex_sign():
    z = torch.tensor([1 + 2j, -3j, -2.0], requires_grad=True)
    seed = torch.tensor([1 - 1j, 2j, 0.5 + 1j])
    expected = torch.autograd.grad(z.sgn(), z, seed)[0].numpy()
    _, pullback = jax.vjp(branches.complex_sign, z.detach().numpy())
    np.testing.assert_allclose(np.conj(pullback(np.conj(seed.numpy()))[0]), expected, atol=1e-6)


def test_decimals_of_half_precision_are_rounded_in_float32():
    x = torch.linspace(-5, 5, 401)
    check_table(
        [
            ("aten.round.decimals", lambda x: x.round(decimals=1), [x.half()]),
            ("aten.round.decimals", lambda x: x.round(decimals=1), [x.bfloat16()]),
            ("aten.round.decimals", lambda x: x.round(decimals=-1), [x.half() * 10]),
        ],
        tolerance=0.0,
    )


BYTES = torch.tensor([[3, 4, 0, 250]], dtype=torch.uint8)


REAL = {
    "div.Tensor": torch.div,
    "atan2.default": torch.atan2,
    "copysign.Tensor": torch.copysign,
    "xlogy.Tensor": torch.xlogy,
    "special_xlog1py.default": torch.special.xlog1py,
    "special_zeta.default": torch.special.zeta,
}


def test_integers_are_real_numbers_at_once():
    """Not first of their common dtype, in which a 0-d integer may not fit."""
    pairs = [
        (BYTES, torch.tensor(-3)),
        (BYTES, torch.tensor(300)),
        (torch.tensor(-3), BYTES),
        (torch.tensor([3, -4, 0, 100], dtype=torch.int8), torch.tensor(1000)),
        (torch.tensor([True, False]), torch.tensor(-2)),
        (BYTES, torch.tensor([-300], dtype=torch.int16)),
    ]
    check_table([(f"aten.{name}", function, pair) for name, function in REAL.items() for pair in pairs])


@pytest.mark.parametrize("scalar", [-3, 300, 2])
def test_bytes_and_a_scalar(scalar):
    check(lambda x: (x / scalar, torch.copysign(x, scalar), torch.xlogy(x, scalar), scalar / x), BYTES)


def test_sinc_of_half_precision_is_rounded_once():
    """At whole numbers it is next to zero, which a product with pi in half precision is not."""
    whole = torch.arange(-4.0, 5.0)
    for dtype in (torch.float16, torch.bfloat16):
        output, _ = lowered(torch.sinc, whole.to(dtype))
        assert np.abs(np.asarray(output, np.float32) - np.asarray(torch.sinc(whole.to(dtype)).float())).max() < 1e-6
    check(torch.sinc, INTS)
