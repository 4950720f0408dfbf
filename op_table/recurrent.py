"""Recurrent networks over whole sequences, and their cells."""

from __future__ import annotations

from collections.abc import Callable

from op_table.expr import Expr, RandomKey, prelude
from op_table.prelude import recurrent as real
from op_table.registry import Unsupported, lowers

CELLS = {
    "lstm": real.lstm_cell,
    "gru": real.gru_cell,
    "rnn_tanh": real.rnn_tanh_cell,
    "rnn_relu": real.rnn_relu_cell,
}
NETWORKS = {"lstm": real.lstm, "gru": real.gru, "rnn_tanh": real.rnn_tanh, "rnn_relu": real.rnn_relu}


def _network(name: str) -> Callable:
    def lower(input: Expr, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first) -> Expr:
        options = {"bidirectional": bidirectional, "batch_first": batch_first}
        given = {option: True for option, value in options.items() if value}
        weights = _by_direction(list(params), has_biases, num_layers * (2 if bidirectional else 1))
        if dropout > 0 and train and num_layers > 1:
            state = tuple(hx) if name == "lstm" else (hx,)
            cell, network = prelude(CELLS[name]), prelude(real.recurrent_with_dropout)
            return network(cell, input, state, weights, dropout, RandomKey(), **given)
        state = tuple(hx) if name == "lstm" else hx
        return prelude(NETWORKS[name])(input, state, weights, **given)

    return lower


def _by_direction(params: list[Expr], has_biases: bool, directions: int) -> list[tuple]:
    """The parameters of each direction of each layer: input, recurrent, both biases or None, projection if there is one."""
    count = len(params) // directions
    groups = [params[i * count : (i + 1) * count] for i in range(directions)]
    if not has_biases:
        groups = [[*group[:2], *([None, None] if group[2:] else []), *group[2:]] for group in groups]
    return [tuple(group) for group in groups]


def _packed(name: str) -> Callable:
    def lower(*args, **kwargs) -> Expr:
        raise Unsupported(f"{name} of a packed sequence, whose batch shrinks from step to step")

    return lower


for _name in NETWORKS:
    lowers(f"aten.{_name}.input")(_network(_name))
    lowers(f"aten.{_name}.data")(_packed(_name))


def _cell(name: str, input: Expr, state: tuple, w_ih: Expr, w_hh: Expr, b_ih: Expr | None, b_hh: Expr | None) -> Expr:
    inputs, recurrent = input @ w_ih.T, state[0] @ w_hh.T
    if b_ih is not None:
        inputs, recurrent = inputs + b_ih, recurrent + b_hh
    return prelude(CELLS[name])(inputs, recurrent, state)


@lowers("aten.lstm_cell.default")
def lstm_cell(input: Expr, hx: list[Expr], w_ih: Expr, w_hh: Expr, b_ih=None, b_hh=None) -> Expr:
    return _cell("lstm", input, tuple(hx), w_ih, w_hh, b_ih, b_hh)


@lowers("aten.gru_cell.default")
def gru_cell(input: Expr, hx: Expr, w_ih: Expr, w_hh: Expr, b_ih=None, b_hh=None) -> Expr:
    return _cell("gru", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


@lowers("aten.rnn_tanh_cell.default")
def rnn_tanh_cell(input: Expr, hx: Expr, w_ih: Expr, w_hh: Expr, b_ih=None, b_hh=None) -> Expr:
    return _cell("rnn_tanh", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


@lowers("aten.rnn_relu_cell.default")
def rnn_relu_cell(input: Expr, hx: Expr, w_ih: Expr, w_hh: Expr, b_ih=None, b_hh=None) -> Expr:
    return _cell("rnn_relu", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]
