"""Products of matrices and vectors."""

from __future__ import annotations

import numpy as np
import torch

from op_table.axes import positive
from op_table.dtypes import cast, is_integer, promoted, to_numpy, to_torch, written
from op_table.expr import Expr, jnp, lax
from op_table.registry import Unsupported, lowers

INT8 = np.dtype("int8")


def _linear(x: Expr, weight: Expr) -> Expr:
    return x @ (weight.T if weight.ndim == 2 else weight)


@lowers("aten.linear.default")
def linear(input: Expr, weight: Expr, bias: Expr | None = None) -> Expr:
    y = _linear(input, weight)
    return y if bias is None else y + bias


@lowers(*(f"aten.{name}.default" for name in ("matmul", "mm", "bmm", "dot", "mv", "linalg_matmul")))
def matmul(x: Expr, other: Expr) -> Expr:
    return x @ other


# Ops that are one function of two arrays of one dtype.
PRODUCTS = {
    "vdot": jnp.vdot,
    "inner": jnp.inner,
}

for _name, _function in PRODUCTS.items():
    lowers(f"aten.{_name}.default")(_function)


@lowers("aten.outer.default", "aten.ger.default")
def outer(x: Expr, vec2: Expr) -> Expr:
    return jnp.outer(*promoted(x, vec2))


@lowers("aten.kron.default")
def kron(x: Expr, other: Expr) -> Expr:
    dtype = to_numpy(
        torch.promote_types(to_torch(x.dtype), to_torch(other.dtype))
    )  # an array without axes has a say, too
    x, other = cast(x, dtype), cast(other, dtype)
    if x.dtype.kind == "b":
        return cast(jnp.kron(cast(x, INT8), cast(other, INT8)), x.dtype)
    return jnp.kron(x, other)


def _scaled_sum(x: Expr, product: Expr, beta, alpha) -> Expr:
    """beta * x + alpha * product. torch does not read x where beta is 0, not even for its NaN."""
    if x.dtype.kind == "b":
        product = product if alpha else jnp.zeros_like(product)
        return x | product if beta else product
    if is_integer(x.dtype):
        alpha, beta = int(alpha), int(beta)
    if alpha != 1:
        product = alpha * product
    if beta == 0:
        return product
    return (x if beta == 1 else beta * x) + product


@lowers("aten.addmm.default")
def addmm(x: Expr, mat1: Expr, mat2: Expr, *, beta=1, alpha=1) -> Expr:
    return _scaled_sum(x, mat1 @ mat2, beta, alpha)


@lowers("aten.baddbmm.default")
def baddbmm(x: Expr, batch1: Expr, batch2: Expr, *, beta=1, alpha=1) -> Expr:
    return _scaled_sum(x, batch1 @ batch2, beta, alpha)


@lowers("aten.addmv.default")
def addmv(x: Expr, mat: Expr, vec: Expr, *, beta=1, alpha=1) -> Expr:
    return _scaled_sum(x, mat @ vec, beta, alpha)


@lowers("aten.addbmm.default")
def addbmm(x: Expr, batch1: Expr, batch2: Expr, *, beta=1, alpha=1) -> Expr:
    return _scaled_sum(x, jnp.einsum("bij,bjk->ik", batch1, batch2), beta, alpha)


@lowers("aten.addr.default")
def addr(x: Expr, vec1: Expr, vec2: Expr, *, beta=1, alpha=1) -> Expr:
    return _scaled_sum(x, jnp.outer(vec1, vec2), beta, alpha)


@lowers("aten.einsum.default")
def einsum(equation: str, tensors: list[Expr], *, path=None) -> Expr:
    return jnp.einsum(equation.replace(" ", ""), *tensors)


@lowers("aten.tensordot.default")
def tensordot(x: Expr, other: Expr, dims_self: list[int], dims_other: list[int]) -> Expr:
    # torch stretches a contracted axis of length one to the other's length: that sums the other.
    lengths = [
        (x.shape[positive(a, x.ndim)], other.shape[positive(b, other.ndim)])
        for a, b in zip(dims_self, dims_other, strict=True)
    ]
    for a, b, (m, n) in zip(dims_self, dims_other, lengths, strict=True):
        if m == 1 and n != 1:
            other = _total(other, b)
        elif n == 1 and m != 1:
            x = _total(x, a)
    return jnp.tensordot(x, other, axes=(tuple(dims_self), tuple(dims_other)))


def _total(x: Expr, axis: int) -> Expr:
    if x.dtype == bool:
        return jnp.any(x, axis=axis, keepdims=True)
    return jnp.sum(x, axis=axis, keepdims=True, **({"dtype": written(x.dtype)} if is_integer(x.dtype) else {}))


@lowers("aten.bilinear.default")
def bilinear(input1: Expr, input2: Expr, weight: Expr, bias: Expr | None = None) -> Expr:
    y = jnp.einsum("...i,oij,...j->...o", input1, weight, input2)
    return y if bias is None else y + bias


@lowers("aten.linalg_multi_dot.default", "aten.chain_matmul.default")
def multi_dot(tensors: list[Expr]) -> Expr:
    return jnp.linalg.multi_dot(tensors)


@lowers("aten.linalg_vecdot.default")
def vecdot(x: Expr, y: Expr, *, dim: int = -1) -> Expr:
    return jnp.vecdot(*promoted(x, y), **({} if dim == -1 else {"axis": dim}))


@lowers("aten.linalg_matrix_power.default", "aten.matrix_power.default")
def matrix_power(x: Expr, n: int) -> Expr:
    return jnp.linalg.matrix_power(x, n)


@lowers("transformers.grouped_mm_fallback.default")
def grouped_mm_fallback(input: Expr, weight: Expr, offs: Expr) -> Expr:
    """offs: where each group of rows ends. Rows behind the last group are 0."""
    return lax.ragged_dot(input, weight, jnp.diff(offs, prepend=0))


@lowers("aten._grouped_mm.default")
def grouped_mm(x: Expr, mat2: Expr, offs: Expr | None = None, bias: Expr | None = None, out_dtype=None) -> Expr:
    if bias is not None or out_dtype not in (None, x.dtype):
        raise Unsupported("grouped_mm with a bias or another dtype of its result")
    if (x.ndim, mat2.ndim) == (3, 3):
        return x @ mat2
    if (x.ndim, mat2.ndim) == (2, 3):
        return grouped_mm_fallback(x, mat2, offs)
    raise Unsupported(f"grouped_mm of {x.ndim} axes by {mat2.ndim}, whose groups are not of the first one's rows")
