"""What the emitted source reads like, as far as that can be counted; and that it is sound Python whatever the module calls its parts."""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

import translator
from tests import linters, odd_modules, reading
from tests.zoo import models
from translator.copied import Copied

LINTED_ODD = ("hostile_names", "buffers_and_constants", "nested_inputs_and_outputs", "sizes_in_arithmetic")


@functools.cache
def zoo_source(name: str) -> str:
    case = models.build(name)
    return translator.translate(case.module, case.args, case.kwargs, dynamic_shapes=case.dynamic_shapes).source


@functools.cache
def odd_source(name: str) -> str:
    return translator.translate(*odd_modules.build(name)).source


def lines_without_fast_forms(source: str) -> int:
    """The lines of a file without those functions that are there only because XLA runs them faster, and their blank lines."""
    names = ("product_of_each", "pointwise_conv", "small_conv", "convolve", "convolve_any", "gelu")
    faster = [f for f in ast.parse(source).body if getattr(f, "name", "") in names]
    return source.count("\n") - sum(f.end_lineno - f.lineno + 3 for f in faster)


def test_bert_at_its_default_configuration_reads_as_if_ported_by_hand():
    source = zoo_source("bert_base")
    classes = reading.classes_of(source)
    assert lines_without_fast_forms(source) <= 300
    assert len(classes) <= 12
    assert [c.name for c in classes].count("BertLayer") == 1 and not reading.fx_names(source)
    assert source.count("BertLayer(") == 2, "one definition, built in one place"


def test_resnet50_has_one_bottleneck():
    source = zoo_source("resnet50")
    assert lines_without_fast_forms(source) <= 190
    names = [c.name for c in reading.classes_of(source) if "Bottleneck" in c.name]
    assert names == ["Bottleneck"] and not reading.fx_names(source)


@pytest.mark.parametrize("name, repeated", [("gpt2_base", "GPT2Block"), ("llama_deep", "LlamaDecoderLayer")])
def test_decoders_at_their_default_configuration(name, repeated):
    source = zoo_source(name)
    assert source.count("\n") <= 320
    assert [c.name for c in reading.classes_of(source)].count(repeated) == 1
    assert source.count(f"{repeated}(") == 2 and not reading.fx_names(source)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of emitted files, with the settings that a saved one carries."""
    folder = tmp_path_factory.mktemp("emitted")
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
for name in ("bert", "t5", "torch_lstm"):
    case = models.build(name)
    print(translator.translate(case.module, case.args, case.kwargs).source)
for name in ("nested_inputs_and_outputs", "buffers_and_constants", "hostile_names_inside", "conditions_on_lengths_joined"):
    print(translator.translate(*odd_modules.build(name)).source)
"""


def test_another_process_emits_the_same_bytes():
    """In another order of sets."""
    environment = {**os.environ, "PYTHONHASHSEED": "4242" if os.environ.get("PYTHONHASHSEED") != "4242" else "1"}
    other = subprocess.Popen([sys.executable, "-c", _PRINT], stdout=subprocess.PIPE, env=environment, text=True)
    with contextlib.redirect_stdout(io.StringIO()) as own:
        exec(_PRINT, {})
    printed, _ = other.communicate()
    assert other.returncode == 0
    assert printed == own.getvalue() and printed.count("class BertModel") == 1


@pytest.mark.parametrize("name", odd_modules.CASES)
def test_no_name_of_the_users_reaches_the_text_as_code(name):
    """Whatever the module calls its parts, a file holds imports, constants, functions and classes, and no code that runs when imported."""
    file = ast.parse(odd_source(name))
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    assert reading.docstring(file.body[0])
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
    for class_ in reading.classes_of(odd_source(name)):
        assert all(reading.docstring(s) or isinstance(s, (ast.AnnAssign, ast.FunctionDef)) for s in class_.body)


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


def halved(x):
    return x / 2


def with_a_local_of_that_name(x):
    halved = x * 2
    return halved


def with_both(x):
    halved = 2
    return [helper(x) for helper in (halved_twice,)] * halved


def halved_twice(x):
    return halved(halved(x))


def test_a_helper_is_copied_where_it_is_called_not_where_a_local_has_its_name():
    copied = Copied()
    copied.use(with_a_local_of_that_name)
    assert list(copied.sources) == ["with_a_local_of_that_name"]
    copied.use(with_both)
    assert list(copied.sources)[1:] == ["halved", "halved_twice", "with_both"]
