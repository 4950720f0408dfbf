import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn as nn

import translator
from op_table.prelude.recurrent import (
    gru_cell,
    lstm_cell,
    recurrent_with_dropout,
    rnn_relu_cell,
    rnn_tanh_cell,
    scan_cell,
)
from op_table.registry import Unsupported, lookup
from tests.opinfo import statistics
from tests.ops.harness import check
from tests.ops.nn_checks import check_both

SEQUENCE = torch.randn(5, 2, 4)
NETWORKS = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn_tanh": nn.RNN,
    "rnn_relu": lambda *args, **options: nn.RNN(*args, nonlinearity="relu", **options),
}
CELLS = {
    "lstm_cell": nn.LSTMCell,
    "gru_cell": nn.GRUCell,
    "rnn_tanh_cell": nn.RNNCell,
    "rnn_relu_cell": lambda *args, **options: nn.RNNCell(*args, nonlinearity="relu", **options),
}


def run(network: nn.Module, *state_shapes: tuple):
    """A function of the input, the state and the parameters, and these tensors."""
    names = [name for name, _ in network.named_parameters()]
    state = [torch.randn(shape) for shape in state_shapes]

    def function(x, *tensors):
        hx = tensors[: len(state)]
        weights = dict(zip(names, tensors[len(state) :], strict=True))
        return torch.func.functional_call(network, weights, (x, hx if len(hx) > 1 else hx[0]))

    return function, [*state, *(p.detach() for p in network.parameters())]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}, {"bias": False, "num_layers": 2}],
    ids=str,
)
def test_networks(name, options):
    network = NETWORKS[name](4, 3, **options).eval()
    layers = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    batch = 5 if options.get("batch_first") else 2
    shapes = [(layers, batch, 3)] * (2 if name == "lstm" else 1)
    function, tensors = run(network, *shapes)
    (check_both if options.get("bidirectional") else check)(function, SEQUENCE, *tensors, op=f"aten.{name}.input")


@pytest.mark.parametrize("options", [{}, {"bias": False, "bidirectional": True}], ids=str)
def test_lstm_with_projection(options):
    network = nn.LSTM(4, 6, proj_size=3, **options).eval()
    layers = 2 if options else 1
    function, tensors = run(network, (layers, 2, 3), (layers, 2, 6))
    check_both(function, SEQUENCE, *tensors, op="aten.lstm.input")


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("bias", [True, False])
def test_cells(name, bias):
    cell = CELLS[name](4, 3, bias=bias)
    function, tensors = run(cell, *[(2, 3)] * (2 if name == "lstm_cell" else 1))
    (check_both if bias else check)(function, SEQUENCE[0], *tensors, op=f"aten.{name}.default")


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "batch_first": True}, {"bias": False}], ids=str)
def test_dropout_of_everything_between_layers(name, options):
    """With a probability of one there is nothing to draw: the layers after the first see zeros, the last one's output stays."""
    network = NETWORKS[name](4, 3, num_layers=3, dropout=1.0, **options).train()
    layers = 6 if options.get("bidirectional") else 3
    batch = 5 if options.get("batch_first") else 2
    function, tensors = run(network, *[(layers, batch, 3)] * (2 if name == "lstm" else 1))
    check_both(function, SEQUENCE, *tensors, op=f"aten.{name}.input")


def test_dropout_between_layers_of_a_projected_lstm():
    function, tensors = run(nn.LSTM(4, 6, 2, proj_size=3, dropout=1.0).train(), (2, 2, 3), (2, 2, 6))
    check_both(function, SEQUENCE, *tensors, op="aten.lstm.input")


@pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last:UserWarning")
@pytest.mark.parametrize(
    ("num_layers", "p", "training"), [(1, 0.5, True), (2, 0.0, True), (2, 0.5, False)], ids=["one layer", "p=0", "eval"]
)
def test_where_nothing_is_dropped_between_layers(num_layers, p, training):
    network = nn.GRU(4, 3, num_layers, dropout=p).train(training)
    function, tensors = run(network, (num_layers, 2, 3))
    check(function, SEQUENCE, *tensors, op="aten.gru.input")
    assert not statistics.is_random(translator.translate(network, (SEQUENCE,)))


@pytest.mark.parametrize("p", [0.3, 0.5])
def test_what_is_dropped_between_layers(p):
    """Layers that hand on what they are given show, of ones, which elements are left and how large they are."""
    layers, size = 4, 64
    weights = [(jnp.eye(size), jnp.zeros((size, size)))] * layers
    x, state = jnp.ones((2, 8, size)), (jnp.zeros((layers, 8, size)),)
    drawn = jax.vmap(lambda key: recurrent_with_dropout(rnn_relu_cell, x, state, weights, p, key))
    y, h = map(np.asarray, drawn(jax.random.split(jax.random.key(0), 20)))
    for layer in range(layers):  # each draws anew
        left = h[:, layer] > 0
        np.testing.assert_allclose(left.mean(), (1 - p) ** layer, atol=0.02)
        np.testing.assert_allclose(h[:, layer][left], (1 - p) ** -layer, rtol=1e-5)
    first, last = y.swapaxes(0, 1)
    np.testing.assert_array_equal(last, h[:, -1])
    assert abs(np.corrcoef(first.ravel(), last.ravel())[0, 1]) < 0.05  # and so does each time


@pytest.fixture(scope="module", params=["lstm", "gru"])
def translation(request) -> translator.Translation:
    torch.manual_seed(0)
    network = NETWORKS[request.param](4, 3, 2, dropout=0.3, bidirectional=request.param == "gru")
    return translator.translate(network.train(), (SEQUENCE,))


def test_dropout_between_layers_draws_as_torch_does(translation):
    model, network = translation.model, translation.captured.module
    found = statistics.draws(lambda key: [model(SEQUENCE.numpy(), key=key)])
    with torch.no_grad():
        assert not statistics.problem(found[0], lambda: network(SEQUENCE))


def test_dropout_between_layers_takes_a_key(translation):
    model = translation.model
    draw = jax.jit(lambda seed: model(SEQUENCE.numpy(), key=jax.random.key(seed)))
    (first, state), (again, _), (other, state_of_other) = draw(0), draw(0), draw(1)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    h, h_of_other = (jax.tree.leaves(s)[0] for s in (state, state_of_other))
    half = len(h) // 2  # the first layer's directions: nothing is dropped before it
    np.testing.assert_array_equal(h[:half], h_of_other[:half])
    assert not np.allclose(h[half:], h_of_other[half:])


@pytest.mark.parametrize("name", NETWORKS)
def test_packed_sequences_are_refused(name):
    with pytest.raises(Unsupported, match="packed"):
        lookup(f"aten.{name}.data").function()


@pytest.mark.parametrize("cell, gates, states", [(lstm_cell, 4, 2), (gru_cell, 3, 1), (rnn_tanh_cell, 1, 1)])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_scanned_cell_of_few_examples_in_all_modes_of_differentiation(cell, gates, states, reverse):
    draw, size = np.random.default_rng(0).normal, 17
    state = tuple(draw(size=(1, size)) for _ in range(states))
    weight = draw(size=(size, gates * size), scale=size**-0.5)
    given = draw(size=(5, 1, gates * size)), state, weight, draw(size=gates * size)

    def plain(inputs, state, weight, bias):
        step = lambda state, now: (new := cell(now, state[0] @ weight + bias, state), new[0])
        return jax.lax.scan(step, state, inputs, reverse=reverse)

    def scanned(*given):
        return scan_cell(cell, *given, reverse=reverse)

    def modes(function, *given):
        """Forward mode, both derivatives, and a batch."""
        total = lambda *given: sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(function(*given)))
        once = jax.grad(total, (0, 1, 2, 3))
        twice = jax.grad(
            lambda *given: sum(jnp.sum(jnp.cos(leaf)) for leaf in jax.tree.leaves(once(*given))), (0, 1, 2, 3)
        )
        batch = jax.vmap(function, (0, None, None, None))(jnp.stack([given[0], given[0] + 1]), *given[1:])
        moved = jax.tree.map(jnp.cos, given)
        return jax.jvp(function, given, moved), once(*given), twice(*given), batch

    with jax.enable_x64(True):
        run = jax.jit(modes, static_argnums=0)
        close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10)
        jax.tree.map(close, run(scanned, *given), run(plain, *given))
