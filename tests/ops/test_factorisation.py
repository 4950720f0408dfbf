import functools

import pytest
import torch

from op_table.prelude import factorisation as real
from op_table.registry import Unsupported
from tests.ops.gradients import check_gradient
from tests.ops.harness import check, lowered
from tests.ops.nn_checks import check_both

torch.manual_seed(0)
SQUARE = torch.randn(2, 4, 4) + 3 * torch.eye(4)
TALL = torch.randn(2, 5, 3)
WIDE = TALL.mT.contiguous()
POSITIVE = SQUARE @ SQUARE.mT + torch.eye(4)
COMPLEX = torch.randn(2, 4, 4, dtype=torch.complex64) + 3 * torch.eye(4)
HERMITIAN = COMPLEX @ COMPLEX.mH + torch.eye(4)
NONE = torch.randn(2, 0, 0)


@pytest.mark.parametrize("upper", [False, True])
def test_cholesky_reads_one_triangle(upper):
    x = POSITIVE.clone()
    x[:, 0, 1:], x[:, 1:, 0] = (9, x[:, 1:, 0]) if not upper else (x[:, 0, 1:], 9)
    check_both(lambda x: torch.linalg.cholesky(x, upper=upper), x, op="aten.linalg_cholesky.default")
    check(lambda x: torch.linalg.cholesky_ex(x, upper=upper), x, op="aten.linalg_cholesky_ex.default", tolerance=1e-4)
    for positive in (POSITIVE, HERMITIAN):
        ours = functools.partial(real.cholesky, upper=upper)
        check_gradient(ours, lambda x: torch.linalg.cholesky(x, upper=upper), positive)


@pytest.mark.parametrize("upper", [False, True])
def test_from_a_cholesky_factor(upper):
    factor = torch.linalg.cholesky(POSITIVE, upper=upper)
    b = torch.randn(2, 4, 3)
    check_both(lambda b, f: torch.cholesky_solve(b, f, upper), b, factor, op="aten.cholesky_solve.default")
    check_both(lambda b, f: torch.cholesky_solve(b, f, upper), b[:1], factor, op="aten.cholesky_solve.default")
    check_both(lambda f: torch.cholesky_inverse(f, upper), factor, op="aten.cholesky_inverse.default")
    hermitian = torch.linalg.cholesky(HERMITIAN, upper=upper)
    ours = functools.partial(real.cholesky_solve, upper=upper)
    check_gradient(ours, lambda b, f: torch.cholesky_solve(b, f, upper), b + 1j * b.flip(0), hermitian)
    ours = functools.partial(real.cholesky_inverse, upper=upper)
    check_gradient(ours, lambda f: torch.cholesky_inverse(f, upper), hermitian)


@pytest.mark.parametrize("uplo", ["L", "U"])
def test_eigh(uplo):
    x = POSITIVE + torch.triu(torch.ones(4, 4), 1)
    check_both(lambda x: torch.linalg.eigh(x, uplo)[0], x, op="aten.linalg_eigh.default")
    check_both(lambda x: torch.linalg.eigvalsh(x, uplo), x, op="aten.linalg_eigvalsh.default")

    def rebuilt(x):
        values, vectors = torch.linalg.eigh(x, uplo)
        return vectors @ (values[:, :, None] * vectors.mT)

    check_both(rebuilt, x, op="aten.linalg_eigh.default")
    ours = functools.partial(real.hermitian, upper=uplo == "U")
    check_gradient(lambda x: ours(x) @ ours(x), lambda x: (x + x.mH) / 2 @ (x + x.mH) / 2, HERMITIAN)


def test_eigenvalues():
    diagonal = torch.diag(torch.arange(1.0, 4))
    check(torch.linalg.eigvals, diagonal, op="aten.linalg_eigvals.default")
    check(torch.linalg.eig, diagonal, op="aten.linalg_eig.default")
    check(torch.linalg.eig, NONE, op="aten.linalg_eig.default")


@pytest.mark.parametrize("x", [TALL, WIDE])
def test_qr(x):
    check_both(torch.linalg.qr, x, op="aten.linalg_qr.default")
    check(lambda x: torch.linalg.qr(x, "complete"), x, op="aten.linalg_qr.default", tolerance=1e-4)
    check(lambda x: torch.linalg.qr(x, "r"), x, op="aten.linalg_qr.default", tolerance=1e-4)
    check_both(torch.geqrf, x, op="aten.geqrf.default")


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_products_of_reflectors(dtype):
    reflectors, tau = torch.geqrf(torch.randn(2, 4, 3, dtype=dtype))
    op = "aten.linalg_householder_product.default"
    check(torch.linalg.householder_product, reflectors, tau, op=op)
    check_gradient(real.householder_product, torch.linalg.householder_product, reflectors, tau)
    for left in (False, True):
        for transpose in (False, True):
            x = torch.randn(2, 4, 5, dtype=dtype) if left else torch.randn(2, 5, 4, dtype=dtype)
            options = {"left": left, "transpose": transpose}
            check(lambda a, t, x, o=options: torch.ormqr(a, t, x, **o), reflectors, tau, x, op="aten.ormqr.default")


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("x", [TALL, WIDE, SQUARE])
def test_svd(x, full):
    def rebuilt(x):
        u, s, vh = torch.linalg.svd(x, full_matrices=full)
        return u[..., : s.shape[-1]] @ (s[:, :, None] * vh[..., : s.shape[-1], :]), s, u.mT @ u, vh @ vh.mT

    check_both(rebuilt, x, op="aten.linalg_svd.default")

    def rebuilt_by_older_op(x):
        u, s, v = torch.svd(x, some=not full)
        return u[..., : s.shape[-1]] @ (s[:, :, None] * v.mT[..., : s.shape[-1], :])

    check(rebuilt_by_older_op, x, op="aten.svd.default", tolerance=1e-4)
    check(lambda x: torch.svd(x, some=not full, compute_uv=False), x, op="aten.svd.default", tolerance=1e-4)


def test_gradient_of_a_full_svd():
    def settled(function):
        def parts(x):
            u, s, vh = function(x)
            return u[..., :3] @ vh[..., :3, :], s

        return parts

    for x in (TALL, WIDE):
        check_gradient(settled(real.svd), settled(torch.linalg.svd), x)


@pytest.mark.parametrize("x", [TALL, WIDE, SQUARE])
def test_lu(x):
    check_both(torch.linalg.lu, x, op="aten.linalg_lu.default")
    check(torch.linalg.lu_factor, x, op="aten.linalg_lu_factor.default", tolerance=1e-4)
    check(torch.linalg.lu_factor_ex, x, op="aten.linalg_lu_factor_ex.default", tolerance=1e-4)
    factors, pivots = torch.linalg.lu_factor(x)
    for data, swaps in ((True, True), (False, True), (True, False)):
        check(
            lambda f, p, d=data, s=swaps: torch.lu_unpack(f, p, d, s),
            factors,
            pivots,
            op="aten.lu_unpack.default",
        )


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("adjoint", [False, True])
def test_lu_solve(left, adjoint):
    factors, pivots = torch.linalg.lu_factor(COMPLEX)
    options = {"left": left, "adjoint": adjoint}
    b = torch.randn(2, 4, 3, dtype=torch.complex64)
    b = b if left else b.mT
    check(
        lambda f, p, b: torch.linalg.lu_solve(f, p, b, **options),
        factors,
        pivots,
        b,
        op="aten.linalg_lu_solve.default",
    )


def test_which_pivot_is_zero():
    singular = torch.stack([torch.diag(torch.tensor([1.0, 0, 0])), torch.eye(3)])
    check(torch.linalg.lu_factor_ex, singular, op="aten.linalg_lu_factor_ex.default")
    check(lambda x: torch.linalg.inv_ex(x)[1], singular, op="aten.linalg_inv_ex.default")
    check(torch.linalg.lu_factor_ex, NONE, op="aten.linalg_lu_factor_ex.default")


def test_without_pivoting_is_refused():
    with pytest.raises(Unsupported, match="pivoting"):
        lowered(lambda x: torch.ops.aten.linalg_lu(x, pivot=False), SQUARE)


@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_ldl(dtype, hermitian):
    x = torch.randn(8, 5, 5, dtype=dtype)
    x[:3].diagonal(dim1=-2, dim2=-1)[:] = 0  # calls for blocks of two
    x[0, 2:] = x[0, :, 2:] = 0  # singular
    options = {"hermitian": hermitian}
    factor = functools.partial(torch.linalg.ldl_factor_ex, **options)
    check_both(factor, x, op="aten.linalg_ldl_factor_ex.default") if dtype == torch.float32 else check(factor, x)
    check(factor, NONE.to(dtype), op="aten.linalg_ldl_factor_ex.default")
    ld, pivots, _ = factor(x[1:])
    b = torch.randn(5, 2, dtype=dtype)
    solve = functools.partial(torch.linalg.ldl_solve, **options)
    check(solve, ld, pivots, b.expand(7, 5, 2), op="aten.linalg_ldl_solve.default", tolerance=1e-3)


def test_cholesky_ex_tells_where_it_fails():
    x = torch.stack([torch.eye(4), torch.eye(4), torch.eye(4)])
    x[1, 2, 2], x[2, 0, 0] = -1, 0
    x[0, 1, 0] = x[0, 0, 1] = 0.5
    for upper in (False, True):
        check(
            lambda x: torch.linalg.cholesky_ex(x, upper=upper).info,  # noqa: B023
            x,
            op="aten.linalg_cholesky_ex.default",
        )
