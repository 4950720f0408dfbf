"""What the emitted source reads like, as far as that can be counted; and that it is sound Python whatever the module calls its parts."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
from collections import Counter

import pytest
import torch
from torch import nn

import translator
from tests import linters, odd_modules
from tests.zoo import models

# Varied: attention, convolutions, recurrence, caches, encoder and decoder, constants beside the source, odd names.
LINTED = ("bert", "t5", "deberta_v2_conv", "resnet18", "mobilenet_v3_small", "swin", "unet2d_condition", "torch_lstm")
LINTED_ODD = ("hostile_names", "buffers_and_constants", "nested_inputs_and_outputs", "sizes_in_arithmetic")


@functools.cache
def zoo_source(name: str) -> str:
    case = models.build(name)
    return translator.translate(case.module, case.args, case.kwargs, dynamic_shapes=case.dynamic_shapes).source


@functools.cache
def odd_source(name: str) -> str:
    return translator.translate(*odd_modules.build(name)).source


def classes_of(source: str) -> list[ast.ClassDef]:
    return [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]


def locals_of(source: str) -> set[str]:
    """Every name that is assigned, looped over, or a parameter within a function."""
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
    inside = [n for function in functions for n in ast.walk(function)]
    stored = {n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored | {n.arg for n in inside if isinstance(n, ast.arg)}


@functools.cache
def aten_names() -> frozenset[str]:
    return frozenset(name.removeprefix("aten::").partition(".")[0] for name in torch._C._dispatch_get_all_op_names())


def fx_names(source: str) -> list[str]:
    """The locals that are called what torch.fx calls its nodes: `add_37`, `view_2`, `getitem_3`, `slice_4`."""
    numbered = (re.fullmatch(r"(\w+?)_\d+(_\d+)*", name) for name in locals_of(source))
    ops = aten_names() | {"getitem", "sym_size", "lifted_tensor", "le", "eq"}
    return sorted(match[0] for match in numbered if match and match[1] in ops)


def lines_without_fast_forms(source: str) -> int:
    """The lines of a file without those functions that are there only because XLA runs them faster, and their blank lines."""
    names = ("pointwise_conv", "small_conv", "convolve", "convolve_any", "gelu")
    faster = [f for f in ast.parse(source).body if getattr(f, "name", "") in names]
    return source.count("\n") - sum(f.end_lineno - f.lineno + 3 for f in faster)


def test_bert_at_its_default_configuration_reads_as_if_ported_by_hand():
    source = zoo_source("bert_base")
    classes = classes_of(source)
    assert lines_without_fast_forms(source) <= 300
    assert len(classes) <= 12
    assert [c.name for c in classes].count("BertLayer") == 1 and not fx_names(source)
    assert source.count("BertLayer(") == 2, "one definition, built in one place"


def test_resnet50_has_one_bottleneck():
    source = zoo_source("resnet50")
    assert lines_without_fast_forms(source) <= 190
    assert [c.name for c in classes_of(source) if "Bottleneck" in c.name] == ["Bottleneck"] and not fx_names(source)


@pytest.mark.parametrize("name, repeated", [("gpt2_base", "GPT2Block"), ("llama_deep", "LlamaDecoderLayer")])
def test_decoders_at_their_default_configuration(name, repeated):
    source = zoo_source(name)
    assert source.count("\n") <= 320
    assert [c.name for c in classes_of(source)].count(repeated) == 1
    assert source.count(f"{repeated}(") == 2 and not fx_names(source)


@pytest.mark.parametrize("name", LINTED)
def test_no_value_is_called_what_an_fx_node_is(name):
    assert not fx_names(zoo_source(name))


@pytest.mark.parametrize("name", LINTED)
def test_no_class_is_defined_twice(name):
    names = Counter(c.name for c in classes_of(zoo_source(name)))
    assert max(names.values()) == 1
    bodies = Counter(
        ast.dump(ast.Module([f for f in c.body if not docstring(f)], [])) for c in classes_of(zoo_source(name))
    )
    assert max(bodies.values()) == 1


def docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of emitted files, with the settings that a saved one carries."""
    folder = tmp_path_factory.mktemp("emitted")
    for name in LINTED:
        (folder / f"{name}.py").write_text(zoo_source(name))
    for name in LINTED_ODD:
        (folder / f"{name}.py").write_text(odd_source(name))
    return folder


def test_emitted_files_pass_ruff(folder):
    linters.ruff(folder)


def test_emitted_files_pass_pyright(folder):
    linters.pyright(folder)


_PRINT = """
import sys
import translator
from tests import odd_modules
from tests.zoo import models
for name in ("bert", "gpt2", "t5", "torch_lstm"):
    case = models.build(name)
    print(translator.translate(case.module, case.args, case.kwargs).source)
for name in ("nested_inputs_and_outputs", "buffers_and_constants", "hostile_names_inside"):
    print(translator.translate(*odd_modules.build(name)).source)
"""


def test_two_processes_emit_the_same_bytes():
    def emit(seed: str) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "JAX_PLATFORMS": "cpu"}
        return subprocess.Popen([sys.executable, "-c", _PRINT], stdout=subprocess.PIPE, env=environment)

    processes = [emit("1"), emit("4242")]
    first, second = (process.communicate()[0] for process in processes)
    assert all(process.returncode == 0 for process in processes)
    assert first == second and first.count(b"class BertModel") == 1


@pytest.mark.parametrize("name", odd_modules.CASES)
def test_no_name_of_the_users_reaches_the_text_as_code(name):
    """Whatever the module calls its parts, a file holds imports, constants, functions and classes, and no code that runs when imported."""
    file = ast.parse(odd_source(name))
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    assert docstring(file.body[0])
    for statement in file.body[1:]:
        if isinstance(statement, ast.Assign):
            target = statement.targets[0]
            assert isinstance(target, ast.Name) and target.id.isupper()
            if target.id in ("TIED", "UNUSED"):
                ast.literal_eval(statement.value)
        else:
            assert isinstance(statement, allowed), ast.unparse(statement)
    modules = {alias.name for s in file.body if isinstance(s, ast.Import) for alias in s.names}
    modules |= {s.module for s in file.body if isinstance(s, ast.ImportFrom) if s.module}
    ours = {"equinox", "jax", "jaxtyping", "numpy", "safetensors"}
    assert {m.partition(".")[0] for m in modules} <= ours | sys.stdlib_module_names
    assert not modules & {"os", "subprocess", "sys"}
    for class_ in classes_of(odd_source(name)):
        assert all(docstring(s) or isinstance(s, (ast.AnnAssign, ast.FunctionDef)) for s in class_.body)


class Named(nn.Module):
    def __init__(self, name: str):
        super().__init__()
        self.add_module(name, nn.Linear(6, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return next(self.children())(x)


@pytest.mark.parametrize(
    "name",
    [
        '"""',
        "'",
        "\\",
        "a\nimport os",
        "{x}",
        "#",
        "é ",
        "\u2028",
        "def",
        "jax",
        "x",
        "self",
        "load",
        "0",
        "a b",
    ],
)
def test_any_attribute_name_round_trips(name):
    module = Named(name).eval()
    translation = translator.translate(module, (odd_modules.X,))
    ast.parse(translation.source)
    assert translation.verify(random=0, sizes=0).ok
    module.load_state_dict(translator.state_dict(translation.model), strict=True)
    assert f"{name}.weight" in translator.state_dict(translation.model)


def test_another_value_of_a_baked_argument_is_refused():
    module, args, kwargs = odd_modules.build("nested_inputs_and_outputs")
    translation = translator.translate(module, args, kwargs)
    pair, table, scale = torch.utils._pytree.tree_map_only(torch.Tensor, lambda t: t.numpy(), args)
    assert translation.model(pair, table, scale, **kwargs)["scale"] == scale
    for other_args, other_kwargs in [
        ((pair, table, 3.0), kwargs),
        ((pair, table, scale), {**kwargs, "mode": "a"}),
        ((pair, table, scale), {**kwargs, "extra": pair[0]}),
    ]:
        with pytest.raises(ValueError):
            translation.model(*other_args, **other_kwargs)
