"""Distances and similarities of vectors."""

from __future__ import annotations

from op_table.dtypes import promoted
from op_table.expr import Expr, prelude, static
from op_table.prelude import distance as real
from op_table.registry import lowers

# How torch numbers the modes of its cdist, and of how many rows it takes no product unless asked to.
_PRODUCT, _DIFFERENCES, _FEW_ROWS = 1, 2, 25


@lowers("aten.cosine_similarity.default")
def cosine_similarity(x1: Expr, x2: Expr, dim: int = 1, eps: float = 1e-8) -> Expr:
    x1, x2 = promoted(x1, x2)
    if x1.ndim == x2.ndim == 0:
        x1, x2 = x1[None], x2[None]
    # torch counts a negative dim from the end of what both broadcast to.
    axis = dim % max(x1.ndim, x2.ndim)
    options = {"axis": axis} if axis != 1 else {}
    return prelude(real.cosine_similarity)(x1, x2, **options, **({"eps": eps} if eps != 1e-8 else {}))


@lowers("aten.pairwise_distance.default")
def pairwise_distance(x1: Expr, x2: Expr, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Expr:
    options = {"p": p} if p != 2 else {}
    if eps != 1e-6:
        options["eps"] = eps
    if keepdim:
        options["keepdims"] = True
    return prelude(real.pairwise_distance)(*promoted(x1, x2), **options)


@lowers("aten.cdist.default", "aten._cdist_forward.default")
def cdist(x1: Expr, x2: Expr, p: float = 2.0, compute_mode: int | None = None) -> Expr:
    if p != 2:
        return prelude(real.difference_norm)(x1, x2, p)
    rows = x1.shape[-2], x2.shape[-2]
    if not compute_mode and all(map(static, rows)):
        compute_mode = _PRODUCT if max(rows) > _FEW_ROWS else _DIFFERENCES
    forms = {_PRODUCT: real.euclidean_distance, _DIFFERENCES: real.difference_norm}
    return prelude(forms.get(compute_mode, real.cdist))(x1, x2)


@lowers("aten.pdist.default", "aten._pdist_forward.default")
def pdist(x: Expr, p: float = 2.0) -> Expr:
    return prelude(real.pdist)(x, *(() if p == 2 else (p,)))


@lowers("aten.renorm.default")
def renorm(x: Expr, p: float, dim: int, maxnorm: float) -> Expr:
    return prelude(real.renorm)(x, p, dim % x.ndim, maxnorm)
