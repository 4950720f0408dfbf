"""Orthogonal polynomials as torch.special has them, each by its three-term recurrence in the degree."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float


def three_terms(
    first: Callable,
    step: Callable,
    x: ArrayLike,
    n: ArrayLike,
    limit: float = math.inf,
) -> Float[Array, "..."]:
    """P[n](x) where P[0] = 1, P[1] = first(x) and P[k + 1] = step(k, x, P[k], P[k - 1]), each place with its own degree.

    Degrees are rounded toward zero. The result is 0 for one that is negative or not finite, and NaN above the limit.
    The recurrence ends with the largest degree, or earlier where all that is left is NaN.
    """
    dtype = jnp.result_type(x, n)
    x, n = jnp.broadcast_arrays(jnp.asarray(x, dtype), jnp.asarray(n, dtype))
    n = jnp.where(jnp.isfinite(n), jnp.trunc(n), -1)
    one = jnp.ones((), dtype)

    def recur(x: Float[Array, "..."]) -> Float[Array, "..."]:
        def unfinished(k: Array, p: Array) -> Array:
            return (k < n) & ~jnp.isnan(p) & (n <= limit)

        def body(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            k, p, before = state
            goes_on = unfinished(k, p)
            after = jnp.where(goes_on, step(k, x, p, before), p)
            return k + 1, after, jnp.where(goes_on, p, before)

        start = (one, first(x), jnp.ones_like(x))
        _, p, _ = lax.while_loop(lambda state: jnp.any(unfinished(*state[:2])), body, start)
        p = jnp.where(n > limit, jnp.nan, p)
        return jnp.where(n < 0, 0, jnp.where(n == 0, 1, p))

    @jax.custom_jvp
    def polynomial(x: Float[Array, "..."]) -> Float[Array, "..."]:
        return recur(x)

    @polynomial.defjvp
    def derivative(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        # A loop of unknown length is differentiated forward only.
        value, slope = jax.jvp(recur, primals, (jnp.ones_like(primals[0]),))
        return value, slope * tangents[0]

    return polynomial(x)


def chebyshev_step(k: Array, x: Array, p: Array, before: Array) -> Array:
    """The recurrence of all four kinds, which differ in the first degree."""
    return (x + x) * p - before


def chebyshev_polynomial_t(x: ArrayLike, n: ArrayLike) -> Float[Array, "..."]:
    """Of the first kind: cos(n a) where x = cos(a)."""
    return three_terms(lambda x: x, chebyshev_step, x, n)


def chebyshev_polynomial_u(x: ArrayLike, n: ArrayLike) -> Float[Array, "..."]:
    """Of the second kind: sin((n + 1) a) / sin(a) where x = cos(a)."""
    return three_terms(lambda x: x + x, chebyshev_step, x, n)


def chebyshev_polynomial_v(x: ArrayLike, n: ArrayLike) -> Float[Array, "..."]:
    """Of the third kind: cos((n + 1/2) a) / cos(a / 2) where x = cos(a)."""
    return three_terms(lambda x: x + x - 1, chebyshev_step, x, n)


def chebyshev_polynomial_w(x: ArrayLike, n: ArrayLike) -> Float[Array, "..."]:
    """Of the fourth kind: sin((n + 1/2) a) / sin(a / 2) where x = cos(a)."""
    return three_terms(lambda x: x + x + 1, chebyshev_step, x, n)


def hermite_degrees(dtype: ArrayLike) -> int:
    """The degree above which torch gives NaN."""
    return 512 if jnp.finfo(dtype).bits == 64 else 128


def hermite_polynomial_h(x: ArrayLike, n: ArrayLike) -> Float[Array, "..."]:
    """The physicist's: of the weight exp(-x**2). torch has NaN above degree 128, in float64 512."""
    limit = hermite_degrees(jnp.result_type(x, n))
    return three_terms(
        lambda x: x + x, lambda k, x, p, before: (x + x) * p - 2 * k * before, x, n, limit
    )


def hermite_polynomial_he(x: ArrayLike, n: ArrayLike) -> Float[Array, "..."]:
    """The probabilist's: of the weight exp(-x**2 / 2). torch has NaN above degree 128, in float64 512."""
    limit = hermite_degrees(jnp.result_type(x, n))
    return three_terms(lambda x: x, lambda k, x, p, before: x * p - k * before, x, n, limit)


def laguerre_polynomial_l(x: ArrayLike, n: ArrayLike) -> Float[Array, "..."]:
    """Of the weight exp(-x) above zero."""
    return three_terms(
        lambda x: 1 - x,
        lambda k, x, p, before: ((k + k + (1 - x)) * p - k * before) / (k + 1),
        x,
        n,
    )


def legendre_polynomial_p(x: ArrayLike, n: ArrayLike) -> Float[Array, "..."]:
    """Of the weight 1 between -1 and 1."""
    return three_terms(
        lambda x: x, lambda k, x, p, before: ((k + k + 1) * x * p - k * before) / (k + 1), x, n
    )
