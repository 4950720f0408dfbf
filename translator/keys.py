"""Random keys: what draws random numbers gets a key of its own, split off from the one that its class is called with."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
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


def thread(statements: list[Statement], own: str, path: str) -> tuple[list[Statement], Key | None]:
    """statements with a key for each random op and each call that takes one, and the key that they all come from.

    One use takes the key as it is; several are given theirs by one split. Where children of a list take keys, each use is
    preceded by `key, subkey = jax.random.split(key)`: the key goes on as a running value does, and a loop carries it.
    own: a prefix for the names of values. path: where in the tree the class is that the statements are of.
    """
    needs = [sum(isinstance(part, (RandomKey, Key)) for part in walk(s.expr)) for s in statements]
    users = [statement for statement, need in zip(statements, needs, strict=True) if need]
    if not users:
        return statements, None
    key = Key(f"{own}key", "key")
    if sum(needs) == 1:
        _give(users[0], [key])
        return statements, key
    if any(_in_list(statement, path) for statement in users):
        return _running(statements, needs, key, own, path), key
    return _at_once(statements, needs, key, own), key


def _at_once(statements: list[Statement], needs: list[int], key: Key, own: str) -> list[Statement]:
    """Before the first use, `key1, key2 = jax.random.split(key)`."""
    keys = [Key(f"{own}key{i}", f"key{i}") for i in range(1, sum(needs) + 1)]
    first = next(position for position, need in enumerate(needs) if need)
    split, feed = _split(statements[first], key, keys), iter(keys)
    for statement, need in zip(statements, needs, strict=True):
        _give(statement, list(itertools.islice(feed, need)))
    return [*statements[:first], split, *statements[first:]]


def _running(statements: list[Statement], needs: list[int], key: Key, own: str, path: str) -> list[Statement]:
    """Before each use, `key, subkey = jax.random.split(key)`. The last takes the key itself, but for one that a loop may hold."""
    last = max(position for position, need in enumerate(needs) if need)
    threaded: list[Statement] = []
    for position, (statement, need) in enumerate(zip(statements, needs, strict=True)):
        if position == last and need == 1 and not _in_list(statement, path):
            _give(statement, [key])
        elif need:
            after = Key(f"{own}key{position}", "key")
            subkeys = [Key(f"{own}subkey{position}x{i}", "subkey") for i in range(need)]
            threaded.append(_split(statement, key, [after, *subkeys]))
            _give(statement, subkeys)
            key = after
        threaded.append(statement)
    return threaded


def _in_list(statement: Statement, path: str) -> bool:
    """Whether a statement calls a child in a list of the class at path, or is the code of one."""
    child = statement.call.path if statement.call is not None else statement.groups[-1] if statement.groups else path
    return any(part.isdecimal() for part in child[len(path) :].split("."))


def _split(before: Statement, key: Key, targets: Sequence[Key]) -> Statement:
    """The statement that makes targets of key, in the place of the one before which it stands."""
    expr = Call(jax.random.split, (key,) if len(targets) == 2 else (key, len(targets)))
    return type(before)(tuple(targets), expr, groups=before.groups, frame=before.frame)


def _give(statement: Statement, keys: Sequence[Key]) -> None:
    """Put keys where the statement draws random numbers, or passes a key on."""
    feed = iter(keys)
    statement.expr = transform(statement.expr, lambda p: next(feed) if isinstance(p, (RandomKey, Key)) else p)


def called(statements: Sequence[Statement]) -> dict[str, str]:
    """What the keys that statements split off are called, by the names of their values."""
    return {t.name: t.called for s in statements for t in s.targets if isinstance(t, Key)}


def is_split(targets: Sequence[Value | None]) -> bool:
    """Whether an assignment to targets splits a running key."""
    return len(targets) > 1 and all(target is None or isinstance(target, Key) for target in targets)


def beside(word: str, name: str) -> str:
    """An argument's name beside what goes by word, a PRNG key or a state: an array called `key` is `key_`, as in Equinox's attention."""
    own = name == word or name.startswith((f"{word}.", f"{word}["))
    return f"{word}_{name[len(word) :]}" if own else name
