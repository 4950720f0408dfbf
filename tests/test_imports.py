"""The direction of imports: the op table knows nothing of the translator, and in the translator data flows one way."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OP_TABLE = sorted((ROOT / "op_table").rglob("*.py"))
TRANSLATOR = {path.stem: path for path in sorted((ROOT / "translator").glob("*.py"))}

# What the op table and its prelude may import beside the standard library. A prelude function is copied into files that
# know neither torch nor this project.
PRELUDE_MAY = {"jax", "numpy", "equinox", "jaxtyping", "op_table"}
OP_TABLE_MAY = {*PRELUDE_MAY, "torch", "sympy", "ml_dtypes"}

# The stages in the order of the data. `lower` says what one node means, and every stage may ask it.
STAGES = ["lower", "capture", "simplify", "hierarchy", "classes", "codegen", "binding", "verify", "translation", "cli"]


def imported(path: Path) -> Iterator[str]:
    """The full names of the modules that a file imports when it runs, those inside functions as well."""
    body = ast.parse(path.read_text())
    for node in _running(body):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below one, but for what only a type checker reads."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from _running(child)


def dependencies(name: str) -> set[str]:
    """The files of the translator that one of them imports."""
    parts = (module.split(".") for module in imported(TRANSLATOR[name]))
    return {part[1] for part in parts if part[0] == "translator" and len(part) > 1 and part[1] in TRANSLATOR}


@pytest.mark.parametrize("path", OP_TABLE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_op_table_imports_little_and_never_the_translator(path):
    allowed = PRELUDE_MAY if path.parent.name == "prelude" else OP_TABLE_MAY
    roots = {module.split(".")[0] for module in imported(path)}
    assert roots - allowed - sys.stdlib_module_names == set()


@pytest.mark.parametrize("path", [p for p in OP_TABLE if p.parent.name == "prelude"], ids=lambda path: path.stem)
def test_the_prelude_imports_only_itself_of_the_op_table(path):
    own = {module for module in imported(path) if module.startswith("op_table")}
    assert {module for module in own if not module.startswith("op_table.prelude")} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_knows_a_later_one(stage):
    reached, waiting = set(), [stage]
    while waiting:
        found = dependencies(waiting.pop()) - reached
        reached |= found
        waiting += found
    later = set(STAGES[STAGES.index(stage) + 1 :])
    assert reached & later == set()
