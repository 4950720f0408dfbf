"""Where a node came from in the user's source: its frames, and the name that the source gives to its value."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import linecache
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.fx import Node

from translator import multihead

_FRAME = re.compile(
    r'File "(?P<file>[^"]*)", line (?P<line>\d+), in (?P<function>[^\n]*)(?:\n\s+(?!\s|File ")(?P<code>[^\n]*))?'
)
TORCH = os.path.join(os.path.dirname(torch.__file__), "")


@dataclass(frozen=True)
class Frame:
    """One line of a stack trace. code is the source text of that line."""

    file: str
    line: int
    function: str
    code: str

    @property
    def in_torch(self) -> bool:
        return self.file.startswith(TORCH) or f"{os.sep}torch{os.sep}nn{os.sep}" in self.file


@functools.lru_cache(maxsize=100_000)
def _parse(trace: str) -> tuple[Frame, ...]:
    return tuple(
        Frame(m["file"], int(m["line"]), m["function"].strip(), (m["code"] or "").strip())
        for m in _FRAME.finditer(trace)
    )


def text(trace: Iterable[Frame]) -> str:
    """Frames as a stack trace."""
    return "".join(f'  File "{f.file}", line {f.line}, in {f.function}\n    {f.code}\n' for f in trace)


def frames(node: Node) -> tuple[Frame, ...]:
    """The frames of user and library code that led to a node, outermost first."""
    return _parse(node.meta.get("stack_trace") or "")


def calls(node: Node) -> tuple[str, ...]:
    """The keys of the module calls that a node ran in, from the root on."""
    return tuple(node.meta.get("nn_module_stack") or {})


def user_line(node: Node) -> str:
    """The innermost line outside torch that led to a node, as `file.py:12: code`."""
    ours = multihead.__file__  # which stands for torch's own
    found = [f for f in frames(node) if not f.in_torch and f.file != ours] or list(frames(node))
    if not found:
        return "(no source recorded)"
    frame = found[-1]
    return f"{os.path.basename(frame.file)}:{frame.line}: {frame.code}"


@functools.cache
def _statements(file: str) -> list[tuple[int, int, ast.stmt, ast.For | None]]:
    """Every simple statement of a file with its first and last line and the innermost for loop around it."""
    tree = parsed(file)
    if tree is None:
        return []
    found: list[tuple[int, int, ast.stmt, ast.For | None]] = []

    def visit(node: ast.AST, loop: ast.For | None) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt) and not hasattr(child, "body"):
                found.append((child.lineno, child.end_lineno or child.lineno, child, loop))
            else:
                inner = loop
                if isinstance(child, ast.For):
                    inner = child
                elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
                    inner = None
                visit(child, inner)

    visit(tree, None)
    return found


@functools.lru_cache(maxsize=100_000)
def statement(frame: Frame) -> tuple[ast.stmt | None, ast.For | None]:
    """The statement that a frame is in and the for loop around it; from the line's own text where the file is not at hand."""
    for first, last, node, loop in _statements(frame.file):
        if first <= frame.line <= last:
            return node, loop
    try:
        body = ast.parse(frame.code).body
    except SyntaxError:
        return None, None
    return (body[0] if body else None), None


def targets(frame: Frame, deep: bool = False) -> list[str | None] | None:
    """The plain names that a frame's statement assigns to, in order (None for a place that is no plain name).

    deep: whether tuples among them count by their own parts. None where the statement assigns nothing.
    """
    node, _ = statement(frame)
    if isinstance(node, ast.Assign):
        target = node.targets[0]
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        target = node.target
    else:
        return None
    parts = target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
    while deep and any(isinstance(part, ast.Tuple) for part in parts):
        parts = [inner for part in parts for inner in (part.elts if isinstance(part, ast.Tuple) else [part])]
    return [_plain(part) for part in parts]


def _plain(target: ast.expr) -> str | None:
    return target.id if isinstance(target, ast.Name) and target.id != "_" else None


def loop_variable(frame: Frame) -> str | None:
    """The name that the loop around a frame's line gives to one of its items: `block` of `for block in self.blocks`."""
    _, loop = statement(frame)
    if loop is None:
        return None
    target = loop.target
    if isinstance(target, ast.Tuple) and len(target.elts) == 2:  # for i, block in enumerate(...)
        target = target.elts[1]
    return _plain(target) if isinstance(target, ast.expr) else None


@functools.cache
def class_of(type_name: str) -> type | None:
    """The class that a module stack names, if its module is importable here."""
    module, _, name = type_name.rpartition(".")
    found = sys.modules.get(module)
    if found is None:
        try:
            found = importlib.import_module(module)
        except Exception:  # a .pt2 from elsewhere: its classes may not be installed here
            return None
    cls = getattr(found, name, None)
    return cls if isinstance(cls, type) else None


@functools.cache
def _spans(type_name: str) -> tuple[tuple[str, int, int], ...]:
    """Where a class and its bases (below nn.Module) are written: file, first line, last line."""
    cls, spans = class_of(type_name), []
    bases = cls.__mro__ if cls else ()
    bases += (multihead.WrittenOut,) if torch.nn.MultiheadAttention in bases else ()
    for base in bases:
        if base in (torch.nn.Module, object):
            continue
        file = getattr(sys.modules.get(base.__module__), "__file__", None)
        span = _classes(file).get(base.__qualname__) if file else None
        if span is not None:
            spans.append((file, *span))
    return tuple(spans)


@functools.cache
def _classes(file: str) -> dict[str, tuple[int, int]]:
    """The first and last line of each class of a file, by qualified name."""
    found: dict[str, tuple[int, int]] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                found[prefix + child.name] = (child.lineno, child.end_lineno or child.lineno)
                visit(child, f"{prefix}{child.name}.")
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                visit(child, f"{prefix}{child.name}.<locals>.")
            elif isinstance(child, (ast.If, ast.Try, ast.With)):
                visit(child, prefix)

    tree = parsed(file)
    if tree is not None:
        visit(tree, "")
    return found


@functools.cache
def parsed(file: str) -> ast.Module | None:
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return None


def within(frame: Frame, type_name: str) -> bool:
    """Whether a frame runs in a method of a class or of its bases."""
    return any(frame.file == file and first <= frame.line <= last for file, first, last in _spans(type_name))


@functools.cache
def forward_names(type_name: str) -> tuple[str, ...]:
    """The parameter names of a class's forward, without self."""
    cls = class_of(type_name)
    if cls is None:
        return ()
    try:
        parameters = list(inspect.signature(cls.forward).parameters.values())[1:]
    except (TypeError, ValueError):
        return ()
    return tuple(p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))


def line_key(frame: Frame) -> tuple[str, int]:
    """What identifies the statement that a frame is in."""
    node, _ = statement(frame)
    return frame.file, node.lineno if node is not None else frame.line


def given_names(node: Node, methods: Iterable[str]) -> list[str | None]:
    """What the source passes to the innermost call of one of these methods: a plain name or attribute each, None for all else."""
    trace = [frame for frame in frames(node) if not frame.in_torch]
    found, _ = statement(trace[-1]) if trace else (None, None)
    for call in ast.walk(found) if found is not None else ():
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in methods:
            args = [a for arg in call.args for a in (arg.elts if isinstance(arg, (ast.Tuple, ast.List)) else [arg])]
            return [a.id if isinstance(a, ast.Name) else a.attr if isinstance(a, ast.Attribute) else None for a in args]
    return []


@functools.cache
def unpacked(type_name: str, parameter: str) -> tuple[str, ...]:
    """The names that a class's code unpacks a parameter into: `cos, sin = position_embeddings`."""
    for file, first, last in _spans(type_name):
        for begin, _, node, _ in _statements(file):
            if first <= begin <= last and isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
                if isinstance(node.value, ast.Name) and node.value.id == parameter:
                    return tuple(_plain(part) or "" for part in node.targets[0].elts)
    return ()


@dataclass(frozen=True)
class Shapes:
    """What a function unpacks the shapes of its parameters, and of its other locals, into, by their names."""

    parameters: dict[str, tuple[str | None, ...]]
    locals: dict[str, tuple[str | None, ...]]


@functools.cache
def _functions(file: str) -> tuple[tuple[int, int, Shapes], ...]:
    """Every function of a file: its first and last line, and the shapes that it unpacks."""
    tree, found = parsed(file), []
    for function in ast.walk(tree) if tree is not None else ():
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            parameters = {arg.arg for arg in ast.walk(function.args) if isinstance(arg, ast.arg)}
            shapes = Shapes({}, {})
            for node in ast.walk(function):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
                    name = _shape_of(node.value)
                    if name is not None:
                        names = tuple(map(_plain, node.targets[0].elts))
                        (shapes.parameters if name in parameters else shapes.locals).setdefault(name, names)
            found.append((function.lineno, function.end_lineno or function.lineno, shapes))
    return tuple(found)


def _shape_of(value: ast.expr) -> str | None:
    """The name of the local that an expression is the shape of: `x.shape` or `x.size()`."""
    attribute = "shape"
    if isinstance(value, ast.Call) and not value.args and not value.keywords:
        value, attribute = value.func, "size"
    named = isinstance(value, ast.Attribute) and value.attr == attribute and isinstance(value.value, ast.Name)
    return value.value.id if named else None


@functools.lru_cache(maxsize=100_000)
def shapes(frame: Frame) -> Shapes:
    """What the function that a frame is in unpacks shapes into: `b, c, h, w = x.shape`."""
    around = [function for function in _functions(frame.file) if function[0] <= frame.line <= function[1]]
    return max(around, key=lambda function: function[0])[2] if around else Shapes({}, {})
