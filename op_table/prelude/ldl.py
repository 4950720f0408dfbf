"""The factorisation of symmetric matrices that need not be positive, by the method of Bunch and Kaufman."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Inexact, Int

from op_table.prelude.factorisation import filled


def size_of(x: Inexact[Array, "..."]) -> Float[Array, "..."]:
    """How large LAPACK takes a number to be while it looks for a pivot."""
    return jnp.abs(x.real) + jnp.abs(x.imag)


def ldl_factor_ex(
    x: Inexact[Array, "*batch n n"], hermitian: bool = False
) -> tuple[Array, Array, Array]:
    """torch.linalg.ldl_factor_ex: the factors below and on the diagonal, LAPACK's pivots, and which pivot is the first 0."""
    batch, n = x.shape[:-2], x.shape[-1]
    if x.size == 0:
        return x, jnp.zeros((*batch, n), jnp.int32), jnp.zeros(batch, jnp.int32)
    lower = jnp.tril(x)
    whole = filled(x) if hermitian else lower + jnp.tril(x, -1).mT
    factor = lambda a: ldl_of_one(a, hermitian)
    ld, pivots, info = jax.vmap(factor)(whole.reshape(-1, n, n))
    return jnp.tril(ld).reshape(x.shape), pivots.reshape(*batch, n), info.reshape(batch)


def ldl_of_one(
    a: Inexact[Array, "n n"], hermitian: bool
) -> tuple[Inexact[Array, "n n"], Int[Array, " n"], Int[Array, ""]]:
    """ldl_factor_ex of one matrix, both of whose triangles are given."""
    n, alpha = len(a), (1 + 17**0.5) / 8
    place = jnp.arange(n)
    adjoint = jnp.conj if hermitian else lambda x: x

    def pivot(a: Array, k: Array) -> tuple[Array, Array, Array]:
        """Which row comes next, whether as the second of a block of two, and whether all below is 0."""
        column = jnp.where(place > k, size_of(a[:, k]), 0)
        row, own, largest = jnp.argmax(column), size_of(a[k, k]), jnp.max(column)
        across = jnp.max(jnp.where((place >= k) & (place != row), size_of(a[row]), 0))
        stays = (own >= alpha * largest) | (own * across >= alpha * largest * largest)
        alone = stays | (size_of(a[row, row]) >= alpha * across)
        nothing = jnp.maximum(own, largest) == 0
        return jnp.where(stays | nothing, k, row), ~alone & ~nothing, nothing

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        a, pivots, info, k = state
        row, double, nothing = pivot(a, k)
        last = k + double
        order = place.at[last].set(row).at[row].set(last)
        rest = place >= k
        a = jnp.where(rest[:, None] & rest, a[order][:, order], a)

        after = jnp.minimum(k + 1, n - 1)
        below = place > last
        first, second = (jnp.where(below, a[:, j], 0) for j in (k, after))
        d, e, f = a[k, k], a[after, k], a[after, after]
        determinant = d * f - e * adjoint(e)
        one = jnp.where(nothing, 0, first / d)
        l_first = jnp.where(double, (first * f - second * e) / determinant, one)
        l_second = jnp.where(double, (second * d - first * adjoint(e)) / determinant, 0)
        taken = jnp.outer(l_first, adjoint(first)) + jnp.outer(l_second, adjoint(second))
        a = jnp.where(below[:, None] & below, a - taken, a)
        a = a.at[:, k].set(jnp.where(below, l_first, a[:, k]))
        a = a.at[:, after].set(jnp.where(below & double, l_second, a[:, after]))

        marked = jnp.where(double, -(row + 1), row + 1).astype(pivots.dtype)
        pivots = jnp.where((place == k) | (place == last), marked, pivots)
        info = jnp.where(nothing & (info == 0), k + 1, info)
        return a, pivots, info, last + 1

    zero = jnp.int32(0)
    start = (a, jnp.zeros(n, jnp.int32), zero, zero)
    a, pivots, info, _ = lax.while_loop(lambda state: state[-1] < n, step, start)
    return a, pivots, info


def ldl_solve(
    ld: Inexact[Array, "*#batch n n"],
    pivots: Int[Array, "*#batch n"],
    b: Inexact[Array, "*#batch n k"],
    hermitian: bool = False,
) -> Inexact[Array, "*batch n k"]:
    """torch.linalg.ldl_solve: the solution by the matrix of which ld and pivots are the factors."""
    batch = jnp.broadcast_shapes(ld.shape[:-2], pivots.shape[:-1], b.shape[:-2])
    n, k = b.shape[-2:]
    if math.prod(batch) * n * k == 0:
        return jnp.zeros((*batch, n, k), b.dtype)
    ld = jnp.broadcast_to(ld, (*batch, n, n)).reshape(-1, n, n)
    pivots = jnp.broadcast_to(pivots, (*batch, n)).reshape(-1, n)
    left, diagonal = jax.vmap(lambda ld, pivots: ldl_parts(ld, pivots, hermitian))(ld, pivots)
    right = jnp.conj(left.mT) if hermitian else left.mT
    x = jnp.broadcast_to(b, (*batch, n, k)).reshape(-1, n, k)
    for part in (left, diagonal, right):
        x = jnp.linalg.solve(part, x)
    return x.reshape(*batch, n, k)


def ldl_parts(
    ld: Inexact[Array, "n n"], pivots: Int[Array, " n"], hermitian: bool
) -> tuple[Inexact[Array, "n n"], Inexact[Array, "n n"]]:
    """The permuted L and the block diagonal D of which the matrix that was factored is the product L @ D @ L.T."""
    n = len(ld)
    place = jnp.arange(n)
    adjoint = jnp.conj if hermitian else lambda x: x
    # The first row of each block of two: of a run of negative pivots every other one.
    alternate = lambda before, p: ((p < 0) & ~before, (p < 0) & ~before)
    starts = lax.scan(alternate, jnp.array(False), pivots)[1]
    ends = (pivots < 0) & ~starts

    def apply(left: Array, k: Array) -> tuple[Array, None]:
        column = jnp.where(place > k + starts[k], ld[:, k], 0)
        left = left + jnp.outer(column, left[k])
        last, row = jnp.minimum(k + starts[k], n - 1), jnp.abs(pivots[k]) - 1
        order = place.at[last].set(row).at[row].set(last)
        return jnp.where(ends[k], left, left[order]), None

    left = lax.scan(apply, jnp.eye(n, dtype=ld.dtype), place, reverse=True)[0]
    beside = jnp.where(starts[:-1], jnp.diagonal(ld, -1), 0)
    diagonal = jnp.diag(jnp.diagonal(ld)) + jnp.diag(beside, -1) + jnp.diag(adjoint(beside), 1)
    return left, diagonal
