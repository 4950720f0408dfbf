"""torch.special's Airy and Bessel functions and orthogonal polynomials, with edge values, promotion and every overload."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from op_table.prelude import bessel, polynomials, special
from tests.ops.tables import check_both, check_table

aten = torch.ops.aten
NAN, INF = float("nan"), float("inf")
EDGES = torch.tensor([0.0, -0.0, -1.0, 1e-30, -1e-30, 200.0, -200.0, 1e10, INF, -INF, NAN])
NEAR = torch.linspace(-9.0, 9.0, 73).reshape(1, 73)
WIDE = torch.linspace(-60.0, 110.0, 341)
INTS = torch.arange(-4, 8).reshape(3, 4)
BOOLS = torch.tensor([True, False])

WAVES = "airy_ai bessel_j0 bessel_j1 spherical_bessel_j0".split()
POSITIVE = """bessel_y0 bessel_y1 modified_bessel_k0 modified_bessel_k1 scaled_modified_bessel_k0
    scaled_modified_bessel_k1""".split()
GROWING = "modified_bessel_i0 modified_bessel_i1 erfcx".split()
FUNCTIONS = WAVES + POSITIVE + GROWING

KINDS = [f"chebyshev_polynomial_{kind}" for kind in "tuvw"]
POLYNOMIALS = [
    *KINDS,
    *(f"shifted_{name}" for name in KINDS),
    "hermite_polynomial_h",
    "hermite_polynomial_he",
    "laguerre_polynomial_l",
    "legendre_polynomial_p",
]
X = torch.tensor([-1.5, -1.0, -0.6, -0.01, 0.0, 0.01, 0.5, 0.75, 1.0, 1.01, 2.0]).reshape(-1, 1)
DEGREES = torch.tensor([-2.0, -0.5, 0.0, 0.7, 1.0, 2.0, 3.0, 4.9, 5.0])


def each(names, *inputs):
    return [(f"aten.special_{name}.default", getattr(aten, f"special_{name}"), list(inputs)) for name in names]


def test_functions_near_zero():
    check_both(each(FUNCTIONS, NEAR))


def test_functions_far_from_zero():
    check_both(each(WAVES + POSITIVE, WIDE))
    check_both(each(GROWING, torch.linspace(0.0, 60.0, 121)))


def test_functions_at_edge_values():
    check_table(each(FUNCTIONS, EDGES))


def test_functions_of_integers():
    check_table(each(FUNCTIONS, INTS) + each(FUNCTIONS, BOOLS))


def test_erfcx_keeps_its_digits_in_small_results():
    x = np.array([0.0, 1e-3, 0.7, 3.0, 20.0, 1e3, 1e8], np.float32)
    wanted = torch.special.erfcx(torch.tensor(x).double()).numpy()
    np.testing.assert_allclose(special.erfcx(jnp.asarray(x)), wanted, rtol=1e-6)


def test_polynomials():
    check_both(each(POLYNOMIALS, X, DEGREES))


def test_polynomials_of_high_degree():
    degrees = torch.tensor([6.0, 7.0, 8.0, 9.0, 10.0, 21.0])
    x = X[2:9]
    for name in POLYNOMIALS:
        check_both(each([name], x, degrees), tolerance=1e-11)


def test_polynomials_at_edge_values():
    # torch leaves the value at NaN unset from degree 2 on.
    check_table(each(POLYNOMIALS, torch.tensor([INF, -INF]).reshape(-1, 1), torch.arange(-1, 5)))
    check_table(each(POLYNOMIALS, torch.tensor([NAN]), torch.tensor([-1.0, 0.0, 1.0])))
    check_table(each(POLYNOMIALS, torch.tensor([0.5]), torch.tensor([INF, -INF, NAN])))


def test_hermite_polynomials_end_with_a_degree():
    names = ["hermite_polynomial_h", "hermite_polynomial_he"]
    rows = each(names, torch.tensor([0.5, 0.0]).reshape(-1, 1), torch.tensor([20.0, 128.0, 129.0, 600.0]))
    check_both(rows)


def test_polynomials_of_scalars_and_integers():
    rows = []
    for name in POLYNOMIALS:
        op = getattr(aten, f"special_{name}")
        degrees = torch.arange(4)
        rows += [
            (f"aten.special_{name}.n_scalar", lambda x, op=op: op.n_scalar(x, 3), [X]),
            (f"aten.special_{name}.n_scalar", lambda x, op=op: op.n_scalar(x, 2.5), [INTS]),
            (f"aten.special_{name}.x_scalar", lambda n, op=op: op.x_scalar(0.3, n), [degrees]),
            (f"aten.special_{name}.x_scalar", lambda n, op=op: op.x_scalar(2, n), [degrees]),
            (f"aten.special_{name}.default", op, [INTS, degrees]),
            (f"aten.special_{name}.default", op, [X, degrees]),
            (f"aten.special_{name}.default", op, [torch.tensor([True, False]), torch.tensor(True)]),
        ]
    check_table(rows)


def test_gradients_have_no_nan():
    functions = [special.airy_ai, special.erfcx, special.spherical_bessel_j0, bessel.bessel_j0, bessel.bessel_j1]
    for function in functions:
        slopes = jax.vmap(jax.grad(function))(jnp.array([-30.0, -3.0, -1e-3, 0.0, 1e-3, 0.4, 4.0, 30.0, 500.0]))
        assert not jnp.isnan(slopes).any(), function
    for function in (bessel.bessel_y0, bessel.bessel_y1, bessel.modified_bessel_k0, bessel.modified_bessel_k1):
        slopes = jax.vmap(jax.grad(function))(jnp.array([-30.0, -1.0, 1e-3, 1.0, 2.0, 4.0, 30.0, 500.0]))
        assert not jnp.isnan(slopes).any(), function


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_gradients_of_polynomials(degree):
    x = jnp.array([-0.5, 0.0, 0.2, 2.0])
    slopes = jax.grad(lambda x: polynomials.legendre_polynomial_p(x, degree).sum())(x)
    np.testing.assert_allclose(slopes, {0: 0 * x, 1: 0 * x + 1, 3: (15 * x**2 - 3) / 2}[degree], rtol=1e-6)
