"""Ops that read or write the memory under a tensor. An array of JAX's shows no memory: they are lowered where it holds the elements in order."""

from __future__ import annotations

import math

import numpy as np

from op_table.dtypes import cast
from op_table.expr import Expr, Size, Value, prelude
from op_table.prelude import strided
from op_table.registry import Unsupported, lowers


def _require_memory(x: Value) -> None:
    if not x.whole or any(isinstance(size, Size) for size in x.shape):
        raise Unsupported(
            "the memory under this tensor is not its elements in order (it is a view, or its lengths are dynamic)"
        )


@lowers("aten.as_strided.default", "aten.as_strided_copy.default")
def as_strided(x: Value, size: list, stride: list, storage_offset: int | None = None) -> Expr:
    _require_memory(x)
    return prelude(strided.as_strided)(x, tuple(size), tuple(stride), *([storage_offset] if storage_offset else []))


@lowers("aten.as_strided_scatter.default")
def as_strided_scatter(x: Value, src: Value, size: list, stride: list, storage_offset: int | None = None) -> Expr:
    _require_memory(x)
    places = sum(
        (
            step * np.arange(n).reshape(-1, *[1] * (len(size) - axis - 1))
            for axis, (n, step) in enumerate(zip(size, stride, strict=True))
        ),
        np.zeros((), int),
    )
    if np.unique(places).size != math.prod(size):
        raise Unsupported("writing through strides that show an element twice: which one stays is not defined")
    offset = [storage_offset] if storage_offset else []
    return prelude(strided.as_strided_scatter)(x, cast(src, x.dtype), tuple(size), tuple(stride), *offset)


@lowers("aten.resize.default", "aten.resize_.default")
def resize(x: Value, size: list) -> Expr:
    _require_memory(x)
    count = math.prod(size)
    if count > math.prod(x.shape):
        raise Unsupported("what torch leaves undefined at the end of a tensor that was made larger")
    return x.reshape(*size) if count == math.prod(x.shape) else x.ravel()[:count].reshape(*size)


@lowers("aten.resize_as.default", "aten.resize_as_.default")
def resize_as(x: Value, the_template: Value) -> Expr:
    return resize(x, list(the_template.shape))
