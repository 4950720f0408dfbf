import pytest
import torch

from op_table.registry import Unsupported
from tests.ops.harness import check, lowered
from tests.ops.nn_checks import check_both

torch.manual_seed(0)
SQUARE = torch.randn(2, 4, 4) + 3 * torch.eye(4)
TALL = torch.randn(2, 5, 3)
POSITIVE = SQUARE @ SQUARE.mT + torch.eye(4)


@pytest.mark.parametrize("name", ["inv", "det", "slogdet", "matrix_exp", "svdvals", "eigvalsh"])
def test_of_one_matrix(name):
    x = POSITIVE if name == "eigvalsh" else SQUARE / 3
    check_both(getattr(torch.linalg, name), x, op=f"aten.linalg_{name}.default")


def test_older_names():
    check(torch.inverse, SQUARE, op="aten.inverse.default", tolerance=1e-4)
    check(torch.logdet, torch.stack([torch.eye(3), -torch.eye(3)]), op="aten.logdet.default")
    check(torch.pinverse, SQUARE, op="aten.pinverse.default", tolerance=1e-4)
    check(lambda x: torch.cross(x, x.flip(0)), torch.randn(2, 3, 4), op="aten.cross.default")


@pytest.mark.parametrize("upper", [False, True])
def test_cholesky_reads_one_triangle(upper):
    x = POSITIVE.clone()
    x[:, 0, 1:], x[:, 1:, 0] = (9, x[:, 1:, 0]) if not upper else (x[:, 0, 1:], 9)
    check_both(lambda x: torch.linalg.cholesky(x, upper=upper), x, op="aten.linalg_cholesky.default")


@pytest.mark.parametrize("uplo", ["L", "U"])
def test_eigh(uplo):
    x = POSITIVE + torch.triu(torch.ones(4, 4), 1)
    check_both(lambda x: torch.linalg.eigh(x, uplo)[0], x, op="aten.linalg_eigh.default")

    def rebuilt(x):
        values, vectors = torch.linalg.eigh(x, uplo)
        return vectors @ (values[:, :, None] * vectors.mT)

    check_both(rebuilt, x, op="aten.linalg_eigh.default")


@pytest.mark.parametrize("x", [TALL, TALL.mT.contiguous()])
def test_factorisations(x):
    check_both(torch.linalg.qr, x, op="aten.linalg_qr.default")
    check(lambda x: torch.linalg.qr(x, "complete"), x, op="aten.linalg_qr.default", tolerance=1e-4)
    check(lambda x: torch.linalg.qr(x, "r"), x, op="aten.linalg_qr.default", tolerance=1e-4)
    check_both(torch.linalg.lu, x, op="aten.linalg_lu.default")
    check(torch.linalg.lu_factor, x, op="aten.linalg_lu_factor.default", tolerance=1e-4)


@pytest.mark.parametrize("full", [False, True])
def test_svd(full):
    def rebuilt(x):
        u, s, vh = torch.linalg.svd(x, full_matrices=full)
        return u[..., :3] @ (s[:, :, None] * vh), s

    check_both(rebuilt, TALL, op="aten.linalg_svd.default")

    def rebuilt_by_older_op(x):
        u, s, v = torch.svd(x)
        return u @ (s[:, :, None] * v.mT)

    check(rebuilt_by_older_op, TALL, op="aten.svd.default", tolerance=1e-4)


def test_eigenvalues():
    check(torch.linalg.eigvals, torch.diag(torch.arange(1.0, 4)), op="aten.linalg_eigvals.default")
    check(lambda x: torch.linalg.eig(x)[0], torch.diag(torch.arange(1.0, 4)), op="aten.linalg_eig.default")


@pytest.mark.parametrize("b", [(2, 4, 3), (2, 4), (4, 3), (4,)])
def test_solve(b):
    if b == (4,):
        check(torch.linalg.solve, SQUARE[0], torch.randn(b), op="aten.linalg_solve.default", tolerance=1e-4)
    else:
        check_both(torch.linalg.solve, SQUARE, torch.randn(b), op="aten.linalg_solve.default")


def test_solve_from_the_right_and_with_info():
    b = torch.randn(2, 3, 4)
    check(lambda a, b: torch.linalg.solve(a, b, left=False), SQUARE, b, op="aten.linalg_solve.default", tolerance=1e-4)
    check(torch.linalg.solve_ex, SQUARE, SQUARE.flip(0), op="aten.linalg_solve_ex.default", tolerance=1e-4)
    check(torch.linalg.inv_ex, SQUARE, op="aten.linalg_inv_ex.default", tolerance=1e-4)
    check(torch.linalg.cholesky_ex, POSITIVE, op="aten.linalg_cholesky_ex.default", tolerance=1e-4)


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("unit", [False, True])
def test_solve_triangular(upper, left, unit):
    a = SQUARE[0].triu() if upper else SQUARE[0].tril()
    b = torch.randn(3, 4, 2) if left else torch.randn(3, 2, 4)
    options = {"upper": upper, "left": left, "unitriangular": unit}
    op = "aten.linalg_solve_triangular.default"
    check(lambda a, b: torch.linalg.solve_triangular(a, b, **options), a, b, op=op, tolerance=1e-4)


@pytest.mark.parametrize("upper", [False, True])
def test_cholesky_solve(upper):
    factor = torch.linalg.cholesky(POSITIVE, upper=upper)
    op = "aten.cholesky_solve.default"
    check_both(lambda b, f: torch.cholesky_solve(b, f, upper), torch.randn(2, 4, 3), factor, op=op)


@pytest.mark.parametrize("options", [{}, {"rtol": 0.2}, {"atol": 0.5}, {"hermitian": True}])
def test_pinv(options):
    x = POSITIVE if "hermitian" in options else TALL
    check_both(lambda x: torch.linalg.pinv(x, **options), x, op=None)


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 2, -2, 1, -1, float("inf")])
def test_norms(ord):
    check_both(lambda x: torch.linalg.norm(x, ord, dim=(0, 2)), TALL, op=None)
    if ord is not None:
        check(lambda x: torch.linalg.matrix_norm(x, ord, keepdim=True), TALL, op=None, tolerance=1e-4)


def test_norms_of_all_elements_and_of_vectors():
    check(torch.linalg.norm, TALL, op="aten.linalg_norm.default")
    check(lambda x: torch.linalg.norm(x, 3, dim=1), TALL, op="aten.linalg_norm.default")


def test_tensors():
    check_both(lambda x, y: torch.linalg.cross(x, y, dim=1), torch.randn(2, 3, 4), torch.randn(1, 3, 4), op=None)
    check(lambda x: torch.linalg.tensorinv(x), torch.randn(2, 3, 6), op="aten.linalg_tensorinv.default", tolerance=1e-3)
    check(torch.linalg.tensorsolve, torch.randn(2, 3, 6), torch.randn(2, 3), tolerance=1e-3)


def test_without_pivoting_is_refused():
    with pytest.raises(Unsupported, match="pivoting"):
        lowered(lambda x: torch.ops.aten.linalg_lu(x, pivot=False), SQUARE)
