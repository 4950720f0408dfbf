"""`translate(..., scan_layers=True)`: layers that are alike are one scan over stacked leaves, which still bind by torch's names."""

import os
import runpy
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import translator
from tests.zoo import models
from tests.zoo.text import tokens

X = torch.linspace(-1.0, 1.0, 24).reshape(4, 6)


class Block(nn.Module):
    def __init__(self, drop: float = 0.0):
        super().__init__()
        self.norm, self.linear, self.drop = nn.LayerNorm(6), nn.Linear(6, 6), nn.Dropout(drop)

    def forward(self, x):
        return x + self.drop(torch.tanh(self.linear(self.norm(x))))


class Stack(nn.Module):
    def __init__(self, count: int = 4, drop: float = 0.0):
        super().__init__()
        self.blocks, self.head = nn.ModuleList(Block(drop) for _ in range(count)), nn.Linear(6, 2)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def scanned(module: nn.Module, *args: torch.Tensor, **options) -> translator.Translation:
    return translator.translate(module, args, scan_layers=True, **options)


def test_layers_are_one_of_stacked_leaves():
    translation = scanned(Stack().eval(), X)
    assert translation.model.blocks.linear.weight.shape == (4, 6, 6)
    assert "scan_layers(step, x, self.blocks)" in translation.source
    assert translation.verify(sizes=1).ok


def test_the_way_there_and_back(tmp_path):
    module = Stack().eval()
    folder = scanned(module, X).save(tmp_path / "stack")
    emitted = runpy.run_path(str(folder / "model.py"))
    model = emitted["load"](folder)
    assert np.allclose(model(jnp.asarray(X.numpy())), module(X).detach().numpy(), atol=1e-6)
    changed = jax.tree.map(lambda leaf: 2 * leaf if eqx.is_array(leaf) else leaf, model)
    back = translator.state_dict(changed)
    assert back.keys() == module.state_dict().keys()
    assert all(torch.equal(back[name], 2 * tensor) for name, tensor in module.state_dict().items())


def test_a_stack_within_a_sequential():
    module = nn.Sequential(nn.Linear(6, 6), Stack()).eval()
    translation = scanned(module, X)
    assert translation.verify(sizes=1).ok
    module.load_state_dict(translator.state_dict(translation.model), strict=True)


def test_an_argument_may_be_called_as_the_scans_function_is():
    class Stepping(Stack):
        def forward(self, x, step):
            for block in self.blocks:
                x = block(x) + step
            return self.head(x)

    assert scanned(Stepping().eval(), X, X).verify(sizes=1).ok


def test_what_is_missing_is_named():
    module = Stack().eval()
    translation = scanned(module, X)
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    del state["blocks.2.linear.weight"]
    bind = sys.modules[type(translation.model).__module__].bind
    with pytest.raises(ValueError, match=r"blocks\.\*\.linear\.weight is missing in some layers"):
        bind(state)


def test_gradients_and_keys():
    module = Stack(drop=0.1).train()
    translation = scanned(module, X)
    assert "key, x = carry" in translation.source
    assert translation.verify(sizes=0, gradients=True).ok
    run = eqx.filter_jit(lambda model, key: model(jnp.asarray(X.numpy()), key=key))
    assert not np.allclose(run(translation.model, jax.random.key(0)), run(translation.model, jax.random.key(1)))


def test_what_is_frozen_in_all_layers_stays_so():
    module = Stack().train()
    for block in module.blocks:
        block.norm.weight.requires_grad_(False)
    translation = scanned(module, X)
    trained = translation.trainable(translation.model)
    assert not trained.blocks.norm.weight and trained.blocks.norm.bias and trained.blocks.linear.weight
    assert translation.verify(sizes=0, gradients=True).ok


def _frozen_in_one(module):
    module.blocks[1].norm.weight.requires_grad_(False)
    return module.train()


def _tied(module):
    module.blocks[1].linear.weight = module.blocks[0].linear.weight
    return module.eval()


def _of_two_sizes(module):
    module.blocks[1].linear = nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 6))
    return module.eval()


def _with_statistics(module):
    for block in module.blocks:
        block.norm = nn.BatchNorm1d(6)
    return module.train()


@pytest.mark.parametrize("spoil", [_frozen_in_one, _tied, _of_two_sizes, _with_statistics])
def test_what_cannot_be_stacked_stays_a_loop(spoil):
    translation = scanned(spoil(Stack()), X)
    assert "def scan_layers(" not in translation.source
    assert translation.verify(sizes=1).ok


def test_a_layer_that_is_read_apart_from_the_loop_is_not_stacked():
    class Reading(Stack):
        def forward(self, x):
            return super().forward(x) + self.blocks[0].linear.weight.sum()

    translation = scanned(Reading().eval(), X)
    assert "def scan_layers(" not in translation.source and translation.verify(sizes=1).ok


MODELS = ("gpt2", "llama", "clip", "whisper")
MORE = ("bert", "vit") if os.environ.get("ZOO") else ()


@pytest.mark.parametrize("name", MODELS + MORE)
def test_models(name):
    """What each layer returns beside what it hands on (keys and values) is a list as before."""
    case = models.build(name)
    translation = translator.translate(case.module.eval(), case.args, case.kwargs, scan_layers=True)
    assert "scan_layers(" in translation.source
    assert translation.verify(sizes=1).ok
    case.module.load_state_dict(translator.state_dict(translation.model), strict=True)


def test_compiling_takes_as_long_for_many_layers_as_for_few():
    """Counted in what XLA is given: equations of the whole program, that of the scan's body once."""
    import transformers as hf

    def equations(layers: int) -> int:
        config = hf.BertConfig(
            hidden_size=16, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=32, vocab_size=50
        )
        inputs = tokens(2, 8, 50)
        translation = translator.translate(hf.BertModel(config).eval(), (), inputs, scan_layers=True)
        arrays = {name: jnp.asarray(tensor.numpy()) for name, tensor in inputs.items()}
        text = jax.jit(lambda arrays: translation.model(**arrays)[0]).lower(arrays).as_text()
        return sum(" = stablehlo." in line for line in text.splitlines())

    assert equations(12) <= 1.1 * equations(2)
