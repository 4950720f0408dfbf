import pytest
import torch

from op_table.prelude import linalg as real
from op_table.prelude import norms
from op_table.registry import Unsupported
from tests.ops.gradients import check_gradient
from tests.ops.harness import check, lowered
from tests.ops.nn_checks import check_both

torch.manual_seed(0)
SQUARE = torch.randn(2, 4, 4) + 3 * torch.eye(4)
TALL = torch.randn(2, 5, 3)
POSITIVE = SQUARE @ SQUARE.mT + torch.eye(4)
COMPLEX = torch.randn(2, 4, 4, dtype=torch.complex64)
HERMITIAN = COMPLEX + COMPLEX.mH


@pytest.mark.parametrize("name", ["inv", "det", "slogdet", "matrix_exp", "svdvals"])
def test_of_one_matrix(name):
    check_both(getattr(torch.linalg, name), SQUARE / 3, op=f"aten.linalg_{name}.default")


def test_older_names():
    check(torch.inverse, SQUARE, op="aten.inverse.default", tolerance=1e-4)
    check(torch.logdet, torch.stack([torch.eye(3), -torch.eye(3)]), op="aten.logdet.default")
    check(torch.pinverse, SQUARE, op="aten.pinverse.default", tolerance=1e-4)
    check(lambda x: torch.cross(x, x.flip(0)), torch.randn(2, 3, 4), op="aten.cross.default")


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
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("unit", [False, True])
def test_older_triangular_solve(upper, transpose, unit):
    a = SQUARE[0].triu() if upper else SQUARE[0].tril()
    function = lambda b, a: torch.triangular_solve(b, a, upper, transpose, unit)
    check(function, torch.randn(3, 4, 2), a.expand(3, 4, 4), op="aten.triangular_solve.default", tolerance=1e-4)


@pytest.mark.parametrize("options", [{}, {"rtol": 0.2}, {"atol": 0.5}, {"hermitian": True}])
def test_pinv(options):
    x = POSITIVE if "hermitian" in options else TALL
    check_both(lambda x: torch.linalg.pinv(x, **options), x, op=None)


def test_pinv_with_tolerances_that_are_arrays():
    tolerances = torch.tensor([0.0, 2.0]), torch.tensor([0.2, 0.0])
    check_both(lambda x, a, r: torch.linalg.pinv(x, atol=a, rtol=r), TALL, *tolerances, op=None)
    check_both(lambda x, a: torch.linalg.pinv(x, atol=a), TALL, tolerances[0], op=None)
    check(torch.linalg.pinv, torch.randn(2, 0, 3), op=None)
    check(torch.linalg.pinv, torch.zeros(2, 3), op=None)


def test_gradient_of_pinv():
    for x in (TALL, TALL.mT, HERMITIAN):
        hermitian = x is HERMITIAN
        ours = lambda x, h=hermitian: real.pinv(x, atol=0.1, hermitian=h)
        check_gradient(ours, lambda x, h=hermitian: torch.linalg.pinv(x, atol=0.1, hermitian=h), x)


@pytest.mark.parametrize("hermitian", [False, True])
def test_matrix_rank(hermitian):
    x = torch.stack([torch.eye(3), torch.diag(torch.tensor([1.0, 1e-3, 0])), torch.zeros(3, 3)])
    for options in ({}, {"rtol": 0.1}, {"atol": 0.1}, {"atol": torch.tensor([0.1, 0.0, 0.1])}, {"tol": 0.1}):
        check(lambda x, o=options: torch.linalg.matrix_rank(x, hermitian=hermitian, **o), x, op=None)
    check(lambda x: torch.linalg.matrix_rank(x, hermitian=hermitian), torch.randn(2, 0, 0), op=None)


@pytest.mark.parametrize("p", [None, 2, -2, "fro", "nuc", 1, -1, float("inf")])
def test_cond(p):
    op = "aten.linalg_cond.p_str" if isinstance(p, str) else "aten.linalg_cond.default"
    check_both(lambda x: torch.linalg.cond(x, p), SQUARE, op=op)


def test_logdet_of_complex_matrices():
    check(torch.logdet, COMPLEX, op="aten.logdet.default")


def test_matrix_exp_in_half_precision_is_refused():
    with pytest.raises(Unsupported, match="overflows"):
        lowered(torch.linalg.matrix_exp, SQUARE.bfloat16())


def test_determinant_of_nothing():
    check(torch.linalg.det, torch.randn(2, 0, 0), op="aten.linalg_det.default")


ORDS = [None, 0, 0.5, 1, 2, 3.5, float("inf"), -0.5, -1, -2, -float("inf")]
MATRIX_ORDS = ["fro", "nuc", 2, -2, 1, -1, float("inf"), -float("inf")]


@pytest.mark.parametrize("ord", [None, *MATRIX_ORDS])
def test_matrix_norms(ord):
    check_both(lambda x: torch.linalg.norm(x, ord, dim=(0, 2)), TALL, op=None)
    if ord is not None:
        check(lambda x: torch.linalg.matrix_norm(x, ord, keepdim=True), TALL, op=None, tolerance=1e-4)


@pytest.mark.parametrize("zero", [False, True])
def test_gradients_of_norms(zero):
    vector, matrix = torch.tensor([0.0, 2, 1, -2, 0.5]), SQUARE[0]
    complex_vector = torch.complex(vector, vector.flip(0) * 2)
    scale = 0 if zero else 1
    for ord in ORDS[1:]:
        for x in (vector, complex_vector):
            ours = lambda x, o=ord: norms.vector_norm(x, o, axis=0, keepdims=True)
            check_gradient(ours, lambda x, o=ord: torch.linalg.vector_norm(x, o, 0, True) + 0 * x[0].abs(), x * scale)
    for ord in MATRIX_ORDS:
        ours = lambda x, o=ord: norms.matrix_norm(x, o, keepdims=True)
        check_gradient(ours, lambda x, o=ord: torch.linalg.matrix_norm(x, o, keepdim=True), matrix * scale)


def test_norms_of_all_elements_and_of_vectors():
    check(torch.linalg.norm, TALL, op="aten.linalg_norm.default")
    for ord in ORDS:
        check(lambda x, o=ord: torch.linalg.norm(x, o, dim=1), TALL, op="aten.linalg_norm.default")
    check(lambda x: torch.linalg.norm(x, 1), torch.randn(0, 3), op="aten.linalg_norm.default")
    check(lambda x: torch.linalg.norm(x, dtype=torch.float64), TALL.half(), op=None)
    check(torch.linalg.norm, 300 * torch.ones(9).half(), op="aten.linalg_norm.default")  # the squares overflow


def test_tensors():
    check_both(lambda x, y: torch.linalg.cross(x, y, dim=1), torch.randn(2, 3, 4), torch.randn(1, 3, 4), op=None)
    check(lambda x: torch.linalg.tensorinv(x), torch.randn(2, 3, 6), op="aten.linalg_tensorinv.default", tolerance=1e-3)
    check(torch.linalg.tensorsolve, torch.randn(2, 3, 6), torch.randn(2, 3), tolerance=1e-3)
    other = torch.randn(2, 3)
    check(lambda x, y: torch.linalg.tensorsolve(x, y, (0, 2)), torch.randn(2, 6, 3), torch.randn(6), tolerance=1e-3)
    check(lambda x, y: torch.linalg.tensorsolve(x, y, (0,)), torch.randn(6, 3, 2), other, tolerance=1e-3)
