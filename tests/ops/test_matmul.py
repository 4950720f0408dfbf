import pytest
import torch
import torch.nn.functional as F

from op_table.registry import Unsupported
from tests.ops.harness import check, lowered
from tests.ops.nn_checks import check_both


def rand(*shape):
    return torch.randn(shape)


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0, 3)])
@pytest.mark.parametrize("bias", [False, True])
def test_linear(leading, bias):
    check_both(F.linear, rand(*leading, 4), rand(5, 4), *([rand(5)] if bias else []), op="aten.linear.default")


def test_linear_with_a_vector():
    check(F.linear, rand(2, 4), rand(4), op="aten.linear.default")


@pytest.mark.parametrize(
    "a, b",
    [((4,), (4,)), ((4,), (4, 3)), ((3, 4), (4,)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3)), ((2, 1, 3, 4), (5, 4, 2))],
)
def test_matmul(a, b):
    check(torch.matmul, rand(*a), rand(*b), op="aten.matmul.default")


@pytest.mark.parametrize(
    "name, a, b",
    [
        ("mm", (3, 4), (4, 5)),
        ("bmm", (2, 3, 4), (2, 4, 5)),
        ("dot", (4,), (4,)),
        ("mv", (3, 4), (4,)),
        ("vdot", (4,), (4,)),
        ("inner", (2, 4), (3, 4)),
        ("outer", (3,), (4,)),
        ("ger", (3,), (4,)),
        ("kron", (2, 3), (3, 2, 2)),
    ],
)
def test_products(name, a, b):
    check_both(getattr(torch, name), rand(*a), rand(*b), op=f"aten.{name}.default")


def test_products_of_complex_numbers_and_mixed_dtypes():
    a, b = torch.randn(4, dtype=torch.complex64), torch.randn(4, dtype=torch.complex64)
    check(torch.vdot, a, b, op="aten.vdot.default")
    check(torch.dot, a, b, op="aten.dot.default")
    check(torch.linalg.vecdot, a, b, op="aten.linalg_vecdot.default")
    check(torch.outer, torch.arange(3), rand(4), op="aten.outer.default")


SUMS = {
    "addmm": ((5,), (3, 4), (4, 5)),
    "baddbmm": ((2, 3, 5), (2, 3, 4), (2, 4, 5)),
    "addmv": ((3,), (3, 4), (4,)),
    "addbmm": ((3, 5), (2, 3, 4), (2, 4, 5)),
    "addr": ((3, 4), (3,), (4,)),
}


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("scales", [{}, {"beta": 0.5, "alpha": 2}])
def test_sums_of_products(name, scales):
    check_both(
        lambda *xs: getattr(torch, name)(*xs, **scales), *(rand(*s) for s in SUMS[name]), op=f"aten.{name}.default"
    )


def test_beta_of_zero_does_not_read():
    nan = torch.full((3, 5), torch.nan)
    check(lambda x, a, b: torch.addmm(x, a, b, beta=0), nan, rand(3, 4), rand(4, 5), op="aten.addmm.default")


def test_integers():
    a, b = torch.randint(9, (2, 3)), torch.randint(9, (3, 2))
    check(torch.matmul, a, b, op="aten.matmul.default")
    check(lambda x, a, b: torch.addmm(x, a, b, alpha=2), torch.randint(9, (2, 2)), a, b, op="aten.addmm.default")


@pytest.mark.parametrize(
    "equation, shapes",
    [
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
        ("b i j, b k j -> b i k", [(2, 3, 4), (2, 5, 4)]),
        ("...ij,jk", [(2, 3, 4), (4, 5)]),
        ("ii->i", [(4, 4)]),
        ("ba", [(2, 3)]),
        ("bB,bA", [(2, 3), (2, 4)]),
        ("i,j,k->kij", [(2,), (3,), (4,)]),
        ("...a,...b->...", [(2, 3), (1, 4)]),
        ("ij,ij->i", [(2, 3), (2, 1)]),
    ],
)
def test_einsum(equation, shapes):
    check_both(lambda *xs: torch.einsum(equation, *xs), *(rand(*s) for s in shapes), op="aten.einsum.default")


def test_others():
    check_both(
        lambda a, b: torch.tensordot(a, b, dims=([1, 2], [2, 0])),
        rand(2, 3, 4),
        rand(4, 5, 3),
        op="aten.tensordot.default",
    )
    check_both(F.bilinear, rand(2, 6, 3), rand(2, 6, 4), rand(5, 3, 4), rand(5), op="aten.bilinear.default")
    check_both(
        lambda *x: torch.linalg.multi_dot(x), rand(3), rand(3, 4), rand(4, 2), op="aten.linalg_multi_dot.default"
    )
    check_both(lambda a, b: torch.linalg.vecdot(a, b, dim=0), rand(3, 4), rand(3, 1), op="aten.linalg_vecdot.default")
    check_both(lambda x: torch.linalg.matrix_power(x, 3), rand(2, 3, 3), op="aten.linalg_matrix_power.default")


@pytest.mark.parametrize("ends", [[2, 2, 7], [0, 4, 6]])
def test_grouped_mm(ends):
    """torch.export takes bfloat16 alone. Groups that are empty; rows behind the last one, which torch leaves undefined."""
    x, weight, offs = rand(7, 8).bfloat16(), rand(3, 8, 16).bfloat16(), torch.tensor(ends, dtype=torch.int32)
    check(lambda x, w, o: F.grouped_mm(x, w, offs=o)[: ends[-1]], x, weight, offs, op="aten._grouped_mm.default")
    check(F.grouped_mm, rand(3, 16, 8).bfloat16(), weight, op="aten._grouped_mm.default")
    with pytest.raises(Unsupported, match="rows"):
        lowered(lambda x, w, o: F.grouped_mm(x, w, offs=o), x, weight[0], offs)


@pytest.mark.parametrize("ends", [[2, 2, 7], [0, 4, 6]])
def test_grouped_mm_of_transformers(ends):
    pytest.importorskip("transformers.integrations.moe")
    check_both(
        torch.ops.transformers.grouped_mm_fallback,
        *(rand(7, 4), rand(3, 4, 5), torch.tensor(ends)),
        op="transformers.grouped_mm_fallback.default",
    )


def test_integers_and_bools():
    x, a, b = torch.arange(4).reshape(2, 2), torch.arange(4, 8).reshape(2, 2), torch.ones(2, 2, dtype=torch.int64)
    check(lambda x, a, b: torch.addmm(x, a, b, beta=0.6, alpha=2.5), x, a, b, op="aten.addmm.default")
    mask = x > 1
    check(torch.kron, mask, ~mask, op="aten.kron.default")
    check(torch.kron, mask, torch.tensor(0.5), op="aten.kron.default")
    check(torch.kron, x.byte(), torch.tensor(-3, dtype=torch.int32), op="aten.kron.default")
    for beta in (0, 1):
        for alpha in (0, 1):
            function = lambda x, a, b, beta=beta, alpha=alpha: torch.addr(x, a, b, beta=beta, alpha=alpha)
            check(function, mask, mask[:, 0], mask[1], op="aten.addr.default")


def test_tensordot_stretches_axes_of_length_one():
    x, y = torch.randn(3, 1, 4), torch.randn(2, 4, 5)
    for a, b in ((x, y), ((x * 9).int().byte(), (y * 9).int().byte())):
        check(lambda x, y: torch.tensordot(x, y, ([1, 2], [0, 1])), a, b, op="aten.tensordot.default")
