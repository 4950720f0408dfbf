"""Factorisations of matrices: which triangle torch reads, and how it differentiates what it reads."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Inexact, Int


def differentiated_as(
    function: Callable[[Array], Array], derivative: Callable[[Array], Array], x: Array
) -> Array:
    """function of x, whose derivative is taken to be derivative, a linear function."""

    @jax.custom_jvp
    def apply(x: Array) -> Array:
        return function(x)

    @apply.defjvp
    def differentiate(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        return apply(*primals), derivative(*tangents)

    return apply(x)


def triangle(x: Inexact[Array, "*batch n n"], upper: bool) -> Inexact[Array, "*batch n n"]:
    """One triangle of x. As in torch, whose gradients do not stop at it, it is differentiated as all of x."""
    return differentiated_as(jnp.triu if upper else jnp.tril, lambda dx: dx, x)


def filled(x: Inexact[Array, "*batch n n"], upper: bool = False) -> Inexact[Array, "*batch n n"]:
    """The Hermitian matrix of which one triangle is read."""
    off_diagonal = jnp.triu(x, 1) if upper else jnp.tril(x, -1)
    diagonal = jnp.where(jnp.eye(x.shape[-1], dtype=bool), x.real, 0)
    return off_diagonal + jnp.conj(off_diagonal.mT) + diagonal.astype(x.dtype)


def hermitian(x: Inexact[Array, "*batch n n"], upper: bool = False) -> Inexact[Array, "*batch n n"]:
    """The Hermitian matrix of which one triangle is read. As in torch, its gradient is spread over both."""
    return differentiated_as(lambda x: filled(x, upper), lambda dx: (dx + jnp.conj(dx.mT)) / 2, x)


def cholesky(x: Inexact[Array, "*batch n n"], upper: bool = False) -> Inexact[Array, "*batch n n"]:
    """torch.linalg.cholesky: it reads the triangle that it returns, and its gradient is spread over both."""

    @jax.custom_jvp
    def factor(x: Array) -> Array:
        return jnp.linalg.cholesky(jnp.conj(x.mT) if upper else x, symmetrize_input=False)

    @factor.defjvp
    def differentiate(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        lower = factor(*primals)
        half = lax.linalg.triangular_solve(lower, tangents[0], left_side=True, lower=True)
        inner = lax.linalg.triangular_solve(
            lower, half, lower=True, transpose_a=True, conjugate_a=True
        )
        both = jnp.where(jnp.eye(x.shape[-1], dtype=bool), inner, inner + jnp.conj(inner.mT))
        return lower, lower @ jnp.tril(both / 2)

    return jnp.conj(factor(x).mT) if upper else factor(x)


def cholesky_failure(x: Inexact[Array, "*batch n n"], upper: bool = False) -> Int[Array, "*batch"]:
    """torch.linalg.cholesky_ex's info: the order of the first leading minor that is not positive definite, 0 if all are."""
    if x.size == 0:
        return jnp.zeros(x.shape[:-2], jnp.int32)
    lower = jnp.tril(jnp.conj(x.mT) if upper else x)
    whole = lower + jnp.conj(jnp.tril(lower, -1).mT)

    def eliminate(k: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        rest, info = carry
        pivot, column = rest[..., k, k].real, rest[..., :, k]
        info = jnp.where((info == 0) & ~(pivot > 0), k + 1, info)
        scaled = column / jnp.where(pivot == 0, 1, pivot)[..., None]
        return rest - scaled[..., :, None] * jnp.conj(column)[..., None, :], info

    start = lax.stop_gradient(whole), jnp.zeros(x.shape[:-2], jnp.int32)
    return lax.fori_loop(0, x.shape[-1], eliminate, start)[1]


def cholesky_solve(
    b: Inexact[Array, "*#batch n k"], factor: Inexact[Array, "*#batch n n"], upper: bool = False
) -> Inexact[Array, "*batch n k"]:
    """torch.cholesky_solve: the solution by a matrix of which factor is a Cholesky factor."""
    factor = triangle(factor, upper)
    first, second = (jnp.conj(factor.mT), factor) if upper else (factor, jnp.conj(factor.mT))
    lower, b = lax.stop_gradient(first), b + jnp.zeros(factor.shape[:-2] + (1, 1), b.dtype)
    lower = jnp.broadcast_to(lower, b.shape[:-2] + lower.shape[-2:])

    def solve(b: Array) -> Array:
        y = lax.linalg.triangular_solve(lower, b, left_side=True, lower=True)
        return lax.linalg.triangular_solve(
            lower, y, left_side=True, lower=True, transpose_a=True, conjugate_a=True
        )

    return lax.custom_linear_solve(
        lambda x: first @ (second @ x),
        b,
        lambda _, b: solve(b),
        lambda _, b: jnp.conj(solve(jnp.conj(b))),
    )


def cholesky_inverse(
    factor: Inexact[Array, "*batch n n"], upper: bool = False
) -> Inexact[Array, "*batch n n"]:
    """torch.cholesky_inverse: the inverse of the matrix of which factor is a Cholesky factor."""
    return cholesky_solve(jnp.eye(factor.shape[-1], dtype=factor.dtype), factor, upper)


def svd(
    x: Inexact[Array, "*batch m n"],
) -> tuple[Array, Array, Array]:
    """torch.linalg.svd of a matrix that is not square: columns beyond min(m, n) complete a basis, and have no gradient."""
    u, s, vh = jnp.linalg.svd(x, full_matrices=False)
    all_u, _, all_vh = jnp.linalg.svd(lax.stop_gradient(x))
    k = s.shape[-1]
    return (
        jnp.concatenate([u, all_u[..., k:]], axis=-1),
        s,
        jnp.concatenate([vh, all_vh[..., k:, :]], axis=-2),
    )


def svd_transposed(
    x: Inexact[Array, "*batch m n"], full_matrices: bool = False
) -> tuple[Array, Array, Array]:
    """torch.svd, whose last result is V and not its adjoint."""
    square = x.shape[-2] == x.shape[-1]
    u, s, vh = svd(x) if full_matrices and not square else jnp.linalg.svd(x, full_matrices=False)
    return u, s, jnp.conj(vh.mT)


def geqrf(x: Inexact[Array, "*batch m n"]) -> tuple[Array, Array]:
    """torch.geqrf: R above the reflectors that make Q, and their scales."""
    packed, tau = jnp.linalg.qr(x, mode="raw")
    return packed.mT, tau


def lu(
    x: Inexact[Array, "*batch m n"],
) -> tuple[Array, Array, Array]:
    """torch.linalg.lu: x = P @ L @ U."""
    return lu_unpack(*lu_factor(x))


def lu_factor(
    x: Inexact[Array, "*batch m n"],
) -> tuple[Inexact[Array, "*batch m n"], Int[Array, "*batch k"]]:
    """torch.linalg.lu_factor: both factors in one matrix, and the swaps of rows, counted from 1."""
    factors, pivots, _ = lax.linalg.lu(x)
    return factors, pivots + 1


def lu_factor_ex(x: Inexact[Array, "*batch m n"]) -> tuple[Array, Array, Array]:
    """torch.linalg.lu_factor_ex: the factors, the swaps, and which pivot is the first 0."""
    factors, pivots = lu_factor(x)
    return factors, pivots, first_zero_pivot(factors)


def lu_permutation(
    pivots: Int[Array, "*batch k"], rows: int, dtype: jnp.dtype
) -> Inexact[Array, "*batch rows rows"]:
    """The permutation P of torch.lu_unpack."""
    permutation = lax.linalg.lu_pivots_to_permutation(pivots - 1, rows)
    return (jnp.arange(rows)[:, None] == permutation[..., None, :]).astype(dtype)


def lu_triangles(
    factors: Inexact[Array, "*batch m n"],
) -> tuple[Inexact[Array, "*batch m k"], Inexact[Array, "*batch k n"]]:
    """The triangles L and U of torch.lu_unpack."""
    rows, columns = factors.shape[-2:]
    k = min(rows, columns)
    lower = jnp.tril(factors[..., :k], -1) + jnp.eye(rows, k, dtype=factors.dtype)
    return lower, jnp.triu(factors[..., :k, :])


def lu_unpack(
    factors: Inexact[Array, "*batch m n"], pivots: Int[Array, "*batch k"]
) -> tuple[Array, Array, Array]:
    """torch.lu_unpack: the factors of x = P @ L @ U."""
    return (lu_permutation(pivots, factors.shape[-2], factors.dtype), *lu_triangles(factors))


def first_zero_pivot(factors: Inexact[Array, "*batch m n"]) -> Int[Array, "*batch"]:
    """The info of torch's LU factorisations: which pivot is the first 0, counted from 1; 0 where none is."""
    zero = jnp.diagonal(factors, axis1=-2, axis2=-1) == 0
    if zero.shape[-1] == 0:
        return jnp.zeros(zero.shape[:-1], jnp.int32)
    return jnp.where(jnp.any(zero, axis=-1), jnp.argmax(zero, axis=-1).astype(jnp.int32) + 1, 0)


def lu_solve(
    factors: Inexact[Array, "*#batch n n"],
    pivots: Int[Array, "*#batch n"],
    b: Inexact[Array, "..."],
    *,
    left: bool = True,
    adjoint: bool = False,
) -> Inexact[Array, "..."]:
    """torch.linalg.lu_solve: the solution by the matrix (or its adjoint) that was factored."""
    if not left:
        return jnp.conj(lu_solve(factors, pivots, jnp.conj(b.mT), adjoint=not adjoint).mT)
    batch = jnp.broadcast_shapes(factors.shape[:-2], pivots.shape[:-1], b.shape[:-2])
    factors = jnp.broadcast_to(factors, batch + factors.shape[-2:])
    b = jnp.broadcast_to(b, batch + b.shape[-2:])
    permutation = lu_permutation(pivots, factors.shape[-1], factors.dtype)
    if adjoint:
        y = lax.linalg.triangular_solve(
            factors, b, left_side=True, lower=False, transpose_a=True, conjugate_a=True
        )
        x = lax.linalg.triangular_solve(
            factors,
            y,
            left_side=True,
            lower=True,
            transpose_a=True,
            conjugate_a=True,
            unit_diagonal=True,
        )
        return permutation @ x
    y = lax.linalg.triangular_solve(
        factors, permutation.mT @ b, left_side=True, lower=True, unit_diagonal=True
    )
    return lax.linalg.triangular_solve(factors, y, left_side=True, lower=False)


def reflect(
    reflectors: Inexact[Array, "*batch m k"],
    tau: Inexact[Array, "*batch k"],
    x: Inexact[Array, "*batch m n"],
    adjoint: bool = False,
) -> Inexact[Array, "*batch m n"]:
    """Q @ x, or Q's adjoint @ x, where Q is the product of Householder reflectors as LAPACK stores them."""
    rows, count = reflectors.shape[-2], tau.shape[-1]
    columns = jnp.tril(reflectors[..., :count], -1) + jnp.eye(rows, count, dtype=reflectors.dtype)

    def step(x: Array, reflector: tuple[Array, Array]) -> tuple[Array, None]:
        v, scale = reflector
        return x - (scale[..., None] * v)[..., None] * (jnp.conj(v)[..., None, :] @ x), None

    scales = jnp.conj(tau) if adjoint else tau
    each = jnp.moveaxis(columns, -1, 0), jnp.moveaxis(scales, -1, 0)
    return lax.scan(step, x, each, reverse=not adjoint)[0]


def householder_product(
    reflectors: Inexact[Array, "*batch m n"], tau: Inexact[Array, "*batch k"]
) -> Inexact[Array, "*batch m n"]:
    """torch.linalg.householder_product: the first n columns of the product of the reflectors."""
    identity = jnp.eye(*reflectors.shape[-2:], dtype=reflectors.dtype)
    return reflect(reflectors, tau, jnp.broadcast_to(identity, reflectors.shape))


def ormqr(
    reflectors: Inexact[Array, "*batch r k"],
    tau: Inexact[Array, "*batch k"],
    x: Inexact[Array, "*batch m n"],
    *,
    left: bool = True,
    transpose: bool = False,
) -> Inexact[Array, "*batch m n"]:
    """torch.ormqr: Q @ x or x @ Q, where Q is the product of the reflectors, or with its adjoint."""
    if left:
        return reflect(reflectors, tau, x, transpose)
    return jnp.conj(reflect(reflectors, tau, jnp.conj(x.mT), not transpose).mT)
