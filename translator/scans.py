"""Scans: a loop over layers that are alike becomes one lax.scan over their stacked leaves (`translate(..., scan_layers=True)`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set

import torch

from op_table.expr import Prelude, Value
from op_table.prelude.scan_layers import scan_layers
from translator.body import Leaf
from translator.captured import Captured
from translator.classes import Definition
from translator.lines import Assign, For, Line, Return, reads, writes
from translator.modules import Array, Module
from translator.source import Printer


def find(lines: list[Line], after: list[Value], repeated: Set[str], stacks: Callable[[str], bool]) -> set[str]:
    """Mark the loops of lines that can be scans, and give the containers that they run over.

    after: what is read after the lines. repeated: containers whose items are all built alike. stacks: whether the leaves of a
    container's items may be stacked.
    """
    found = set()
    for position, line in enumerate(lines):
        if not isinstance(line, For) or len(line.items) != 1 or not isinstance(line.iterables[0], Leaf):
            continue
        path = line.iterables[0].fqn
        others = [*lines[:position], *lines[position + 1 :]]
        if (
            path in repeated
            and _is_alone(line, path, others, after)
            and _keeps_its_carry(line, others)
            and stacks(path)
        ):
            line.scanned = True
            found.add(path)
    return found


def _is_alone(line: For, path: str, others: list[Line], after: list[Value]) -> bool:
    """Whether nothing else reads the container, and nothing outside of the loop reads what a round makes but hands on."""
    if not line.carried or any(isinstance(inner, Return) for inner in line.lines):
        return False
    outside = [*(value for other in others for value in reads(other)), *after]
    made = {value.name for inner in line.lines for value in writes(inner)}
    return not any(
        value.name in made or isinstance(value, Leaf) and f"{value.fqn}.".startswith(f"{path}.") for value in outside
    )


def _keeps_its_carry(line: For, others: list[Line]) -> bool:
    """Whether what goes round has one shape and dtype from the first round to the last."""
    first = {other.targets[0]: other.expr for other in others if isinstance(other, Assign) and len(other.targets) == 1}
    return all(_like(value, first.get(variable, value)) and _like(value, variable) for variable, value in line.carried)


def _like(one: Value, other: object) -> bool:
    return not isinstance(other, Value) or (one.shape, one.dtype) == (other.shape, other.dtype)


def in_instances(definition: Definition, path: str) -> list[str]:
    """Where a container of a class, at path in the representative, is in each instance."""
    rest = path.removeprefix(f"{definition.module.path}.") if definition.module.path else path
    return [f"{m.module.path}.{rest}" if m.module.path else rest for m in definition.members]


def may_stack(captured: Captured, container: Module, tied: Iterable[str]) -> bool:
    """Whether each leaf of a container's items may be one array: none is state or shared, and torch trains all of them or none."""
    items = [dict(_arrays(item, "")) for item in container.entries.values() if isinstance(item, Module)]
    shared = any(f"{name}.".startswith(f"{container.path}.") for name in tied)
    return not shared and all(
        not any(item[name].is_state for item in items)
        and len({item[name].shape for item in items}) == 1
        and len({item[name].dtype for item in items}) == 1
        and len({_is_trained(captured, item[name]) for item in items}) == 1
        for name in items[0]
    )


def _arrays(module: Module, path: str) -> Iterable[tuple[str, Array]]:
    for name, entry in module.entries.items():
        if isinstance(entry, Array):
            yield f"{path}{name}", entry
        else:
            yield from _arrays(entry, f"{path}{name}.")


def _is_trained(captured: Captured, array: Array) -> bool:
    tensor = captured.state.get(array.fqn)
    return not array.is_buffer and isinstance(tensor, torch.Tensor) and tensor.requires_grad


def written(
    line: For, printer: Printer, block: Callable[[list[Line], int], list[str]], indent: int, taken: Set[str]
) -> list[str]:
    """The text of a loop as a scan: a local function for a round, its lines by block, and the call. taken: names in use."""
    pad, name = "    " * indent, printer.name
    step, carry = (next(n for n in (word, f"{word}_2", f"{word}_3") if n not in taken) for word in ("step", "carry"))
    inner = block(line.lines, indent + 1)
    carried, results = ([name(pair[part]) for pair in line.carried] for part in (0, 1))
    given = f"{pad}    {results[0]} = "
    if len(results) == 1 and not line.collected and inner[-1].startswith(given):
        results = [inner.pop().removeprefix(given)]
    parameter, unpacked = carried[0], []
    if len(carried) > 1:
        parameter, unpacked = carry, [f"{pad}    {', '.join(carried)} = {carry}"]
    lists = [name(variable) for variable, _ in line.collected]
    items = [printer.text(value) for _, value in line.collected]
    scan, layers = printer.text(Prelude(scan_layers)), printer.text(line.iterables[0])
    made = f"{_together(carried)}, {_together(lists) if lists else '_'}"
    return [
        f"{pad}def {step}({parameter}, {name(line.items[0])}):",
        *unpacked,
        *inner,
        f"{pad}    return {_together(results)}, {_together(items) if items else None}",
        "",
        f"{pad}{made} = {scan}({step}, {_together(carried)}, {layers})",
        *([f"{pad}{', '.join(lists)} = {', '.join(f'list({each})' for each in lists)}"] if lists else []),
    ]


def _together(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"
