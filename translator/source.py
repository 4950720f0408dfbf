"""Expressions and lines as Python text. ruff formats the file afterwards: only precedence matters here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from op_table.dtypes import written
from op_table.expr import Attribute, Call, Conditional, Inference, Name, Operation, Prelude, Size, Subscript, Value
from translator.comprehension import Comprehension

_PRECEDENCE = {
    "==": 1, "!=": 1, "<": 1, "<=": 1, ">": 1, ">=": 1,
    "|": 2, "^": 3, "&": 4, "<<": 5, ">>": 5, "+": 6, "-": 6, "*": 7, "/": 7, "//": 7, "%": 7, "@": 7, "~": 8, "**": 9,
}  # fmt: skip
_CHOICE, _UNARY, _ATOM = 0, 8, 10


class Printer:
    """Writes expressions. name gives the text of a value; prelude is told of each prelude function that is written."""

    def __init__(self, name: Callable[[Value], str], prelude: Callable[[Any], str]):
        self.name, self.prelude = name, prelude
        self.roots: set[str] = set()

    def text(self, part: Any) -> str:
        return self._write(part)[0]

    def _write(self, part: Any) -> tuple[str, int]:
        match part:
            case Value():
                return self.name(part), _ATOM
            case Size():
                raise TypeError(f"the size {part} was not resolved")
            case Comprehension():
                return self._comprehension(part), _ATOM
            case Name():
                self.roots.add(part.text)
                return part.text, _ATOM
            case Prelude():
                return self.prelude(part.function), _ATOM
            case Inference():
                return "self.inference", _ATOM
            case Conditional():
                test, then, otherwise = map(self.text, (part.test, part.then, part.otherwise))
                return f"{then} if {test} else {otherwise}", _CHOICE
            case Attribute():
                return f"{self._atom(part.value)}.{part.attribute}", _ATOM
            case Call():
                args = [self.text(arg) for arg in part.args] + [f"{n}={self.text(v)}" for n, v in part.kwargs]
                return f"{self._atom(part.function)}({', '.join(args)})", _ATOM
            case Subscript():
                return f"{self._atom(part.value)}[{self._index(part.index)}]", _ATOM
            case Operation() if len(part.operands) == 1:
                text, level = self._write(part.operands[0])
                return f"{part.symbol}{text if level >= _UNARY else f'({text})'}", _UNARY
            case Operation():
                return self._binary(part)
            case tuple():
                inner = ", ".join(map(self.text, part))
                return f"({inner}{',' if len(part) == 1 else ''})", _ATOM
            case list():
                return f"[{', '.join(map(self.text, part))}]", _ATOM
            case dict():
                return "{" + ", ".join(f"{k!r}: {self.text(v)}" for k, v in part.items()) + "}", _ATOM
            case slice():
                args = (part.start, part.stop) if part.step is None else (part.start, part.stop, part.step)
                return f"slice({', '.join(map(self.text, args))})", _ATOM
        return self._literal(part)

    def _literal(self, part: Any) -> tuple[str, int]:
        if isinstance(part, bool) or part is None or isinstance(part, str):
            return repr(part), _ATOM
        if part is Ellipsis:
            return "...", _ATOM
        if isinstance(part, float) and not math.isfinite(part):
            self.roots.add("jnp")
            text = "jnp.nan" if math.isnan(part) else "jnp.inf" if part > 0 else "-jnp.inf"
            return text, _UNARY if text[0] == "-" else _ATOM
        if isinstance(part, (int, float)):
            return repr(part), _UNARY if part < 0 else _ATOM
        if isinstance(part, complex) and not (math.isfinite(part.real) and math.isfinite(part.imag)):
            return f"complex({self.text(part.real)}, {self.text(part.imag)})", _ATOM
        if isinstance(part, complex):
            return f"({part!r})" if part.real else repr(part), _ATOM
        if isinstance(part, np.dtype):
            return self._write(written(part))
        raise TypeError(f"cannot write {part!r} ({type(part).__name__}) as source")

    def _binary(self, part: Operation) -> tuple[str, int]:
        level = _PRECEDENCE[part.symbol]
        left, left_level = self._write(part.operands[0])
        right, right_level = self._write(part.operands[1])
        comparison = level == 1
        power = part.symbol == "**"
        if left_level < level or (left_level == level and (comparison or power)) or (power and left_level == _UNARY):
            left = f"({left})"
        if right_level < level or (right_level == level and not power):
            right = f"({right})"
        return f"{left} {part.symbol} {right}", level

    def _atom(self, part: Any) -> str:
        text, level = self._write(part)
        plain = level == _ATOM and not isinstance(part, (int, float))
        return text if plain else f"({text})"

    def _comprehension(self, part: Comprehension) -> str:
        lists = [self.name(value) for value in part.lists]
        if not part.items:
            return f"tuple({lists[0]})"
        items = [name.removeprefix("all_") for name in lists]
        named = dict(zip((value.name for value in part.items), items, strict=True))
        inner = Printer(lambda value: named.get(value.name) or self.name(value), self.prelude)
        over = lists[0] if len(lists) == 1 else f"zip({', '.join(lists)}, strict=True)"
        text = f"{inner.text(part.element)} for {', '.join(items)} in {over}"
        return f"[{text}]" if part.kind is list else f"tuple({text})"

    def _index(self, index: Any) -> str:
        if isinstance(index, tuple) and index:
            inner = ", ".join(self._one_index(part) for part in index)
            return inner + ("," if len(index) == 1 else "")
        return self._one_index(index)

    def _one_index(self, part: Any) -> str:
        if not isinstance(part, slice):
            return self.text(part)
        start, stop = ("" if bound is None else self.text(bound) for bound in (part.start, part.stop))
        return f"{start}:{stop}" + (f":{self.text(part.step)}" if part.step is not None else "")
