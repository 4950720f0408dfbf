"""What the user's source calls the function that is a branch or body of control flow, and its arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from torch.fx import Node

from translator import provenance


@dataclass(frozen=True)
class FunctionNames:
    """function: its name. arguments: those of its parameters. parts: what it unpacks each of them to. groups: see `hint`."""

    function: str
    arguments: tuple[str, ...] = ()
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)

    def hint(self, position: int, count: int) -> str | None:
        """The name of one of count leaves that the function is called with: of a parameter, or of what it unpacks one to.

        Where parameters are tuples, they get their names in groups.
        """
        if len(self.arguments) == count:
            return self.arguments[position]
        leaves: list[str | None] = []
        for place, name in enumerate(self.arguments):
            parts = self.parts.get(name)
            if parts is None and count % max(len(self.arguments), 1) == 0 and len(set(self.parts)) == 0:
                leaves += [None] * (count // len(self.arguments))
            else:
                leaves += list(parts) if parts is not None else [name]
            if parts is not None or leaves and leaves[-1] is None:
                self.groups[place] = name
        return leaves[position] if len(leaves) == count else None


def source_names(node: Node, body: Iterable[Node], name: str) -> FunctionNames:
    """The names of a body of node's control flow; name: what the function is called where the source does not tell."""
    depth = len(provenance.frames(node))
    for part in body:
        trace = provenance.frames(part)
        if part.op == "call_function" and len(trace) > depth:
            frame = trace[depth]
            function = _function(frame)
            own = function.name if isinstance(function, ast.FunctionDef) and function.name != "forward" else name
            if function is None or frame.file.startswith("<"):
                return FunctionNames(name)
            arguments = tuple(a.arg for a in (*function.args.posonlyargs, *function.args.args) if a.arg != "self")
            return FunctionNames(own, arguments, _unpacked(function))
    return FunctionNames(name)


def _function(frame: provenance.Frame) -> ast.FunctionDef | ast.Lambda | None:
    """The innermost function that a frame's line is in."""
    tree = provenance.parsed(frame.file)
    found: ast.FunctionDef | ast.Lambda | None = None
    for part in ast.walk(tree) if tree is not None else ():
        within = isinstance(part, (ast.FunctionDef, ast.Lambda)) and part.lineno <= frame.line <= (part.end_lineno or 0)
        wanted = getattr(part, "name", "<lambda>") == frame.function
        if within and wanted and (found is None or part.lineno >= found.lineno):
            found = part
    return found


def _unpacked(function: ast.FunctionDef | ast.Lambda) -> dict[str, tuple[str, ...]]:
    """The plain names that a function unpacks its arguments to: `hidden, cell = carry`."""
    found = {}
    for part in ast.walk(function):
        if isinstance(part, ast.Assign) and isinstance(part.value, ast.Name) and isinstance(part.targets[0], ast.Tuple):
            if all(isinstance(target, ast.Name) for target in part.targets[0].elts):
                found[part.value.id] = tuple(target.id for target in part.targets[0].elts)
    return found
