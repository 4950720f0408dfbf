"""torch.special's functions of mathematical physics: Airy's and Bessel's, and orthogonal polynomials."""

from __future__ import annotations

from collections.abc import Callable

from op_table.dtypes import inexact, is_array, promoted_to_real
from op_table.expr import Expr, jax, prelude
from op_table.prelude import bessel, gradients, polynomials, special
from op_table.registry import lowers

# Functions of one array of real numbers.
UNARY = {
    "airy_ai": prelude(special.airy_ai),
    "bessel_j0": prelude(bessel.bessel_j0),
    "bessel_j1": prelude(bessel.bessel_j1),
    "bessel_y0": prelude(bessel.bessel_y0),
    "bessel_y1": prelude(bessel.bessel_y1),
    "erfcx": prelude(special.erfcx),
    "modified_bessel_i0": prelude(gradients.i0),
    "modified_bessel_i1": jax.scipy.special.i1,
    "modified_bessel_k0": prelude(bessel.modified_bessel_k0),
    "modified_bessel_k1": prelude(bessel.modified_bessel_k1),
    "spherical_bessel_j0": prelude(special.spherical_bessel_j0),
}

# Polynomials in x with their degrees n, of arrays or numbers.
POLYNOMIALS = {
    "chebyshev_polynomial_t": polynomials.chebyshev_polynomial_t,
    "chebyshev_polynomial_u": polynomials.chebyshev_polynomial_u,
    "chebyshev_polynomial_v": polynomials.chebyshev_polynomial_v,
    "chebyshev_polynomial_w": polynomials.chebyshev_polynomial_w,
    "hermite_polynomial_h": polynomials.hermite_polynomial_h,
    "hermite_polynomial_he": polynomials.hermite_polynomial_he,
    "laguerre_polynomial_l": polynomials.laguerre_polynomial_l,
    "legendre_polynomial_p": polynomials.legendre_polynomial_p,
}
OVERLOADS = ("default", "x_scalar", "n_scalar")


def _unary(function: Expr) -> Callable:
    return lambda x: function(inexact(x))


def _polynomial(function: Callable, shifted: bool = False) -> Callable:
    def rule(x: Expr, n: Expr) -> Expr:
        x, n = (inexact(a) if is_array(a) else a for a in promoted_to_real(x, n))
        return prelude(function)(x + x - 1 if shifted else x, n)

    return rule


for _name, _function in UNARY.items():
    lowers(f"aten.special_{_name}.default")(_unary(_function))
for _name, _function in POLYNOMIALS.items():
    lowers(*(f"aten.special_{_name}.{overload}" for overload in OVERLOADS))(_polynomial(_function))
    if _name.startswith("chebyshev"):
        lowers(*(f"aten.special_shifted_{_name}.{overload}" for overload in OVERLOADS))(_polynomial(_function, True))


@lowers("aten.special_scaled_modified_bessel_k0.default")
def scaled_modified_bessel_k0(x: Expr) -> Expr:
    return prelude(bessel.modified_bessel_k0)(inexact(x), scaled=True)


@lowers("aten.special_scaled_modified_bessel_k1.default")
def scaled_modified_bessel_k1(x: Expr) -> Expr:
    return prelude(bessel.modified_bessel_k1)(inexact(x), scaled=True)
