"""Expressions of the emitted program, and the symbolic namespaces `jnp`, `jax`, `lax`, `eqx` that build them.

A lowering rule is written as plain JAX. Its operands are `Value`s and the names it calls are symbolic, so that running
the rule builds the expression that will be emitted instead of computing anything:

    >>> x = Value("x", (2, 3), np.dtype("float32"))
    >>> jnp.sum(x, axis=1) + 1

An expression is immutable. `evaluate` runs it on arrays (or on tracers, which is how it is checked), `children` and
`rebuild` walk it, `key` compares it by structure. Literals (numbers, strings, dtypes, slices, tuples, lists, None) stand
for themselves inside an expression.
"""

from __future__ import annotations

import builtins
import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import equinox
import jax as _jax
import jax.numpy
import numpy as np
import sympy

ROOTS = {"jnp": jax.numpy, "jax": _jax, "lax": _jax.lax, "eqx": equinox, "np": np, "math": math}


class Expr:
    """Base of all expressions. Operators, calls, subscripts and attributes on it build further expressions."""

    def __getattr__(self, name: str) -> Expr:
        if name.startswith("__"):
            raise AttributeError(name)
        return Attribute(self, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Expr:
        return Call(self, args, tuple(kwargs.items()))

    def __getitem__(self, index: Any) -> Expr:
        return Subscript(self, index)

    def __iter__(self) -> Iterator[Expr]:
        raise TypeError("an expression cannot be unpacked: index it")

    def __bool__(self) -> bool:
        raise TypeError("the truth of a symbolic array is not known while translating")

    @functools.cached_property
    def aval(self) -> Any:
        """jax.ShapeDtypeStruct (or a pytree of them) of this expression at the example sizes."""
        return abstract(self)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.aval.dtype)

    @property
    def ndim(self) -> int:
        return len(self.aval.shape)

    @property
    def shape(self) -> tuple:
        """Only operands have a shape: that of an intermediate is known at the example sizes alone, which must not be baked in."""
        raise TypeError("the shape of an intermediate expression is not known for all sizes: use the operands' shapes")

    def __eq__(self, other: Any) -> Expr:  # type: ignore[override]
        return Operation("==", (self, other))

    def __ne__(self, other: Any) -> Expr:  # type: ignore[override]
        return Operation("!=", (self, other))

    __hash__ = object.__hash__


def _binary(symbol: str, reverse: bool = False) -> Callable:
    def build(self: Expr, other: Any) -> Expr:
        return Operation(symbol, (other, self) if reverse else (self, other))

    return build


BINARY = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "@": operator.matmul,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<<": operator.lshift,
    ">>": operator.rshift,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
UNARY = {"-": operator.neg, "~": operator.invert, "+": operator.pos}

for _symbol, _function in BINARY.items():
    _name = _function.__name__.strip("_")
    if _symbol not in ("==", "!="):
        setattr(Expr, f"__{_name}__", _binary(_symbol))
    if _symbol not in ("<", "<=", ">", ">=", "==", "!="):
        setattr(Expr, f"__r{_name}__", _binary(_symbol, reverse=True))
Expr.__neg__ = lambda self: Operation("-", (self,))  # type: ignore[attr-defined]
Expr.__invert__ = lambda self: Operation("~", (self,))  # type: ignore[attr-defined]


class Name(Expr):
    """A name of the emitted file's imports: `jnp`, `jax`, `lax`, `eqx`, `np`, or a builtin."""

    def __init__(self, text: str):
        self.text = text


class Prelude(Expr):
    """A real function or class of `op_table.prelude` (or a user's), whose source is copied into the emitted file."""

    def __init__(self, function: Callable):
        self.function = function


class RandomKey(Expr):
    """A PRNG key of its own, for one use: a rule that draws random numbers makes one, and the emitted code splits it off."""

    @property
    def aval(self) -> Any:
        return _jax.eval_shape(lambda: _jax.random.key(0))


class Attribute(Expr):
    def __init__(self, value: Expr, attribute: str):
        self.value, self.attribute = value, attribute


class Call(Expr):
    def __init__(self, function: Expr, args: tuple, kwargs: tuple[tuple[str, Any], ...] = ()):
        self.function, self.args, self.kwargs = function, args, kwargs


class Subscript(Expr):
    def __init__(self, value: Expr, index: Any):
        self.value, self.index = value, index


class Operation(Expr):
    """A unary, binary or comparison operator on one or two operands."""

    def __init__(self, symbol: str, operands: tuple):
        self.symbol, self.operands = symbol, operands


class Inference(Expr):
    """The flag of the class whose code it is that says whether it is in evaluation mode: `self.inference`."""


class Conditional(Expr):
    """One of two expressions, as Python chooses while it runs: `then if test else otherwise`."""

    def __init__(self, test: Any, then: Any, otherwise: Any):
        self.test, self.then, self.otherwise = test, then, otherwise


class Value(Expr):
    """An array that the emitted code has at hand: an argument, a local, a leaf of the module.

    shape holds an int or a `Size` an axis; dtype is torch's, as numpy names it (int64 stays int64). hint is the shape at
    the example sizes. whole: whether torch's tensor is its memory's elements in order, all of them.
    """

    def __init__(self, name: str, shape: tuple, dtype: np.dtype, whole: bool = False):
        self.name, self.whole = name, whole
        self._shape = tuple(shape)
        self._dtype = np.dtype(dtype)

    @property
    def shape(self) -> tuple:
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        return self._dtype

    @property
    def ndim(self) -> int:
        return len(self._shape)

    @property
    def size(self) -> Any:
        return math.prod(self._shape)

    @property
    def hint(self) -> tuple[int, ...]:
        return tuple(hint(size) for size in self._shape)

    @functools.cached_property
    def aval(self) -> _jax.ShapeDtypeStruct:
        return _jax.ShapeDtypeStruct(self.hint, canonical(self._dtype))

    def __repr__(self) -> str:
        return self.name


class Function(Value):
    """A local function of the emitted code: a branch, or the body of a loop.

    parameters: Values, or a tuple of them for one argument that is a tuple. steps: the targets of each of its statements in
    the order of its leaves (None for what nothing reads), and its expression. result: a Value, or nested tuples of them.
    spelled_out: whether it is written as a function even where it merely calls a layer under jax.vmap.
    """

    spelled_out = False
    _made = itertools.count()

    def __init__(self, name: str, parameters: tuple, steps: list[tuple[tuple, Any]], result: Any):
        super().__init__(name, (), np.dtype("float32"))
        self.parameters, self.steps, self.result = parameters, steps, result
        self.serial = next(self._made)

    def free(self) -> Iterator[Value]:
        """What it reads of the code around it."""
        own = {value.name for value in values(self.parameters)}
        own |= {target.name for targets, _ in self.steps for target in targets if target is not None}
        for expr in (*(expr for _, expr in self.steps), self.result):
            yield from (value for value in operands(expr) if value.name not in own)

    def bound(self, lookup: Callable[[Value], Any], size: Callable[[Size], int]) -> Callable:
        """The function itself, over what lookup and size give for the code around it."""

        def function(*args: Any) -> Any:
            given = _jax.tree.leaves(args, is_leaf=lambda leaf: leaf is None)
            local = dict(zip((value.name for value in values(self.parameters)), given, strict=True))
            look = lambda value: local[value.name] if value.name in local else lookup(value)
            for targets, expr in self.steps:
                found = evaluate(expr, look, size)
                leaves = [found] if len(targets) == 1 else _jax.tree.leaves(found, is_leaf=lambda leaf: leaf is None)
                local |= {t.name: leaf for t, leaf in zip(targets, leaves, strict=True) if t is not None}
            return evaluate(self.result, look, size)

        return function


class Size(Expr):
    """A symbolic integer: a dynamic axis length, or arithmetic on such. expr is torch.export's sympy expression.

    real marks a number computed from lengths that is a float in torch (`1 / n`).
    """

    def __init__(self, expr: sympy.Expr, hint: int | float, real: bool = False):
        self.expr, self.hint, self.real = expr, hint, real

    def __repr__(self) -> str:
        return str(self.expr)

    @property
    def aval(self) -> Any:
        return self.hint

    def _combine(self, other: Any, function: Callable, reverse: bool = False) -> Any:
        if not isinstance(other, (int, Size)):
            symbol = next(s for s, f in BINARY.items() if f is function)
            return Operation(symbol, (other, self) if reverse else (self, other))
        a, b = (self, other) if not reverse else (other, self)
        expr = _SYMPY.get(function, function)(sympify(a), sympify(b))
        return int(expr) if expr.is_Integer else Size(expr, function(hint(a), hint(b)))

    def __add__(self, other: Any) -> Any:
        return self._combine(other, operator.add)

    def __radd__(self, other: Any) -> Any:
        return self._combine(other, operator.add, reverse=True)

    def __sub__(self, other: Any) -> Any:
        return self._combine(other, operator.sub)

    def __rsub__(self, other: Any) -> Any:
        return self._combine(other, operator.sub, reverse=True)

    def __mul__(self, other: Any) -> Any:
        return self._combine(other, operator.mul)

    def __rmul__(self, other: Any) -> Any:
        return self._combine(other, operator.mul, reverse=True)

    def __floordiv__(self, other: Any) -> Any:
        return self._combine(other, operator.floordiv)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._combine(other, operator.floordiv, reverse=True)

    def __mod__(self, other: Any) -> Any:
        return self._combine(other, operator.mod)

    def __rmod__(self, other: Any) -> Any:
        return self._combine(other, operator.mod, reverse=True)

    def __neg__(self) -> Any:
        return self._combine(-1, operator.mul)

    def __eq__(self, other: Any) -> bool:  # type: ignore[override]
        """Whether the two are known to be equal at all sizes. False means that it is not known."""
        return isinstance(other, (int, Size)) and sympy.expand(self.expr - sympify(other)) == 0

    def __ne__(self, other: Any) -> bool:  # type: ignore[override]
        return not self == other

    def __hash__(self) -> int:
        return hash(self.expr)

    def _ordered(self, other: Any, function: Callable) -> bool:
        known = function(self.expr - sympify(other), 0)
        if known in (sympy.true, sympy.false, True, False):
            return bool(known)
        raise TypeError(f"{self.expr} against {other} is not known for all sizes")

    def __lt__(self, other: Any) -> bool:
        return self._ordered(other, operator.lt)

    def __le__(self, other: Any) -> bool:
        return self._ordered(other, operator.le)

    def __gt__(self, other: Any) -> bool:
        return self._ordered(other, operator.gt)

    def __ge__(self, other: Any) -> bool:
        return self._ordered(other, operator.ge)


def _floordiv(a: sympy.Expr, b: sympy.Expr) -> sympy.Expr:
    quotient = sympy.cancel(a / b)
    return quotient if quotient.is_integer else sympy.floor(a / b)


_SYMPY = {operator.floordiv: _floordiv, operator.mod: sympy.Mod}

jnp, jax, lax, eqx, np_ = Name("jnp"), Name("jax"), Name("lax"), Name("eqx"), Name("np")


def prelude(function: Callable) -> Prelude:
    """The symbolic form of a prelude function or class: call it in a rule as the function itself is called."""
    return Prelude(function)


def sympify(size: Any) -> sympy.Expr:
    return size.expr if isinstance(size, Size) else sympy.Integer(size)


def hint(size: Any) -> int:
    """The example's value of a size."""
    return size.hint if isinstance(size, Size) else size


def static(size: Any) -> bool:
    """Whether a size is the same for every input."""
    return not isinstance(size, Size)


def canonical(dtype: np.dtype) -> np.dtype:
    """dtype as JAX holds it in its present mode: int64 is int32 unless x64 is enabled."""
    return np.dtype(_jax.dtypes.canonicalize_dtype(dtype))


def children(expr: Any) -> tuple:
    """The direct sub-expressions and literals of an expression, in the order in which they are evaluated."""
    match expr:
        case Attribute():
            return (expr.value,)
        case Call():
            return (expr.function, *expr.args, *(value for _, value in expr.kwargs))
        case Subscript():
            return (expr.value, expr.index)
        case Operation():
            return expr.operands
        case Conditional():
            return (expr.test, expr.then, expr.otherwise)
        case tuple() | list():
            return tuple(expr)
        case dict():
            return tuple(expr.values())
        case slice():
            return (expr.start, expr.stop, expr.step)
    return ()


def rebuild(expr: Any, new: tuple) -> Any:
    """expr with its children replaced by new, in the order of `children`."""
    match expr:
        case Attribute():
            return Attribute(new[0], expr.attribute)
        case Call():
            count = 1 + len(expr.args)
            names = (name for name, _ in expr.kwargs)
            return Call(new[0], tuple(new[1:count]), tuple(zip(names, new[count:], strict=True)))
        case Subscript():
            return Subscript(*new)
        case Operation():
            return Operation(expr.symbol, tuple(new))
        case Conditional():
            return Conditional(*new)
        case list():
            return list(new)
        case tuple():
            return tuple(new)
        case dict():
            return dict(zip(expr, new, strict=True))
        case slice():
            return slice(*new)
    return expr


def transform(expr: Any, function: Callable[[Any], Any]) -> Any:
    """Rewrite an expression from its leaves up: function gets every rebuilt sub-expression and returns what replaces it."""
    old = children(expr)
    new = tuple(transform(child, function) for child in old)
    if any(a is not b for a, b in zip(old, new, strict=True)):
        expr = rebuild(expr, new)
    return function(expr)


def walk(expr: Any) -> Iterator[Any]:
    """Every sub-expression and literal, parents first."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def values(expr: Any) -> Iterator[Value]:
    """Every Value that an expression reads, each time it does."""
    return (part for part in walk(expr) if isinstance(part, Value))


def operands(expr: Any) -> Iterator[Value]:
    """Every array that an expression takes, those that its local functions read included."""
    for value in values(expr):
        if isinstance(value, Function):
            yield from value.free()
        else:
            yield value


def key(expr: Any, name: Callable[[Value | Size], Any] = lambda part: str(part)) -> Any:
    """A hashable form of an expression: equal for equal structure. name says what stands for a Value or Size."""
    match expr:
        case Function():
            return ("function", expr.serial)
        case Value() | Size():
            return (type(expr).__name__, name(expr))
        case Name():
            return ("name", expr.text)
        case Prelude():
            return ("prelude", expr.function)
        case RandomKey():  # no two uses are the same
            return ("random key", id(expr))
        case Expr() | tuple() | list() | slice() | dict():
            head = {Attribute: "attribute", Operation: "symbol"}.get(type(expr))
            own = getattr(expr, head) if head else None
            if isinstance(expr, Call):
                own = (len(expr.args), tuple(name for name, _ in expr.kwargs))
            elif isinstance(expr, dict):
                own = tuple(expr)
            return (type(expr).__name__, own, *(key(child, name) for child in children(expr)))
    if isinstance(expr, float):
        return ("float", repr(expr))
    return (type(expr).__name__, expr)


def evaluate(expr: Any, arrays: Mapping[Any, Any] | Callable[[Value], Any], size: Callable[[Size], int] = hint) -> Any:
    """Run an expression: Values are looked up in arrays, sizes by size (the example's, unless told otherwise)."""
    lookup = arrays if callable(arrays) else lambda value: arrays[value.name]

    def run(part: Any) -> Any:
        match part:
            case Function():
                return part.bound(lookup, size)
            case Value():
                return lookup(part)
            case Size():
                return size(part)
            case Name():
                return ROOTS[part.text] if part.text in ROOTS else getattr(builtins, part.text)
            case Prelude():
                return part.function
            case RandomKey():
                return _jax.random.key(0)  # for shapes and dtypes: the emitted code is given a key
            case Inference():
                return False  # for shapes and dtypes, which are the same in both modes
            case Conditional():
                return run(part.then) if run(part.test) else run(part.otherwise)
            case Attribute():
                return getattr(run(part.value), part.attribute)
            case Call():
                return run(part.function)(*map(run, part.args), **{name: run(value) for name, value in part.kwargs})
            case Subscript():
                return run(part.value)[run(part.index)]
            case Operation():
                table = UNARY if len(part.operands) == 1 else BINARY
                return table[part.symbol](*map(run, part.operands))
            case tuple() | list() | slice() | dict():
                return rebuild(part, tuple(map(run, children(part))))
        return part

    return run(expr)


def abstract(expr: Any) -> Any:
    """jax.eval_shape of an expression at the example sizes: a pytree of jax.ShapeDtypeStruct."""
    given = {value.name: value.aval for value in operands(expr)}
    return _jax.eval_shape(lambda arrays: evaluate(expr, arrays), given)
