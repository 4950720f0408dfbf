"""Linear algebra: solutions, inverses, determinants, norms of matrices.

torch raises where a matrix has no inverse; JAX gives infinities or NaN there.
"""

from __future__ import annotations

from op_table.axes import given, number, positive
from op_table.dtypes import cast
from op_table.expr import Expr, Value, jax, jnp, lax, prelude
from op_table.prelude import factorisation, norms
from op_table.prelude import linalg as real
from op_table.reduction import norm_order, vector_norm
from op_table.registry import Unsupported, lowers

# Ops that are one function of one array; `sign, log` and the like are several outputs of one call.
UNARY = {
    "linalg_inv": jnp.linalg.inv,
    "inverse": jnp.linalg.inv,
    "linalg_slogdet": jnp.linalg.slogdet,
    "slogdet": jnp.linalg.slogdet,
    "logdet": prelude(real.logdet),
}

for _name, _function in UNARY.items():
    lowers(f"aten.{_name}.default")(lambda x, function=_function: function(x))


@lowers("aten.linalg_matrix_exp.default", "aten.matrix_exp.default")
def matrix_exp(x: Expr) -> Expr:
    if x.dtype.itemsize == 2:
        raise Unsupported("matrix_exp in half precision: JAX has none, and torch's overflows where float32's does not")
    return jax.scipy.linalg.expm(x)


@lowers("aten.linalg_det.default", "aten.det.default")
def det(A: Value) -> Expr:
    return jnp.ones(A.shape[:-2], A.aval.dtype) if A.shape[-1] == 0 else jnp.linalg.det(A)


def _info(A: Expr) -> Expr:
    """Which pivot is 0."""
    return prelude(factorisation.first_zero_pivot)(lax.linalg.lu(A)[0])


@lowers("aten.linalg_inv_ex.default")
def inv_ex(A: Expr, *, check_errors: bool = False) -> tuple[Expr, Expr]:
    return jnp.linalg.inv(A), _info(A)


@lowers("aten.linalg_solve.default")
def solve(A: Expr, B: Expr, *, left: bool = True) -> Expr:
    if left:
        return prelude(real.solve)(A, B)
    if B.ndim < A.ndim:
        raise Unsupported("linalg.solve from the right of vectors")
    return jnp.linalg.solve(A.mT, B.mT).mT


@lowers("aten.linalg_solve_ex.default")
def solve_ex(A: Expr, B: Expr, *, left: bool = True, check_errors: bool = False) -> tuple[Expr, Expr]:
    return solve(A, B, left=left), _info(A)


@lowers("aten.linalg_solve_triangular.default")
def solve_triangular(x: Expr, B: Expr, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Expr:
    options = ({} if left else {"left": False}) | ({"unitriangular": True} if unitriangular else {})
    return prelude(real.solve_triangular)(x, B, upper=upper, **options)


@lowers("aten.triangular_solve.default")
def triangular_solve(
    x: Expr, A: Expr, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> tuple[Expr, Expr]:
    """The older op gives back the coefficients, too."""
    given = A.mT if transpose else A
    return solve_triangular(given, x, upper=upper != transpose, unitriangular=unitriangular), A


def _tolerances(atol, rtol, hermitian: bool) -> dict:
    return {name: option for name, option in (("atol", atol), ("rtol", rtol)) if option is not None} | (
        {"hermitian": True} if hermitian else {}
    )


@lowers("aten.linalg_pinv.atol_rtol_float", "aten.linalg_pinv.atol_rtol_tensor")
def pinv(x: Expr, *, atol=None, rtol=None, hermitian: bool = False) -> Expr:
    return prelude(real.pinv)(x, **_tolerances(atol, rtol, hermitian))


@lowers("aten.linalg_pinv.default", "aten.linalg_pinv.rcond_tensor")
def pinv_rcond(x: Expr, rcond, hermitian: bool = False) -> Expr:
    return pinv(x, atol=0.0, rtol=rcond, hermitian=hermitian)


@lowers("aten.pinverse.default")
def pinverse(x: Expr, rcond: float = 1e-15) -> Expr:
    return pinv_rcond(x, rcond)


@lowers("aten.linalg_matrix_rank.atol_rtol_float", "aten.linalg_matrix_rank.atol_rtol_tensor")
def matrix_rank(x: Expr, *, atol=None, rtol=None, hermitian: bool = False) -> Expr:
    return prelude(real.matrix_rank)(x, **_tolerances(atol, rtol, hermitian))


@lowers("aten.linalg_matrix_rank.default", "aten.linalg_matrix_rank.tol_tensor")
def matrix_rank_tol(x: Expr, tol, hermitian: bool = False) -> Expr:
    return matrix_rank(x, atol=tol, rtol=0.0, hermitian=hermitian)


@lowers("aten.linalg_cond.default", "aten.linalg_cond.p_str")
def cond(x: Expr, p=None) -> Expr:
    return jnp.linalg.cond(x, **({} if p is None else {"p": number(p, x.dtype)}))


@lowers("aten.linalg_matrix_norm.default", "aten.linalg_matrix_norm.str_ord")
def matrix_norm(x: Expr, ord="fro", dim=(-2, -1), keepdim: bool = False, *, dtype=None) -> Expr:
    options = {} if ord == "fro" else {"ord": norm_order(ord, x.dtype)}
    axis = {} if tuple(dim) == (-2, -1) else {"axis": tuple(dim)}
    return prelude(norms.matrix_norm)(cast(x, dtype), **options, **axis, **given(keepdims=keepdim))


@lowers("aten.linalg_norm.default", "aten.linalg_norm.ord_str")
def norm(x: Expr, ord=None, dim=None, keepdim: bool = False, *, dtype=None) -> Expr:
    """Of a matrix where ord is given and there are two axes, else of the elements as one vector."""
    if ord is not None and (len(dim) if dim is not None else x.ndim) == 2:
        return matrix_norm(x, ord, dim or (-2, -1), keepdim, dtype=dtype)
    return vector_norm(x, 2 if ord is None else ord, dim, keepdim, dtype=dtype)


@lowers("aten.linalg_cross.default")
def cross(x: Expr, other: Expr, *, dim: int = -1) -> Expr:
    return jnp.cross(x, other, **({} if dim == -1 else {"axis": dim}))


@lowers("aten.cross.default")
def cross_of_some_axis(x: Expr, other: Expr, dim: int | None = None) -> Expr:
    """The older op takes the first axis of length 3 unless told which."""
    if dim is None:
        dim = next(axis for axis, size in enumerate(x.shape) if size == 3)
    return jnp.cross(x, other, axis=dim)


@lowers("aten.linalg_tensorinv.default")
def tensorinv(x: Expr, ind: int = 2) -> Expr:
    return jnp.linalg.tensorinv(x, **({} if ind == 2 else {"ind": ind}))


@lowers("aten.linalg_tensorsolve.default")
def tensorsolve(x: Value, other: Value, dims=None) -> Expr:
    """torch takes the elements of other in order, whatever their axes."""
    dims = [positive(dim, x.ndim) for dim in dims or ()]
    axes = [*(axis for axis in range(x.ndim) if axis not in dims), *dims]
    leading = tuple(x.shape[axis] for axis in axes[: other.ndim])
    same = all(a == b for a, b in zip(leading, other.shape, strict=True))
    options = {"axes": tuple(dims)} if dims else {}
    return jnp.linalg.tensorsolve(x, other if same else other.reshape(leading), **options)
