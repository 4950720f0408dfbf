"""Linear algebra where torch and JAX differ in conventions."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int


def solve(a: Float[Array, "*batch n n"], b: Float[Array, "..."]) -> Float[Array, "..."]:
    """torch.linalg.solve: b holds vectors where its shape is that of a without the last axis."""
    if b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1]):
        return jnp.linalg.solve(a, b[..., None])[..., 0]
    return jnp.linalg.solve(a, b)


def solve_triangular(
    a: Float[Array, "*#batch n n"],
    b: Float[Array, "..."],
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
) -> Float[Array, "..."]:
    """torch.linalg.solve_triangular, which broadcasts over leading axes."""
    batch = jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return lax.linalg.triangular_solve(
        jnp.broadcast_to(a, batch + a.shape[-2:]),
        jnp.broadcast_to(b, batch + b.shape[-2:]),
        left_side=left,
        lower=not upper,
        unit_diagonal=unitriangular,
    )


def cholesky_solve(
    b: Float[Array, "*#batch n k"], factor: Float[Array, "*#batch n n"], upper: bool = False
) -> Float[Array, "*batch n k"]:
    """torch.cholesky_solve: the solution by a matrix of which factor is a Cholesky factor."""
    conjugate = jnp.conj(factor.mT)
    first, second = (conjugate, factor) if upper else (factor, conjugate)
    return solve_triangular(second, solve_triangular(first, b, upper=False), upper=True)


def logdet(x: Float[Array, "*batch n n"]) -> Float[Array, "*batch"]:
    """torch.logdet: NaN where the determinant is negative."""
    sign, magnitude = jnp.linalg.slogdet(x)
    return jnp.where(sign < 0, jnp.nan, magnitude)


def pinv(
    x: Float[Array, "*batch m n"],
    *,
    atol: float = 0.0,
    rtol: float | None = None,
    hermitian: bool = False,
) -> Float[Array, "*batch n m"]:
    """torch.linalg.pinv: singular values up to atol, or rtol times the largest, count as 0."""
    if rtol is None:
        rtol = 0.0 if atol > 0 else max(x.shape[-2:]) * float(jnp.finfo(x.dtype).eps)
    if atol == 0:
        return jnp.linalg.pinv(x, rtol=rtol, hermitian=hermitian)
    largest = jnp.max(jnp.linalg.svdvals(x), axis=-1)
    return jnp.linalg.pinv(x, rtol=jnp.maximum(rtol, atol / largest), hermitian=hermitian)


def lu(
    x: Float[Array, "*batch m n"],
) -> tuple[Float[Array, "*batch m m"], Float[Array, "*batch m k"], Float[Array, "*batch k n"]]:
    """torch.linalg.lu: x = P @ L @ U."""
    factors, _, permutation = lax.linalg.lu(x)
    rows, columns = x.shape[-2:]
    k = min(rows, columns)
    lower = jnp.tril(factors[..., :k], -1) + jnp.eye(rows, k, dtype=x.dtype)
    place = jnp.arange(rows)[:, None] == permutation[..., None, :]
    return place.astype(x.dtype), lower, jnp.triu(factors[..., :k, :])


def lu_factor(
    x: Float[Array, "*batch m n"],
) -> tuple[Float[Array, "*batch m n"], Int[Array, "*batch k"]]:
    """torch.linalg.lu_factor: both factors in one matrix, and the swaps of rows, counted from 1."""
    factors, pivots, _ = lax.linalg.lu(x)
    return factors, pivots + 1
