import pytest
import torch
import torch.nn as nn

from op_table.registry import Unsupported, lookup
from tests.ops.harness import check, lowered
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


def test_dropout_between_layers_is_refused_in_training():
    network = nn.GRU(4, 3, 2, dropout=0.5)
    function, tensors = run(network.train(), (2, 2, 3))
    with pytest.raises(Unsupported, match="dropout"):
        lowered(function, SEQUENCE, *tensors)
    function, tensors = run(network.eval(), (2, 2, 3))
    check(function, SEQUENCE, *tensors, op="aten.gru.input")


@pytest.mark.parametrize("name", NETWORKS)
def test_packed_sequences_are_refused(name):
    with pytest.raises(Unsupported, match="packed"):
        lookup(f"aten.{name}.data").function()
