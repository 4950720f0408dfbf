"""Names of the emitted classes: the torch classes' own, told apart by what their instances are where one became several."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

from translator.classes import Definition
from translator.modules import is_field_name

_WORD = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z][a-z]*\d*|[a-z]+\d*|\d+")


def name_classes(definitions: Iterable[Definition], taken: set[str]) -> None:
    """Name each definition, in the order of the file, by none of the names that are taken."""
    groups: dict[str, list[Definition]] = {}
    for definition in definitions:
        group = groups.setdefault(own_name(definition), [])
        if definition not in group:
            group.append(definition)
    for base, group in groups.items():
        names = _distinguished(base, group, list(groups)) if len(group) > 1 else [base]
        if len(set(names)) < len(names) or any(name != base and (name in taken or name in groups) for name in names):
            names = [base] * len(group)
        for definition, name in zip(group, names, strict=True):
            candidate, count = name, 2
            while candidate in taken or (candidate in groups and candidate != base):
                candidate, count = f"{name}{count}", count + 1
            taken.add(candidate)
            definition.name = candidate


def own_name(definition: Definition) -> str:
    """The torch class's own name, made an identifier; for a module that only holds others, the name of its field."""
    name = definition.type_name.rpartition(".")[2]
    if not name:
        name = _camel(definition.module.path.rpartition(".")[2]) or "Model"
    name = re.sub(r"\W", "_", name.replace("<locals>", "")).strip("_")
    return name if is_field_name(name) and name[0].isalpha() else f"Module_{name}"


def _distinguished(base: str, group: list[Definition], names: list[str]) -> list[str]:
    """A name for each class of a group by the parts of the paths that only its instances have: T5EncoderStack, T5DecoderStack."""
    prefix = _common_words(base, names)
    paths = [[_parts(member.module.path) for member in definition.members] for definition in group]
    found: list[str] = []
    for mine in paths:
        others = [path for theirs in paths if theirs is not mine for path in theirs]
        for parts in _candidates(mine):
            name = _inserted(prefix, parts, base)
            if not any(set(parts) <= set(path) for path in others) and name not in found:
                found.append(name)
                break
        else:
            return [base] * len(group)
    return found


def _parts(path: str) -> list[str]:
    return [part for part in path.split(".") if is_field_name(part) and not part[-1].isdecimal()]


def _candidates(paths: list[list[str]]) -> Iterator[tuple[str, ...]]:
    """Parts that all paths have: each alone, then two together."""
    common = [part for part in paths[0] if all(part in path for path in paths)]
    yield from ((part,) for part in common)
    yield from itertools.combinations(common, 2)


def _common_words(base: str, names: list[str]) -> str:
    """The words that all classes' names start with: the model's own name."""
    words = [_WORD.findall(name) for name in {base, *names}]
    shared = [column[0] for column in itertools.takewhile(lambda c: len(set(c)) == 1, zip(*words, strict=False))]
    return "".join(shared)


def _inserted(prefix: str, parts: tuple[str, ...], base: str) -> str:
    """The parts between the model's name and the rest of the class's, saying nothing twice: self_attn and Attention, SelfAttention."""
    rest = base[len(prefix) :]
    words = [word for part in parts for word in _WORD.findall(_camel(part))]
    while words and any(_abbreviates(words[-1], word) for word in _WORD.findall(rest)):
        words.pop()
    return prefix + "".join(words) + rest


def _abbreviates(word: str, whole: str) -> bool:
    """Whether a word is another, or has some of its letters in order: Attn, Attention."""
    letters = iter(whole.lower())
    return whole[:1] == word[:1] and len(word) > 2 and all(letter in letters for letter in word.lower())


def _camel(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))
