"""Lengths of arrays: `batch, seq, _ = x.shape` where they are read more than once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from op_table.expr import Attribute, Subscript, Value, transform, values
from translator.annotations import Dimensions
from translator.lines import Assign, Def, For, If, Line, reads, rewrite


def unpack_shapes(
    lines: list[Line],
    after: list[Any],
    inputs: list[Value],
    dims: Dimensions,
    source: Callable[[Value], tuple[str | None, ...]],
) -> dict[str, str]:
    """Add the lines that unpack shapes, in place. Returns names for the lengths.

    after: what is read after the lines. source: what the user's source calls the lengths of an array, as far as it does.
    """
    names: dict[str, str] = {}
    found: Counter = Counter()
    shaped: dict[str, Value] = {}

    def count(part: Any) -> Any:
        if _is_length(part):
            found[part.value.value.name, part.index] += 1
            shaped[part.value.value.name] = part.value.value
        return part

    rewrite(lines, count)
    for expr in after:
        transform(expr, count)
    arguments = {value.name for value in inputs}
    for name, value in shaped.items():
        axes = sorted(axis for n, axis in found if n == name)
        once = len(axes) < 2 and found[name, axes[0]] < 2
        if once and not (name in arguments and _outlives(value, lines)):
            continue
        lengths = {axis: Value(f"{name}__length{axis}", (), "int64") for axis in axes}
        theirs = dict(enumerate(source(value)))
        for axis, length in lengths.items():
            names[length.name] = dims.name(value.shape[axis], axis, value.ndim, theirs.get(axis))

        def change(part: Any, name: str = name, lengths: dict = lengths) -> Any:
            return lengths[part.index] if _is_length(part) and part.value.value.name == name else part

        at = _defined_at(lines, name)
        block, position = at if at is not None else (lines, 0)
        rewrite(lines, change)
        after[:] = [transform(expr, change) for expr in after]
        often = any(found[name, axis] > 1 for axis in axes)
        block.insert(position, _unpack(value, lengths, often))
    return names


def _outlives(value: Value, lines: list[Line]) -> bool:
    """Whether a length of an argument is read in a later line than the argument itself, whose name could not be used again."""
    whole = [i for i, line in enumerate(lines) if _reads_whole(line, value)]
    lengths = [i for i, line in enumerate(lines) if any(v.name == value.name for v in reads(line))]
    return bool(whole) and max(lengths) > max(whole)


def _is_length(part: Any) -> bool:
    return (
        isinstance(part, Subscript)
        and isinstance(part.index, int)
        and isinstance(part.value, Attribute)
        and part.value.attribute == "shape"
        and isinstance(part.value.value, Value)
    )


def _reads_whole(line: Line, value: Value) -> bool:
    """Whether a line reads more of a value than its lengths."""
    count = sum(v.name == value.name for v in reads(line))
    found = 0

    def look(part: Any) -> Any:
        nonlocal found
        found += _is_length(part) and part.value.value.name == value.name
        return part

    rewrite([line], look)
    return count > found


def _unpack(value: Value, lengths: dict[int, Value], often: bool) -> Assign:
    """The line that takes lengths from the shape of value. often: whether one of them is read more than once."""
    last = max(lengths)
    if len(lengths) == 1 and (value.ndim != 1 or not often):
        return Assign([lengths[last]], Subscript(Attribute(value, "shape"), last))
    count = value.ndim if value.ndim - last <= 2 else last + 1
    shape: Any = Attribute(value, "shape")
    shape = shape if count == value.ndim else shape[slice(None, count)]
    return Assign([lengths.get(axis) for axis in range(count)], shape, unpacks=True)


def _defined_at(lines: list[Line], name: str) -> tuple[list[Line], int] | None:
    """The block and the place after the line that makes a value; None for an argument."""
    for position, line in enumerate(lines):
        if isinstance(line, Assign) and any(t is not None and t.name == name for t in line.targets):
            return lines, position + 1
        if isinstance(line, For):
            if any(variable.name == name for variable, _ in line.carried):
                return lines, position
            if (found := _defined_at(line.lines, name)) is not None:
                return found
        if isinstance(line, Def):
            if any(value.name == name for value in values(line.function.parameters)):
                return line.lines, 0
            if (found := _defined_at(line.lines, name)) is not None:
                return found
        if isinstance(line, If):
            if any(result.name == name for result, _ in line.results):
                return lines, position + 1
            if (found := _defined_at(line.lines, name)) is not None:
                return found
    return None
