"""Random keys: what draws random numbers gets a key of its own, split off from the one that its class is called with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from op_table.expr import Call, RandomKey, Value, jax, transform, walk

if TYPE_CHECKING:
    from translator.body import Statement


class Key(Value):
    """A PRNG key that the emitted code has at hand. called is its name there."""

    def __init__(self, name: str, called: str):
        super().__init__(name, (), np.dtype("uint32"))
        self.called = called


def thread(statements: list[Statement], own: str) -> tuple[list[Statement], Key | None]:
    """statements with a key for each random op and each call that takes one, and the key that they all come from.

    One use takes the key as it is; several are given theirs by one split. Where children of a list take keys, each use is
    preceded by `key, subkey = jax.random.split(key)`: the key goes on as a running value does, and a loop carries it.
    own: a prefix for the names of values.
    """
    needs = [sum(isinstance(part, (RandomKey, Key)) for part in walk(s.expr)) for s in statements]
    total = sum(needs)
    if not total:
        return statements, None
    key = Key(f"{own}key", "key")
    in_list = any(n and _in_list(s) for s, n in zip(statements, needs, strict=True))
    threaded: list[Statement] = []
    if total == 1:
        feed = iter([key])
    elif not in_list:
        keys = [Key(f"{own}key{i}", f"key{i}") for i in range(1, total + 1)]
        feed = iter(keys)
    latest, left = key, total
    for count, (statement, need) in enumerate(zip(statements, needs, strict=True)):
        left -= need
        if need and in_list and not left and need == 1 and not _in_list(statement):
            feed = iter([latest])
        elif need and total > 1 and in_list:
            after, *subkeys = targets = [
                Key(f"{own}key{count}", "key"),
                *(Key(f"{own}subkey{count}x{i}", "subkey") for i in range(need)),
            ]
            threaded.append(_split(statement, latest, targets))
            latest, feed = after, iter(subkeys)
        elif need and total > 1 and latest is key:
            threaded.append(_split(statement, key, keys))
            latest = keys[-1]
        threaded.append(_given(statement, feed) if need else statement)
    return threaded, key


def _in_list(statement: Statement) -> bool:
    """Whether a statement calls a child in a list, or is the code of one."""
    path = statement.call.path if statement.call is not None else statement.groups[-1] if statement.groups else ""
    return any(part.isdecimal() for part in path.split("."))


def _split(before: Statement, key: Key, targets: Sequence[Key]) -> Statement:
    from translator.body import Statement

    expr = Call(jax.random.split, (key,) if len(targets) == 2 else (key, len(targets)))
    return Statement(tuple(targets), expr, groups=before.groups, frame=before.frame)


def _given(statement: Statement, keys: Iterator[Key]) -> Statement:
    statement.expr = transform(statement.expr, lambda p: next(keys) if isinstance(p, (RandomKey, Key)) else p)
    return statement


def called(statements: Sequence[Statement]) -> dict[str, str]:
    """What the keys that statements split off are called, by the names of their values."""
    return {t.name: t.called for s in statements for t in s.targets if isinstance(t, Key)}


def is_split(targets: Sequence[Value | None]) -> bool:
    """Whether an assignment to targets splits a running key."""
    return len(targets) > 1 and all(target is None or isinstance(target, Key) for target in targets)


def without_key(name: str) -> str:
    """An argument's name beside a PRNG key, which goes by `key`: an array of that name is `key_`, as in Equinox's attention."""
    return f"key_{name[3:]}" if name == "key" or name.startswith(("key.", "key[")) else name
