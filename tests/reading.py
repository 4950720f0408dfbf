"""What can be counted of how emitted source reads."""

from __future__ import annotations

import ast
import functools
import re

import torch


def classes_of(source: str) -> list[ast.ClassDef]:
    return [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]


def locals_of(source: str) -> set[str]:
    """Every name that is assigned, looped over, or a parameter within a function."""
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
    inside = [n for function in functions for n in ast.walk(function)]
    stored = {n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored | {n.arg for n in inside if isinstance(n, ast.arg)}


@functools.cache
def aten_names() -> frozenset[str]:
    return frozenset(name.removeprefix("aten::").partition(".")[0] for name in torch._C._dispatch_get_all_op_names())


def fx_names(source: str) -> list[str]:
    """The locals that are called what torch.fx calls its nodes: `add_37`, `view_2`, `getitem_3`, `slice_4`."""
    numbered = (re.fullmatch(r"(\w+?)_\d+(_\d+)*", name) for name in locals_of(source))
    ops = aten_names() | {"getitem", "sym_size", "lifted_tensor", "le", "eq"}
    return sorted(match[0] for match in numbered if match and match[1] in ops)


def docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
