"""Linear algebra where torch and JAX differ in conventions."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Inexact, Int

from op_table.prelude.factorisation import filled


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


def logdet(x: Inexact[Array, "*batch n n"]) -> Inexact[Array, "*batch"]:
    """torch.logdet: NaN where a real determinant is negative."""
    sign, magnitude = jnp.linalg.slogdet(x)
    if jnp.iscomplexobj(x):
        return jnp.log(sign) + magnitude
    return jnp.where(sign < 0, jnp.nan, magnitude)


def relative_cutoff(
    largest: Float[Array, "*batch"],
    size: int,
    atol: Float[Array, "..."] | float | None,
    rtol: Float[Array, "..."] | float | None,
) -> Float[Array, "..."]:
    """Up to which singular value, beside the largest, torch counts as 0: up to atol, or rtol times the largest."""
    if rtol is None:
        usual = size * jnp.finfo(largest.dtype).eps
        rtol = usual if atol is None else jnp.where(jnp.asarray(atol) > 0, 0, usual)
    atol = 0 if atol is None else atol
    return lax.stop_gradient(jnp.maximum(atol / largest, rtol))


def pinv(
    x: Inexact[Array, "*batch m n"],
    *,
    atol: Float[Array, "..."] | float | None = None,
    rtol: Float[Array, "..."] | float | None = None,
    hermitian: bool = False,
) -> Inexact[Array, "*batch n m"]:
    """torch.linalg.pinv: singular values up to a tolerance count as 0. Of a hermitian x one triangle is read."""
    if x.size == 0:
        return jnp.zeros(x.mT.shape, x.dtype)
    read = filled(x) if hermitian else x
    largest = jnp.max(jnp.linalg.svdvals(lax.stop_gradient(read)), axis=-1)
    rtol = relative_cutoff(largest, max(x.shape[-2:]), atol, rtol)
    return hermitian_pinv(x, rtol) if hermitian else jnp.linalg.pinv(x, rtol)


def hermitian_pinv(
    x: Inexact[Array, "*batch n n"], rtol: Float[Array, "*batch"]
) -> Inexact[Array, "*batch n n"]:
    """The pseudo-inverse by one triangle of x. As in torch, it is differentiated as that of all of x."""

    @jax.custom_jvp
    def inverse(x: Array) -> Array:
        return jnp.linalg.pinv(filled(x), rtol)

    @inverse.defjvp
    def differentiate(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        (x,), (dx,) = primals, tangents
        p = inverse(x)
        adjoint, dx_adjoint = jnp.conj(p.mT), jnp.conj(dx.mT)
        left, right = p @ adjoint @ dx_adjoint, dx_adjoint @ adjoint @ p
        return p, left - left @ x @ p + right - p @ x @ right - p @ dx @ p

    return inverse(x)


def matrix_rank(
    x: Inexact[Array, "*batch m n"],
    *,
    atol: Float[Array, "..."] | float | None = None,
    rtol: Float[Array, "..."] | float | None = None,
    hermitian: bool = False,
) -> Int[Array, "*batch"]:
    """torch.linalg.matrix_rank: how many singular values are above a tolerance. Of a hermitian x one triangle is read."""
    if x.size == 0:
        return jnp.zeros(x.shape[:-2], int)
    s = (
        jnp.abs(jnp.linalg.eigvalsh(filled(x), symmetrize_input=False))
        if hermitian
        else jnp.linalg.svdvals(x)
    )
    largest = jnp.max(s, axis=-1)
    cutoff = relative_cutoff(largest, max(x.shape[-2:]), atol, rtol) * largest
    return jnp.sum(s > cutoff[..., None], axis=-1)
