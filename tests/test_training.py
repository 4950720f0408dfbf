"""Modules in training mode: their buffers are state, one file serves both modes, and the emitted module trains as torch's does."""

from __future__ import annotations

import copy
import random

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

import translator
from tests import linters

torch.manual_seed(0)
IMAGE, ROWS, SEQUENCE = torch.randn(4, 6, 5, 5), torch.randn(5, 6), torch.randn(3, 7, 6)


class Block(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, inner, 3, padding=1), nn.BatchNorm2d(inner)
        self.shortcut = nn.Sequential(nn.Conv2d(width, inner, 1), nn.BatchNorm2d(inner)) if inner != width else None

    def forward(self, x):
        y = self.norm(self.conv(x))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class Residual(nn.Module):
    """Repeated blocks with state, one of which has a shortcut with more state, and a counter of the module's own."""

    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.layers = nn.ModuleList([Block(6, 6), Block(6, 6), Block(6, 8)])

    def forward(self, x):
        self.steps += 1
        for layer in self.layers:
            x = layer(x)
        return x / self.steps


class Running(nn.Module):
    """An average that is kept in both modes, and a cache that no checkpoint carries."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.register_buffer("average", torch.zeros(6))
        self.register_buffer("cache", torch.ones(3, 7, 6), persistent=False)

    def forward(self, x):
        with torch.no_grad():
            self.average.mul_(0.9).add_(x.mean((0, 1)), alpha=0.1)
            self.cache[:, 1:3] = x[:, :2]
        return self.linear(x - self.average) * self.cache


class DropPath(nn.Module):
    def forward(self, x):
        if not self.training:
            return x
        keep = torch.empty(x.shape[0], 1, 1).bernoulli_(0.8)
        return x * keep / 0.8


class Stochastic(nn.Module):
    """Dropout in every form, and what is there in training alone."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, dropout=0.2, batch_first=True)
        self.drop, self.path = nn.Dropout(0.3), DropPath()
        self.rnn = nn.GRU(6, 6, 2, dropout=0.4, batch_first=True)

    def forward(self, x):
        y = self.attention(x, x, x, need_weights=False)[0]
        x = x + self.path(self.drop(y))
        x = F.alpha_dropout(F.dropout(x, 0.1, self.training), 0.2, self.training)
        return self.rnn(F.dropout1d(x, 0.25, self.training))[0]


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.frozen = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.frozen.requires_grad_(False)
        self.register_buffer("scale", torch.full((6,), 1.5))

    def forward(self, x):
        return self.second(torch.tanh(self.first(self.frozen(x) * self.scale)))


class Noise(nn.Module):
    """F.dropout that is on in evaluation mode, too: torch's default."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        return F.dropout(self.linear(x), 0.5)


class Norms(nn.Module):
    """Every norm of a kind, with momentum and without, with and without affine parameters and running statistics."""

    def __init__(self, kind: type[nn.Module], features: int, momenta: tuple = (0.1, 0.3, None)):
        super().__init__()
        self.norms = nn.ModuleList(
            kind(features, affine=affine, momentum=momentum, track_running_stats=tracked)
            for affine in (True, False)
            for momentum in momenta
            for tracked in (True, False)
        )

    def forward(self, x):
        return [norm(x) for norm in self.norms]


NORMS = {
    "batch 1d": (Norms(nn.BatchNorm1d, 6), ROWS),
    "batch 2d": (Norms(nn.BatchNorm2d, 6), IMAGE),
    "batch 3d": (Norms(nn.BatchNorm3d, 6), torch.randn(2, 6, 2, 3, 2)),
    "instance 1d": (Norms(nn.InstanceNorm1d, 7, (0.1, 0.4)), SEQUENCE),
    "instance 2d": (Norms(nn.InstanceNorm2d, 6, (0.1, 0.4)), IMAGE),
    "instance 3d": (Norms(nn.InstanceNorm3d, 6, (0.1, 0.4)), torch.randn(2, 6, 2, 3, 2)),
}

MODULES = {
    "residual": (Residual(), IMAGE),
    "running": (Running(), SEQUENCE),
    "stochastic": (Stochastic(), SEQUENCE),
    "tied": (Tied(), ROWS),
    "noise": (Noise(), ROWS),
    "spectral": (parametrizations.spectral_norm(nn.Linear(6, 4)), ROWS),
    "older spectral": (nn.utils.spectral_norm(nn.Linear(6, 4)), ROWS),
    "weight norm": (parametrizations.weight_norm(nn.Linear(6, 4)), ROWS),
    "orthogonal": (parametrizations.orthogonal(nn.Linear(6, 6)), ROWS),
    "lstm": (nn.LSTM(6, 4, 3, dropout=0.5, bidirectional=True), SEQUENCE),
    "partly frozen": (nn.Sequential(nn.BatchNorm1d(6).eval(), nn.Linear(6, 6), nn.BatchNorm1d(6)), ROWS),
}


def translated(name: str) -> tuple[nn.Module, torch.Tensor, translator.Translation]:
    module, x = MODULES[name]
    module = copy.deepcopy(module)
    if name != "partly frozen":
        module.train()
    return module, x, translator.translate(module, (x,))


@pytest.mark.parametrize("name", MODULES)
def test_it_trains_as_torch_does(name, tmp_path):
    """In both modes and at other sizes; gradients, buffers, ten steps of SGD and of AdamW."""
    _, _, translation = translated(name)
    verification = translation.verify(gradients=True)
    assert verification.ok, str(verification)
    (tmp_path / "model.py").write_text(translation.source)
    linters.ruff(tmp_path)


@pytest.mark.parametrize("name", NORMS)
def test_norms_in_training(name):
    module, x = NORMS[name]
    translation = translator.translate(copy.deepcopy(module).train(), (x,), dynamic_shapes=None)
    verification = translation.verify(random=0, sizes=0, gradients=True)
    assert verification.ok, str(verification)


def test_the_running_variance_is_unbiased():
    translation = translator.translate(nn.BatchNorm1d(6, momentum=1.0).train(), (ROWS,))
    _, state = translation.model(jnp.asarray(ROWS.numpy()), state=translation.state)
    found = translator.state_dict(translation.model, state)["running_var"].numpy()
    np.testing.assert_allclose(found, ROWS.numpy().var(0, ddof=1), rtol=1e-6)


def test_state_goes_back_to_torch():
    module, x, translation = translated("residual")
    model, state = translation.model, translation.state
    step = eqx.filter_jit(lambda model, x, state: model(x, state=state))
    for _ in range(3):
        y, state = step(model, jnp.asarray(x.numpy()), state)
        expected = module(x)
    np.testing.assert_allclose(y, expected.detach().numpy(), atol=1e-5)
    other = Residual()
    other.load_state_dict(translator.state_dict(model, state), strict=True)
    assert other.steps == module.steps == 3
    with torch.no_grad():
        expected = other.eval()(x).numpy()
    y, _ = eqx.nn.inference_mode(model)(jnp.asarray(x.numpy()), state=state)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    with pytest.raises(translator.BindingError, match="state_dict\\(model, state\\)"):
        translator.state_dict(model)


def test_evaluation_is_without_chance_and_training_is_not():
    module, x, translation = translated("stochastic")
    model, array = translation.model, jnp.asarray(x.numpy())
    one, two = jax.random.key(1), jax.random.key(2)
    call = eqx.filter_jit(lambda model, key: model(array, key=key))
    assert not np.allclose(call(model, one), call(model, two))
    np.testing.assert_array_equal(call(model, one), call(model, one))
    evaluating = eqx.nn.inference_mode(model)
    np.testing.assert_array_equal(call(evaluating, one), call(evaluating, two))
    with torch.no_grad():
        np.testing.assert_allclose(call(evaluating, one), module.eval()(x).numpy(), atol=1e-5)
    many = jax.vmap(lambda key: model(array, key=key))(jax.random.split(one, 5))
    assert len({part.tobytes() for part in np.asarray(many)}) == 5


def test_what_is_always_on_stays_on_in_evaluation():
    _, x, translation = translated("noise")
    evaluating = eqx.nn.inference_mode(translation.model)
    y = evaluating(jnp.asarray(x.numpy()), key=jax.random.key(0))
    assert (np.asarray(y) == 0).any()
    assert "inference" not in translation.source


def test_what_torch_does_not_train_is_not_trained():
    _, _, translation = translated("tied")
    flags = jax.tree_util.tree_leaves_with_path(translation.trainable(translation.model))
    trained = {jax.tree_util.keystr(where, simple=True, separator=".") for where, flag in flags if flag is True}
    assert trained in ({"first.bias", "second.bias", f"{owner}.weight"} for owner in ("first", "second"))


def test_frozen_statistics_stay_frozen():
    """A part in evaluation mode keeps its statistics while the rest trains."""
    module, x, translation = translated("partly frozen")
    assert {name.partition(".")[0] for name in translation.captured.mutated} == {"2"}
    assert not module[0].training and module[2].training  # tracing evaluation mode left the modes as they were


def test_a_module_without_either_keeps_its_plain_signature():
    source = translator.translate(nn.Sequential(nn.Linear(6, 6), nn.ReLU()).train(), (ROWS,)).source
    assert "state" not in source.split("def __call__")[1].split("def trainable")[0]
    assert "key" not in source.split("def __call__")[1].split("def trainable")[0]


class Names(nn.Module):
    """Arguments that are called as what the emitted code adds."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(6), nn.Dropout(0.5)

    def forward(self, state, key, inference):
        return self.drop(self.norm(state)) * key + inference


def test_arguments_called_state_and_key():
    translation = translator.translate(Names().train(), (ROWS, ROWS, ROWS))
    assert translation.verify(random=0, sizes=0).ok
    assert "state_:" in translation.source and "key_:" in translation.source


class Heads(nn.Module):
    """Another structure in training: an auxiliary head, with statistics of its own."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 2)
        self.more = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 2))

    def forward(self, x):
        y = self.body(x)
        more = self.more(y) if self.training else None
        return {"logits": self.head(y), "more": more} if self.training else self.head(y)


def test_another_result_in_evaluation():
    translation = translator.translate(Heads().train(), (ROWS,))
    verification = translation.verify(gradients=True)
    assert verification.ok, str(verification)
    assert {row.name for row in verification.outputs if "training" in row.case} >= {"logits", "more"}
    assert {row.name for row in verification.outputs if "evaluation" in row.case} >= {"output"}


class Counting(nn.Module):
    """Its buffer changes in evaluation alone."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        if not self.training:
            self.calls += 1
        return x * 2


def test_what_cannot_serve_both_modes_says_so():
    translation = translator.translate(Counting().train(), (ROWS,))
    assert translation.verify(gradients=True).ok
    assert any("does in evaluation mode what it does in training mode" in note for note in translation.captured.notes)
    assert "inference_mode changes nothing here" in translation.source


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.inference = nn.Linear(6, 6)

    def forward(self, x):
        return F.dropout(self.inference(x), 0.5, self.training)


def test_a_child_called_inference_is_refused_beside_the_flag():
    with pytest.raises(translator.TranslationError, match="called `inference`"):
        translator.translate(Named().train(), (ROWS,))
    assert translator.translate(Named().eval(), (ROWS,)).verify(random=0, sizes=0).ok


class Numpy(nn.Module):
    def forward(self, x):
        return x * float(np.random.rand())


class Python(nn.Module):
    def forward(self, x):
        return x if random.random() < 0.5 else -x


@pytest.mark.parametrize("module", [Numpy(), Python()], ids=["numpy", "Python"])
def test_draws_that_a_trace_would_fix_are_refused(module):
    with pytest.raises(translator.CaptureError, match="random generator"):
        translator.translate(module, (ROWS,))


class Writing(nn.Module):
    """Memory that is read as it was before, and written through a view, in two calls."""

    def __init__(self):
        super().__init__()
        self.register_buffer("held", torch.arange(12.0).reshape(3, 4))

    def forward(self, x):
        before = self.held.clone()
        self.held[1:].mul_(2)
        self.held.t()[0] += x
        return before + self.held * x[:, None], self.held.sum()


def test_a_buffer_is_written_through_views():
    translation = translator.translate(Writing().train(), (torch.randn(3),))
    verification = translation.verify(gradients=True)
    assert verification.ok, str(verification)


class Twice(nn.Module):
    """One norm called twice: the second call takes what the first left."""

    def __init__(self):
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(6), nn.Linear(6, 6)

    def forward(self, x):
        return self.norm(self.linear(self.norm(x)))


def test_a_norm_that_is_called_twice():
    translation = translator.translate(Twice().train(), (ROWS,))
    verification = translation.verify(gradients=True)
    assert verification.ok, str(verification)


class WithoutGradient(nn.Module):
    """What no_grad gives back of what it was given keeps its gradient: `to` with nothing to do returns its argument."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        y = self.linear(x)
        with torch.no_grad():
            z = y.to(torch.float32)
            stopped = y * 2
        return z * stopped + y


def test_no_grad_that_changes_nothing():
    translation = translator.translate(WithoutGradient().train(), (ROWS,))
    verification = translation.verify(gradients=True)
    assert verification.ok, str(verification)


def test_a_wrong_gradient_is_found():
    """The check can fail: an emitted file with a stop_gradient too many agrees in value, and not in gradient."""
    module = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2)).train()
    translation = translator.translate(module, (ROWS,))
    broken = translation.source.replace("jnp.tanh(", "(lambda x: jax.lax.stop_gradient(jnp.tanh(x)))(")
    assert broken != translation.source
    emitted = translation.emitted.__class__(**{**vars(translation.emitted), "source": broken})
    verification = translator.Translation(translation.captured, emitted).verify(gradients=True)
    failed = {row.name for row in verification.outputs if not row.ok}
    assert not verification.ok and "0.weight" in failed and "2.weight" not in failed


def test_the_truth_of_hardsigmoid_is_exact():
    """torch's kernel of its gradient has 1/6 in float32 even in float64, three units in the eighth digit off."""
    x = torch.zeros((), dtype=torch.float64, requires_grad=True)
    F.hardsigmoid(x).backward()
    assert abs(x.grad * 6 - 1) > 1e-8
    module = nn.Sequential(nn.Linear(6, 6), nn.Hardsigmoid(), nn.Linear(6, 2)).train()
    assert translator.translate(module, (ROWS,)).verify(random=0, sizes=0, gradients=True).ok


class DropRows(nn.Module):
    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        return x * torch.empty(len(x), 1).bernoulli_(1 - self.p) / (1 - self.p)


class Layer(nn.Module):
    def __init__(self, p: float):
        super().__init__()
        self.linear, self.drop = nn.Linear(4, 4), DropRows(p)

    def forward(self, x):
        return x + self.drop(self.linear(x))


def test_layers_of_which_the_first_draws_nothing_are_one_class():
    """Stochastic depth, whose probability grows from 0: the first layer is called with a key as the others are."""
    module = nn.Sequential(*(Layer(p) for p in (0.0, 0.1, 0.2))).train()
    translation = translator.translate(module, (torch.randn(3, 4),))
    assert translation.source.count("class Layer(") == 1
    assert translation.verify(gradients=True).ok
