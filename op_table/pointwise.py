"""Elementwise ops: one value in each place from the values in that place, with broadcasting and torch's promotion."""

from __future__ import annotations

from op_table.dtypes import cast, promoted
from op_table.expr import Expr, jax, jnp
from op_table.registry import lowers

# Ops that are one function of one array.
UNARY = {
    "tanh": jnp.tanh,
    "exp": jnp.exp,
    "neg": lambda x: -x,
    "rsqrt": jax.lax.rsqrt,
    "relu": jax.nn.relu,
}

for _name, _function in UNARY.items():
    lowers(f"aten.{_name}.default")(_function)


@lowers("aten.add.Tensor", "aten.add.Scalar")
def add(x: Expr, other: Expr, *, alpha=1) -> Expr:
    x, other = promoted(x, other)
    return x + (other if alpha == 1 else alpha * other)


@lowers("aten.gelu.default")
def gelu(x: Expr, *, approximate: str = "none") -> Expr:
    return jax.nn.gelu(x, approximate=approximate == "tanh")


@lowers("aten.softmax.int")
def softmax(x: Expr, dim: int, dtype=None) -> Expr:
    return jax.nn.softmax(cast(x, dtype), axis=dim)
