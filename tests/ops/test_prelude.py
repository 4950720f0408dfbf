"""What is copied into emitted files must stand on its own there: its names are unique and all of them are known."""

import builtins
import dis
import importlib
import inspect
import pkgutil
from collections import Counter
from types import CodeType

import pytest

import op_table.prelude
from translator.copied import Copied, import_line

MODULES = [
    importlib.import_module(f"op_table.prelude.{module.name}")
    for module in pkgutil.iter_modules(op_table.prelude.__path__)
]
PARTS = [
    part
    for module in MODULES
    for part in vars(module).values()
    if (inspect.isfunction(part) or inspect.isclass(part)) and part.__module__ == module.__name__
]


def globals_of(code: CodeType) -> set[str]:
    """The global names that a piece of code, and what is defined in it, looks up."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return names.union(*(globals_of(part) for part in code.co_consts if isinstance(part, CodeType)))


def test_names_are_unique():
    assert [name for name, count in Counter(part.__name__ for part in PARTS).items() if count > 1] == []


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__qualname__)
def test_copied_source_knows_all_its_names(part):
    copied = Copied()
    copied.use(part)
    imports = sorted(filter(None, map(import_line, copied.names)))
    source = "\n\n".join([*imports, *copied.sources.values()])
    namespace: dict = {}
    exec(source, namespace)
    known = {*namespace, *vars(builtins)}
    own = {"__name__", "__module__", "__qualname__", "__annotations__"}
    assert globals_of(compile(source, part.__name__, "exec")) - known - own == set()
