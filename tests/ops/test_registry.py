"""The registry, and the table as a whole: every rule is of an op that torch has, under its full name, and only once."""

import inspect
import itertools

import pytest
import torch

from op_table import registry
from op_table.registry import DuplicateRule, coverage, lookup, lowers

# Packages of a user's may add their own; those that torch itself has can be looked up.
ATEN = [rule for rule in coverage() if rule.op.startswith("aten.")]


def overload(op: str) -> torch._ops.OpOverload:
    _, name, kind = op.split(".")
    return getattr(getattr(torch.ops.aten, name), kind)


@pytest.mark.parametrize("family", sorted({rule.family for rule in ATEN}))
def test_every_op_exists_in_torch_under_its_full_name(family):
    missing = []
    for rule in ATEN:
        if rule.family == family:
            try:
                overload(rule.op)
            except AttributeError:
                missing.append(rule.op)
    assert missing == []


@pytest.mark.parametrize("rule", ATEN, ids=lambda rule: rule.op)
def test_rules_take_what_the_schema_gives(rule):
    """All arguments by position that may come by position, and the others by the schema's names."""
    if not inspect.isfunction(rule.function):
        return  # one JAX function of the arguments as they come
    arguments = overload(rule.op)._schema.arguments
    placement = {"device", "layout", "pin_memory", "memory_format", "non_blocking", "copy", "generator"}
    positional = list(itertools.takewhile(lambda a: a.name not in placement, arguments))
    given = [a for a in positional if not a.kwarg_only]
    named = [a.name for a in arguments if a.kwarg_only and a.name not in placement]
    inspect.signature(rule.function).bind(*given, **dict.fromkeys(named))


def test_duplicates_raise():
    assert lookup("aten.add.Tensor") is not None
    with pytest.raises(DuplicateRule, match=r"aten\.add\.Tensor is lowered by pointwise"):
        lowers("aten.add.Tensor")(lambda x, other: x)


@pytest.mark.parametrize("name", ["add", "aten.add", "add.Tensor"])
def test_a_name_without_its_overload_is_refused(name):
    with pytest.raises(ValueError, match="full op name"):
        lowers(name)(lambda x: x)


def test_lookup_never_falls_back_to_another_overload():
    assert lookup("aten.add.Tensor") is not None and lookup("aten.add.out") is None


def test_a_user_adds_a_rule(monkeypatch):
    monkeypatch.setattr(registry, "_rules", dict(registry._rules))

    @lowers("mine.double.default")
    def double(x):
        return 2 * x

    rule = lookup("mine.double.default")
    assert rule.function is double and rule.family == "test_registry" and rule in coverage()


def test_coverage_is_sorted_by_family_and_op():
    rules = coverage()
    assert rules == sorted(rules, key=lambda rule: (rule.family, rule.op)) and len(rules) > 500
