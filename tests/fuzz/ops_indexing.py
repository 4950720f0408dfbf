"""Steps that read through subscripts and index tensors, and that scatter."""

from __future__ import annotations

from tests.fuzz.draw import KINDS, Draw
from tests.fuzz.program import EXACT, SUMS


def subscript(draw: Draw, name: str, arrays: bool = True) -> str:
    """A random subscript: numbers, slices, None, Ellipsis and index tensors."""
    shape = draw.env[name].shape
    count = draw.integer(1, len(shape)) if shape else 0
    from_end = draw.chance(0.25)
    axes = list(range(len(shape) - count, len(shape))) if from_end else list(range(count))
    parts = []
    for axis in axes:
        length = shape[axis]
        match draw.integer(0, 9):
            case 0 | 1 if length:
                parts.append(str(draw.integer(-length, length - 1)))
            case 2:
                parts.append(":")
            case 3 if length and arrays:
                parts.append(indices(draw, length))
            case 4:
                parts.append(f"::{draw.integer(2, 3)}")
            case _:
                start, end = (draw.choose(["", str(draw.integer(-length - 1, length + 1))]) for _ in range(2))
                parts.append(f"{start}:{end}" + draw.choose(["", "", ":2"]))
    if from_end or not parts:
        parts.insert(0, "...")
    if draw.chance(0.15):
        parts.insert(draw.integer(0, len(parts)), "None")
    return ", ".join(parts)


def indices(draw: Draw, length: int, shape: list[int] | None = None, distinct: bool = False) -> str:
    """Code of an index tensor for an axis of that length: written out, or computed from one of the program's integers."""
    if shape is None and not distinct and draw.chance(0.4):
        traced = [n for n, t in draw.env.items() if KINDS["i"](t) and t.dtype == draw_int64() and 0 < t.numel() < 7]
        if traced:
            return f"{draw.choose(traced)} % {length}"
    shape = [draw.integer(1, 3)] if shape is None else shape
    low = 0 if len(shape) > 1 or distinct else -length

    def rows(rest: list[int]) -> list:
        return [rows(rest[1:]) if len(rest) > 1 else draw.integer(low, length - 1) for _ in range(rest[0])]

    if distinct:
        values = list(range(length))
        picked = [values.pop(draw.integer(0, len(values) - 1)) for _ in range(draw.integer(1, length))]
        return f"torch.tensor({picked})"
    return f"torch.tensor({rows(shape) if shape else draw.integer(0, length - 1)})"


def draw_int64():
    import torch

    return torch.int64


def read(draw: Draw) -> bool:
    name = draw.pick()
    return draw.add("x[...]", f"{name}[{subscript(draw, name)}]")


def along(draw: Draw) -> bool:
    """index_select, gather, take_along_dim: one axis, and an index for it."""
    name = draw.pick(lambda t: t.ndim > 0 and t.numel() > 0)
    dim = draw.dim(name)
    shape = list(draw.env[name].shape)
    length = shape[dim]
    if draw.chance(0.4):
        index = indices(draw, length, [draw.integer(1, 3)], draw.chance(0.3)).replace("-", "")
        return draw.add("index_select", f"{name}.index_select({dim}, {index} % {length})")
    shape = [draw.integer(1, max(n, 1)) if draw.chance(0.4) else n for n in shape]
    shape[dim] = draw.integer(1, 3)
    index = indices(draw, length, shape)
    if len(shape) == 1:
        index = f"{index} % {length}"
    return draw.add("gather", draw.choose([f"{name}.gather({dim}, {index})", f"torch.gather({name}, {dim}, {index})"]))


def scatter(draw: Draw) -> bool:
    """scatter in its forms, with indices that repeat where values are added."""
    name = draw.pick(lambda t: t.ndim > 0 and t.numel() > 0)
    dim = draw.dim(name)
    tensor = draw.env[name]
    length = tensor.shape[dim]
    source = draw.pick(lambda t: t.dtype == tensor.dtype and t.shape == tensor.shape)
    index = indices(draw, length, list(tensor.shape))
    if tensor.ndim == 1:
        index = f"{index} % {length}"
    distinct = indices(draw, length, distinct=True)
    picked = f"{source}.index_select({dim}, {distinct})"
    value = draw.scalar("i")
    code = draw.choose(
        [
            f"{name}.scatter_add({dim}, {index}, {source})",
            f"{name}.scatter({dim}, {index}, {value})",
            f"{name}.scatter({dim}, {index}, {source})",
            f"{name}.scatter_reduce({dim}, {index}, {source}, '{draw.choose(['sum', 'amax', 'amin', 'prod', 'mean'])}')",
            f"{name}.scatter_reduce({dim}, {index}, {source}, 'amax', include_self=False)",
            f"{name}.index_add({dim}, {distinct}, {picked}, alpha={draw.integer(1, 2)})",
            f"{name}.index_copy({dim}, {distinct}, {picked})",
            f"{name}.index_fill({dim}, {distinct}, {value})",
            f"{name}.select_scatter({source}.select({dim}, 0), {dim}, {draw.integer(-length, length - 1)})",
            f"{name}.slice_scatter({source}.narrow({dim}, 0, 1), {dim}, -1)",
            f"{name}.index_put(({distinct},), {draw.scalar('if')} * {source}[0])",
            f"{name}.index_put(({index}.flatten()[:2] % {tensor.shape[0]},), {source}[:1], accumulate=True)",
            f"{name}.take_along_dim({index}, {dim})",
            f"{name}.take_along_dim({name}.argsort({dim}, stable=True), {dim})",
            f"{name}.masked_scatter({name} > 0, {source})",
            f"torch.searchsorted({name}.flatten().sort()[0], {source}, right={draw.choose(['True', 'False'])})",
            f"F.one_hot({index}, {length + 1})",
            f"F.embedding({index}, {name})",
            f"{name}.put({index}, {source}, accumulate=True)",
        ]
    )
    return draw.add("scatter", code, SUMS)


FAMILIES = [read, read, along, scatter]
COUNT = 1 + 3 + 19

__all__ = ["COUNT", "EXACT", "FAMILIES", "indices", "subscript"]
