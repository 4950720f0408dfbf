"""Symbolic sizes as code: arithmetic on the lengths of arrays' axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy

from op_table.expr import Attribute, Call, Expr, Name, Operation, Size, Subscript, Value

# torch's functions on symbolic numbers, by the name of their sympy class.
_OPERATORS = {
    "IntTrueDiv": "/", "FloatTrueDiv": "/", "FloorDiv": "//", "CleanDiv": "//", "Mod": "%", "PythonMod": "%", "FloatPow": "**",
    "PowByNatural": "**",
}  # fmt: skip
_CALLS = {"ToFloat": "float", "TruncToInt": "int", "RoundToInt": "round", "Max": "max", "Min": "min"}
_MATH = {"CeilToInt": "ceil", "FloorToInt": "floor", "ceiling": "ceil"}

_RELATIONS = {sympy.Eq: "==", sympy.Ne: "!=", sympy.Lt: "<", sympy.Le: "<=", sympy.Gt: ">", sympy.Ge: ">="}


class SizeValue(Value):
    """A size that comes as an argument, a Python int."""

    def __init__(self, name: str, size: Size):
        super().__init__(name, (), np.dtype("int64"))
        self.size_expr = size


class SizeWriter:
    """Writes sizes by the arrays it was shown. argument gives what stands for a size that none of them shows, or raises."""

    def __init__(self, argument: Callable[[sympy.Expr], Expr]):
        self.argument = argument
        self.shown: dict[sympy.Expr, Expr] = {}

    def show(self, value: Value) -> None:
        for axis, size in enumerate(value.shape):
            if isinstance(size, Size):
                self.shown.setdefault(size.expr, Subscript(Attribute(value, "shape"), axis))

    def resolve(self, part: Any) -> Any:
        return self.write(part.expr, part.real) if isinstance(part, Size) else part

    def condition(self, relation: sympy.Basic) -> Operation:
        """A comparison, what is subtracted on one side standing on the other."""
        symbol = next(symbol for kind, symbol in _RELATIONS.items() if isinstance(relation, kind))
        terms = sympy.Add.make_args(relation.lhs - relation.rhs)
        left = sympy.Add(*[term for term in terms if not term.could_extract_minus_sign()])
        right = sympy.Add(*[-term for term in terms if term.could_extract_minus_sign()])
        if left.is_Integer and not right.is_Integer:
            left, right, symbol = right, left, {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(symbol, symbol)
        return Operation(symbol, (self.write(left), self.write(right)))

    def write(self, expr: sympy.Expr, real: bool = False) -> Any:
        """The code of a size; real says that it is a float, where a quotient is not rounded down."""
        if expr.is_Integer:
            return int(expr)
        if expr.is_Float or expr.is_Rational:
            return float(expr)
        if expr in self.shown:
            return self.shown[expr]
        if isinstance(expr, sympy.Symbol):
            inverted = self._invert(expr)
            if inverted is None:
                inverted = self.shown[expr] = self.argument(expr)
            return inverted
        quotient = self._quotient(expr, real)
        if quotient is not None:
            return quotient
        name = type(expr).__name__
        if isinstance(expr, sympy.Add):
            return self._sum(expr, real)
        args = [self.write(arg, real) for arg in expr.args]
        if isinstance(expr, sympy.Mul):
            return _fold("*", sorted(args, key=lambda a: not isinstance(a, int)))
        if isinstance(expr, sympy.Pow) and (expr.exp.is_Integer and expr.exp > 0 or real):
            return Operation("**", tuple(args))
        if name in _OPERATORS:
            return Operation(_OPERATORS[name], tuple(args))
        if name in _CALLS:
            return Call(Name(_CALLS[name]), tuple(args))
        if name in _MATH or name.startswith("OpaqueUnaryFn_"):
            return getattr(Name("math"), _MATH.get(name, name.removeprefix("OpaqueUnaryFn_")))(*args)
        self.shown[expr] = self.argument(expr)
        return self.shown[expr]

    def _quotient(self, expr: sympy.Expr, real: bool) -> Any:
        """A fraction over one denominator: `n // 2` for n/2, which is whole where torch found it to be."""
        whole = expr.args[0] if isinstance(expr, sympy.floor) else expr
        if not isinstance(whole, (sympy.Add, sympy.Mul, sympy.Pow)):
            return None
        numerator, denominator = sympy.fraction(sympy.together(whole))
        if denominator == 1:
            return None
        symbol = "/" if real and not isinstance(expr, sympy.floor) else "//"
        return Operation(symbol, (self.write(numerator, real), self.write(denominator, real)))

    def _sum(self, expr: sympy.Expr, real: bool) -> Any:
        terms = sorted(expr.args, key=lambda t: (t.is_Integer, t.could_extract_minus_sign(), str(t)))
        result = self.write(terms[0], real)
        for term in terms[1:]:
            negative = term.could_extract_minus_sign()
            result = Operation("-" if negative else "+", (result, self.write(-term if negative else term, real)))
        return result

    def _invert(self, symbol: sympy.Symbol) -> Any:
        """A symbol by an axis whose length is a multiple of it, plus a constant."""
        for shown, where in list(self.shown.items()):
            if shown.free_symbols == {symbol} and shown.is_polynomial(symbol) and sympy.degree(shown, symbol) == 1:
                scale, offset = shown.coeff(symbol, 1), shown.coeff(symbol, 0)
                if scale.is_Integer and offset.is_Integer and scale > 0:
                    base = where if offset == 0 else Operation("-" if offset > 0 else "+", (where, abs(int(offset))))
                    return base if scale == 1 else Operation("//", (base, int(scale)))
        return None


def _fold(symbol: str, args: list) -> Any:
    return args[0] if len(args) == 1 else Operation(symbol, (_fold(symbol, args[:-1]), args[-1]))
