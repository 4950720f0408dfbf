"""Casts, and complex numbers as pairs of reals."""

import torch

from tests.ops.tables import check_table

torch.manual_seed(0)
aten = torch.ops.aten
X = torch.randn(2, 3, 2) * 3
INTS = torch.tensor([[0, 1, 300], [-1, 2, -300]])
Z = torch.randn(2, 3, dtype=torch.complex64)


def test_casts():
    dtypes = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.bool]
    rows = [("aten.to.dtype", lambda x, d=d: x.to(d), [x]) for d in dtypes for x in (X, INTS, INTS > 0, X.half())]
    rows += [
        ("aten.to.dtype", lambda x: x.to(torch.uint8), [INTS]),
        ("aten.to.dtype", lambda x: x.to(torch.uint8), [torch.tensor([-3.0, 300.5, 7.9])]),
        ("aten.to.dtype", lambda x: x.to(torch.int8), [torch.tensor([-3.5 + 1j, 300.0, 200.0])]),
        ("aten.to.dtype", lambda x: x.to(torch.complex64), [X]),
        ("aten.to.dtype", lambda x: x.to(torch.float32), [Z]),
        ("aten.to.dtype_layout", lambda x: aten.to.dtype_layout(x, dtype=torch.float16), [X]),
        ("aten.to.device", lambda x: aten.to.device(x, torch.device("cpu"), torch.int32), [X]),
        ("aten._to_copy.default", lambda x: aten._to_copy(x, dtype=torch.int32), [X]),
        ("aten.type_as.default", lambda x, y: x.type_as(y), [X, INTS]),
        ("aten.to.other", lambda x, y: aten.to.other(x, y), [INTS, X]),
        ("aten.view.dtype", lambda x: x.view(torch.int32), [X]),
    ]
    check_table(rows)


def test_complex():
    check_table(
        [
            ("aten.view_as_complex.default", torch.view_as_complex, [X]),
            ("aten.view_as_real.default", torch.view_as_real, [Z]),
            ("aten.complex.default", torch.complex, [X, X * 2]),
            ("aten.complex.default", torch.complex, [X[0], torch.tensor([float("inf"), 1.0])]),
            ("aten.polar.default", torch.polar, [X.abs(), X]),
            ("aten.real.default", torch.real, [Z]),
            ("aten.imag.default", torch.imag, [Z]),
            ("aten._conj.default", lambda x: torch.conj(x) * 2, [Z]),
            ("aten.conj_physical.default", torch.conj_physical, [Z]),
            ("aten.abs.default", torch.abs, [Z]),
            ("aten.angle.default", torch.angle, [Z]),
            ("aten.mul.Tensor", lambda x, y: x * y, [Z, X[..., 0]]),
            ("aten.mul.Tensor", lambda x: x * 2.5, [Z]),
            ("aten.exp.default", torch.exp, [Z]),
        ]
    )
