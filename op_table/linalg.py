"""Linear algebra: factorisations, solutions, determinants, norms of matrices.

torch raises where a matrix has no inverse or no Cholesky factor; JAX gives infinities or NaN there. Singular vectors and
eigenvectors have no sign of their own, and may come out with another than torch's.
"""

from __future__ import annotations

from op_table.dtypes import is_complex
from op_table.expr import Expr, jax, jnp, prelude
from op_table.prelude import linalg as real
from op_table.registry import Unsupported, lowers

# Ops that are one function of one array; `sign, log` and the like are several outputs of one call.
UNARY = {
    "linalg_inv": jnp.linalg.inv,
    "inverse": jnp.linalg.inv,
    "linalg_det": jnp.linalg.det,
    "det": jnp.linalg.det,
    "linalg_slogdet": jnp.linalg.slogdet,
    "slogdet": jnp.linalg.slogdet,
    "linalg_eig": jnp.linalg.eig,
    "linalg_eigvals": jnp.linalg.eigvals,
    "linalg_matrix_exp": jax.scipy.linalg.expm,
    "matrix_exp": jax.scipy.linalg.expm,
    "logdet": prelude(real.logdet),
}

for _name, _function in UNARY.items():
    lowers(f"aten.{_name}.default")(lambda x, function=_function: function(x))


def _no_failure(x: Expr) -> Expr:
    """The info that torch's _ex functions return: 0 for every matrix."""
    return jnp.zeros(x.shape[:-2], jnp.int32)


@lowers("aten.linalg_inv_ex.default")
def inv_ex(A: Expr, *, check_errors: bool = False) -> tuple[Expr, Expr]:
    return jnp.linalg.inv(A), _no_failure(A)


@lowers("aten.linalg_cholesky.default", "aten.cholesky.default")
def cholesky(x: Expr, upper: bool = False) -> Expr:
    """torch reads the triangle that it returns, JAX the lower one."""
    if not upper:
        return jnp.linalg.cholesky(x, symmetrize_input=False)
    adjoint = (lambda x: jnp.conj(x.mT)) if is_complex(x.dtype) else (lambda x: x.mT)
    return adjoint(jnp.linalg.cholesky(adjoint(x), symmetrize_input=False))


@lowers("aten.linalg_cholesky_ex.default")
def cholesky_ex(x: Expr, *, upper: bool = False, check_errors: bool = False) -> tuple[Expr, Expr]:
    return cholesky(x, upper), _no_failure(x)


@lowers("aten.cholesky_solve.default")
def cholesky_solve(x: Expr, input2: Expr, upper: bool = False) -> Expr:
    return prelude(real.cholesky_solve)(x, input2, **({"upper": True} if upper else {}))


@lowers("aten.linalg_solve.default")
def solve(A: Expr, B: Expr, *, left: bool = True) -> Expr:
    if left:
        return prelude(real.solve)(A, B)
    if B.ndim < A.ndim:
        raise Unsupported("linalg.solve from the right of vectors")
    return jnp.linalg.solve(A.mT, B.mT).mT


@lowers("aten.linalg_solve_ex.default")
def solve_ex(A: Expr, B: Expr, *, left: bool = True, check_errors: bool = False) -> tuple[Expr, Expr]:
    return solve(A, B, left=left), _no_failure(A)


@lowers("aten.linalg_solve_triangular.default")
def solve_triangular(x: Expr, B: Expr, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Expr:
    options = ({} if left else {"left": False}) | ({"unitriangular": True} if unitriangular else {})
    return prelude(real.solve_triangular)(x, B, upper=upper, **options)


@lowers("aten.linalg_qr.default")
def qr(A: Expr, mode: str = "reduced") -> Expr:
    if mode == "r":
        return jnp.zeros(0, A.aval.dtype), jnp.linalg.qr(A, mode="r")
    return jnp.linalg.qr(A, **({} if mode == "reduced" else {"mode": mode}))


@lowers("aten.linalg_svd.default")
def svd(A: Expr, full_matrices: bool = True, *, driver: str | None = None) -> Expr:
    return jnp.linalg.svd(A, **({} if full_matrices else {"full_matrices": False}))


@lowers("aten.linalg_svdvals.default")
def svdvals(A: Expr, *, driver: str | None = None) -> Expr:
    return jnp.linalg.svdvals(A)


@lowers("aten.svd.default")
def svd_transposed(x: Expr, some: bool = True, compute_uv: bool = True) -> tuple[Expr, Expr, Expr]:
    """The older op, whose last output is V and not its adjoint."""
    if not compute_uv:
        raise Unsupported("torch.svd(compute_uv=False)")
    parts = svd(x, not some)
    return parts[0], parts[1], jnp.conj(parts[2].mT)


@lowers("aten.linalg_eigh.default")
def eigh(x: Expr, UPLO: str = "L") -> Expr:
    return jnp.linalg.eigh(x, **({} if UPLO == "L" else {"UPLO": UPLO}), symmetrize_input=False)


@lowers("aten.linalg_eigvalsh.default")
def eigvalsh(x: Expr, UPLO: str = "L") -> Expr:
    return eigh(x, UPLO)[0]


@lowers("aten.linalg_lu.default")
def lu(A: Expr, *, pivot: bool = True) -> Expr:
    return prelude(real.lu)(A) if pivot else _refuse_pivot()


@lowers("aten.linalg_lu_factor.default")
def lu_factor(A: Expr, *, pivot: bool = True) -> Expr:
    return prelude(real.lu_factor)(A) if pivot else _refuse_pivot()


def _refuse_pivot() -> Expr:
    raise Unsupported("an LU factorisation without pivoting")


@lowers("aten.linalg_pinv.atol_rtol_float", "aten.linalg_pinv.atol_rtol_tensor")
def pinv(x: Expr, *, atol=None, rtol=None, hermitian: bool = False) -> Expr:
    if isinstance(atol, Expr) or isinstance(rtol, Expr):
        raise Unsupported("a pseudo-inverse with tolerances that are tensors")
    options = {"atol": atol or None, "rtol": rtol, "hermitian": hermitian or None}
    return prelude(real.pinv)(x, **{name: option for name, option in options.items() if option is not None})


@lowers("aten.linalg_pinv.default")
def pinv_rcond(x: Expr, rcond: float, hermitian: bool = False) -> Expr:
    return pinv(x, rtol=rcond, hermitian=hermitian)


@lowers("aten.pinverse.default")
def pinverse(x: Expr, rcond: float = 1e-15) -> Expr:
    return pinv(x, rtol=rcond)


def _norm_options(ord, dim, keepdim: bool) -> dict:
    axes = tuple(dim) if dim is not None else None
    options = {"ord": ord, "axis": axes[0] if axes is not None and len(axes) == 1 else axes}
    options = {name: option for name, option in options.items() if option is not None}
    return options | ({"keepdims": True} if keepdim else {})


@lowers("aten.linalg_norm.default", "aten.linalg_norm.ord_str")
def norm(x: Expr, ord=None, dim=None, keepdim: bool = False, *, dtype=None) -> Expr:
    if dtype is not None and dtype != x.dtype:
        raise Unsupported("linalg.norm in another dtype than its input's")
    if ord is None and dim is not None and len(dim) == 2:
        ord = "fro"
    return jnp.linalg.norm(x, **_norm_options(ord, dim, keepdim))


@lowers("aten.linalg_matrix_norm.default", "aten.linalg_matrix_norm.str_ord")
def matrix_norm(x: Expr, ord="fro", dim=(-2, -1), keepdim: bool = False, *, dtype=None) -> Expr:
    return norm(x, ord, dim, keepdim, dtype=dtype)


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
def tensorsolve(x: Expr, other: Expr, dims=None) -> Expr:
    return jnp.linalg.tensorsolve(x, other, **({} if dims is None else {"axes": tuple(dims)}))
