"""The op table itself: which rule lowers which op.

A rule takes an op's arguments as its ATen schema names them (tensors as `Value`s, symbolic sizes as `Size`s, dtypes as
numpy's; device, layout, pin_memory and memory_format are dropped before) and returns an expression, or a tuple of
expressions for an op with several outputs. An op without a rule is decomposed; one that cannot be is refused.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ENTRY_POINTS = "torch2eqx.op_tables"


@dataclass(frozen=True)
class Rule:
    """One row of the op table: the op's full name (`aten.add.Tensor`), its lowering, and the family (module) it lives in."""

    op: str
    function: Callable[..., Any]
    family: str


class DuplicateRule(ValueError):
    """Two rules were registered for one op."""


class Unsupported(Exception):
    """Raised by a rule that cannot lower these arguments exactly; the message says what is missing."""


_rules: dict[str, Rule] = {}


def lowers(*ops: str) -> Callable[[Callable], Callable]:
    """Register a function as the rule of one or more ops, each named with its overload: `aten.add.Tensor`.

    Raises DuplicateRule if one of them has a rule already.
    """

    def register(function: Callable) -> Callable:
        for op in ops:
            if op.count(".") < 2:
                raise ValueError(f"{op!r} is not a full op name: write namespace.name.overload, e.g. aten.add.Tensor")
            if op in _rules:
                raise DuplicateRule(
                    f"{op} is lowered by {_rules[op].family} already, and again by {function.__module__}"
                )
            _rules[op] = Rule(op, function, function.__module__.rpartition(".")[2])
        return function

    return register


@functools.cache
def _load() -> None:
    """Import every family beside this file, then the tables that other packages offer as entry points."""
    package = importlib.import_module("op_table")
    for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg):
        importlib.import_module(f"op_table.{module}")
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda e: e.name):
        entry.load()


def lookup(op: str) -> Rule | None:
    """The rule of an op, or None. Never falls back from one overload to another."""
    _load()
    return _rules.get(op)


def coverage() -> list[Rule]:
    """All rules, sorted by family and op."""
    _load()
    return sorted(_rules.values(), key=lambda rule: (rule.family, rule.op))
