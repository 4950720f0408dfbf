"""Factorisations of matrices: Cholesky, QR, LU, singular values, eigenvalues, and what is computed from the factors.

torch raises where a matrix has no Cholesky factor; JAX gives NaN there. Singular vectors and eigenvectors have no sign (or
phase) of their own, and may come out with another than torch's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from op_table.axes import given
from op_table.expr import Expr, Value, jnp, lax, prelude
from op_table.prelude import factorisation as real
from op_table.prelude import ldl
from op_table.registry import Unsupported, lowers

# Ops that are one function of the prelude, or of JAX.
PLAIN = {
    "linalg_eigvals": jnp.linalg.eigvals,
    "linalg_householder_product": prelude(real.householder_product),
    "orgqr": prelude(real.householder_product),
    "geqrf": prelude(real.geqrf),
}

for _name, _function in PLAIN.items():
    lowers(f"aten.{_name}.default")(_function)


@lowers("aten.linalg_cholesky.default", "aten.cholesky.default")
def cholesky(x: Expr, upper: bool = False) -> Expr:
    return prelude(real.cholesky)(x, **given(upper=upper))


@lowers("aten.linalg_cholesky_ex.default")
def cholesky_ex(x: Value, *, upper: bool = False, check_errors: bool = False) -> tuple[Expr, Expr]:
    return cholesky(x, upper), prelude(real.cholesky_failure)(x, **given(upper=upper))


@lowers("aten.cholesky_solve.default")
def cholesky_solve(x: Expr, input2: Expr, upper: bool = False) -> Expr:
    return prelude(real.cholesky_solve)(x, input2, **given(upper=upper))


@lowers("aten.cholesky_inverse.default")
def cholesky_inverse(x: Expr, upper: bool = False) -> Expr:
    return prelude(real.cholesky_inverse)(x, **given(upper=upper))


@lowers("aten.linalg_qr.default")
def qr(A: Expr, mode: str = "reduced") -> Expr:
    if mode == "r":
        return jnp.zeros(0, A.aval.dtype), jnp.linalg.qr(A, mode="r")
    return jnp.linalg.qr(A, **({} if mode == "reduced" else {"mode": mode}))


@lowers("aten.ormqr.default")
def ormqr(x: Expr, input2: Expr, input3: Expr, left: bool = True, transpose: bool = False) -> Expr:
    options = ({} if left else {"left": False}) | given(transpose=transpose)
    return prelude(real.ormqr)(x, input2, input3, **options)


@lowers("aten.linalg_svd.default", "aten._linalg_svd.default")
def svd(A: Value, full_matrices: bool = True, compute_uv: bool = True, *, driver: str | None = None) -> Any:
    rows, columns = A.shape[-2:]
    if not compute_uv:
        none = jnp.zeros(0, A.aval.dtype)
        return none, jnp.linalg.svdvals(A), none
    if full_matrices and rows != columns:
        return prelude(real.svd)(A)
    return jnp.linalg.svd(A, full_matrices=False)


@lowers("aten.linalg_svdvals.default")
def svdvals(A: Expr, *, driver: str | None = None) -> Expr:
    return jnp.linalg.svdvals(A)


@lowers("aten.svd.default")
def svd_transposed(x: Value, some: bool = True, compute_uv: bool = True) -> tuple[Expr, Expr, Expr]:
    """The older op, whose last output is V and not its adjoint, and which gives zeros for vectors that it does not compute."""
    if not compute_uv:
        rows, columns = x.shape[-2:]
        zeros = lambda size: jnp.zeros((*x.shape[:-2], size, size), x.aval.dtype)
        return zeros(rows), jnp.linalg.svdvals(x), zeros(columns)
    return prelude(real.svd_transposed)(x, **given(full_matrices=not some))


@lowers("aten.linalg_eig.default")
def eig(x: Value) -> Any:
    if x.shape[-1] == 0:
        dtype = np.result_type(x.aval.dtype, np.complex64)
        return jnp.zeros(x.shape[:-1], dtype), jnp.zeros(x.shape, dtype)
    return lax.linalg.eig(x, compute_left_eigenvectors=False, enable_eigvec_derivs=True)


def _hermitian(x: Expr, UPLO: str) -> Expr:
    return prelude(real.hermitian)(x, **given(upper=UPLO == "U"))


@lowers("aten.linalg_eigh.default")
def eigh(x: Expr, UPLO: str = "L") -> Expr:
    return jnp.linalg.eigh(_hermitian(x, UPLO), symmetrize_input=False)


@lowers("aten.linalg_eigvalsh.default")
def eigvalsh(x: Expr, UPLO: str = "L") -> Expr:
    return jnp.linalg.eigvalsh(_hermitian(x, UPLO), symmetrize_input=False)


@lowers("aten._linalg_eigh.default")
def eigh_and_vectors(A: Expr, UPLO: str = "L", compute_v: bool = True) -> Any:
    return eigh(A, UPLO) if compute_v else (eigvalsh(A, UPLO), jnp.zeros(0, A.aval.dtype))


def _pivoted(pivot: bool) -> None:
    if not pivot:
        raise Unsupported("an LU factorisation without pivoting")


@lowers("aten.linalg_lu.default")
def lu(A: Expr, *, pivot: bool = True) -> Expr:
    _pivoted(pivot)
    return prelude(real.lu)(A)


@lowers("aten.linalg_lu_factor.default")
def lu_factor(A: Expr, *, pivot: bool = True) -> Expr:
    _pivoted(pivot)
    return prelude(real.lu_factor)(A)


@lowers("aten.linalg_lu_factor_ex.default")
def lu_factor_ex(A: Expr, *, pivot: bool = True, check_errors: bool = False) -> Expr:
    _pivoted(pivot)
    return prelude(real.lu_factor_ex)(A)


@lowers("aten.lu_unpack.default")
def lu_unpack(LU_data: Value, LU_pivots: Expr, unpack_data: bool = True, unpack_pivots: bool = True) -> Any:
    """What is not unpacked is an empty array."""
    if unpack_data and unpack_pivots:
        return prelude(real.lu_unpack)(LU_data, LU_pivots)
    none = jnp.zeros(0, LU_data.aval.dtype)
    if unpack_pivots:
        return prelude(real.lu_permutation)(LU_pivots, LU_data.shape[-2], LU_data.aval.dtype), none, none
    triangles = prelude(real.lu_triangles)(LU_data)
    return (none, triangles[0], triangles[1]) if unpack_data else (none, none, none)


@lowers("aten.linalg_lu_solve.default")
def lu_solve(LU: Expr, pivots: Expr, B: Expr, *, left: bool = True, adjoint: bool = False) -> Expr:
    options = ({} if left else {"left": False}) | given(adjoint=adjoint)
    return prelude(real.lu_solve)(LU, pivots, B, **options)


@lowers("aten.linalg_ldl_factor_ex.default")
def ldl_factor_ex(x: Expr, *, hermitian: bool = False, check_errors: bool = False) -> Expr:
    return prelude(ldl.ldl_factor_ex)(x, **given(hermitian=hermitian))


@lowers("aten.linalg_ldl_solve.default")
def ldl_solve(LD: Expr, pivots: Expr, B: Expr, *, hermitian: bool = False) -> Expr:
    return prelude(ldl.ldl_solve)(LD, pivots, B, **given(hermitian=hermitian))
