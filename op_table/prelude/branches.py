"""Complex functions on their branch cuts, where JAX takes no notice of the sign of a zero."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Complex


def complex_sqrt(x: Complex[Array, "..."]) -> Complex[Array, "..."]:
    """torch.sqrt: the imaginary part has the sign of x's, that of a zero included."""
    y = jnp.sqrt(x)
    return lax.complex(y.real, jnp.copysign(y.imag, x.imag))


def complex_sign(x: Complex[Array, "..."]) -> Complex[Array, "..."]:
    """torch.sgn: a number of size one with the same angle, and 0 for 0. jnp.sign has no gradient."""
    somewhere = jnp.where(x == 0, 1, x)
    return jnp.where(x == 0, 0, x / jnp.abs(somewhere))


def complex_logaddexp(x: Complex[Array, "..."], y: Complex[Array, "..."]) -> Complex[Array, "..."]:
    """torch.logaddexp. jnp.logaddexp brings the imaginary part to between -pi and pi."""
    swapped = x.real < y.real
    larger = jnp.where(swapped, y, x)
    return larger + jnp.log1p(jnp.exp(jnp.where(swapped, x, y) - larger))


def complex_arcsin(x: Complex[Array, "..."]) -> Complex[Array, "..."]:
    """torch.asin: the imaginary part has the sign of x's, that of a zero included."""
    y = jnp.arcsin(x)
    return lax.complex(y.real, jnp.copysign(y.imag, x.imag))


def complex_arccos(x: Complex[Array, "..."]) -> Complex[Array, "..."]:
    """torch.acos: the imaginary part has the sign opposite to x's, that of a zero included."""
    y = jnp.arccos(x)
    return lax.complex(y.real, jnp.copysign(y.imag, -x.imag))


def complex_arcsinh(x: Complex[Array, "..."]) -> Complex[Array, "..."]:
    """torch.asinh: the real part has the sign of x's, that of a zero included."""
    y = jnp.arcsinh(x)
    return lax.complex(jnp.copysign(y.real, x.real), y.imag)


def complex_arccosh(x: Complex[Array, "..."]) -> Complex[Array, "..."]:
    """torch.acosh: the imaginary part has the sign of x's, that of a zero included."""
    y = jnp.arccosh(x)
    return lax.complex(y.real, jnp.copysign(y.imag, x.imag))
