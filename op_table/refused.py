"""Ops that have no equal in JAX, each with the reason that is given."""

from __future__ import annotations

from typing import Any

from op_table.expr import Expr
from op_table.registry import Unsupported, lowers

_SPARSE = "sparse tensors are not translated"

REFUSED = {
    "_sparse_mm_reduce_impl.default": _SPARSE,
    "_to_sparse.default": _SPARSE,
    "_to_sparse.sparse_dim": _SPARSE,
    "hash_tensor.default": "a hash of 64 bits needs uint64, which JAX has only with x64",
    "sparse_sampled_addmm.default": _SPARSE,
    "to_sparse.default": _SPARSE,
    "to_sparse.sparse_dim": _SPARSE,
}


def _refusing(reason: str):
    def rule(*args: Any, **kwargs: Any) -> Expr:
        raise Unsupported(reason)

    return rule


for _name, _reason in REFUSED.items():
    lowers(f"aten.{_name}")(_refusing(_reason))
