"""Functions that JAX has, with the digits or the gradients that torch's have."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def elu(x: Float[Array, "..."], alpha: float = 1.0, rate: float = 1.0) -> Float[Array, "..."]:
    """alpha * expm1(rate * x) where x is negative. Far below zero the gradient of expm1 has no digits left, that of exp has."""
    low = rate * jnp.where(x > 0, 0, x)
    below = jnp.where(low < -1, jnp.exp(low) - 1, jnp.expm1(low))
    return jnp.where(x > 0, x, alpha * below)


def logaddexp(x: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
    """jnp.logaddexp, with all digits of the gradient of the smaller one."""
    apart = jnp.where(x == y, 0, jnp.abs(x - y))
    return jnp.maximum(x, y) + jnp.log1p(jnp.exp(-apart))


def i0(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The modified Bessel function of order 0, whose derivative is the one of order 1."""

    @jax.custom_jvp
    def bessel(x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.scipy.special.i0(x)

    bessel.defjvps(lambda tangent, _, x: tangent * jax.scipy.special.i1(x))
    return bessel(x)


def nextafter(x: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
    """jnp.nextafter, which moves as x does unless it has arrived."""

    @jax.custom_jvp
    def step(x: Float[Array, "..."], y: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.nextafter(x, y)

    step.defjvps(lambda tangent, _, x, y: jnp.where(x == y, 0, tangent), None)
    return step(*jnp.broadcast_arrays(x, y))


def zeta(s: Float[Array, "..."], q: Float[Array, "..."]) -> Float[Array, "..."]:
    """torch.special.zeta: that of JAX above 9, and the terms below one by one, negative ones too."""

    @jax.custom_jvp
    def hurwitz(q: Float[Array, "..."]) -> Float[Array, "..."]:
        pole = (q <= 0) & (q == jnp.floor(q))

        def step(state: tuple[Array, Array]) -> tuple[Array, Array]:
            total, at = state
            below = at <= 9
            return jnp.where(below, total + at**-s, total), jnp.where(below, at + 1, at)

        start = (jnp.zeros_like(q), jnp.where(pole, 10, q))
        total, at = lax.while_loop(lambda state: jnp.any(state[1] <= 9), step, start)
        found = jnp.where(pole, jnp.inf, total + jax.scipy.special.zeta(s, at))
        return jnp.where(s < 1, jnp.nan, jnp.where(s == 1, jnp.inf, found))

    hurwitz.defjvps(lambda tangent, _, q: -s * zeta(s + 1, q) * tangent)
    s, q = jnp.broadcast_arrays(s, q)
    return hurwitz(q)


def trigamma(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """torch.polygamma(1, x), mirrored below one half."""

    @jax.custom_jvp
    def value(x: Float[Array, "..."]) -> Float[Array, "..."]:
        mirrored = x < 0.5
        y = jnp.where(mirrored, 1 - x, x)
        total = jnp.where(mirrored, -((math.pi / jnp.sin(math.pi * x)) ** 2), 0)
        for _ in range(6):
            total, y = total + 1 / (y * y), y + 1
        inverse = 1 / (y * y)
        series = 1 + 1 / (2 * y) + inverse * (1 / 6 - inverse * (1 / 30 - inverse / 42))
        total = total + series / y
        return jnp.where(mirrored, -total, total)

    value.defjvps(lambda tangent, _, x: tangent * -2 * zeta(jnp.asarray(3, x.dtype), x))
    return value(x)


def polygamma(n: int, x: Float[Array, "..."]) -> Float[Array, "..."]:
    """torch.polygamma for an n above 1, which JAX's is not below zero."""
    return (-1) ** (n + 1) * math.factorial(n) * zeta(jnp.asarray(n + 1, x.dtype), x)


def digamma(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """torch.digamma, with its pole at zero and its gradient."""

    @jax.custom_jvp
    def psi(x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.where(x == 0, -1 / x, jax.scipy.special.digamma(x))

    psi.defjvps(lambda tangent, _, x: tangent * trigamma(x))
    return psi(x)
