"""Recurrent networks with torch's gates and weights.

A cell takes what the inputs contribute, computed for all times at once, and what the last output does.
The weights of one direction of one layer are (weight_ih, weight_hh), followed by (bias_ih, bias_hh) where there are any
(None where only a projection follows) and by weight_hr where an LSTM projects its output.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from op_table.prelude.random import dropout


def lstm_cell(
    inputs: Float[Array, "batch 4*hidden"],
    recurrent: Float[Array, "batch 4*hidden"],
    state: tuple[Float[Array, "batch output"], Float[Array, "batch hidden"]],
) -> tuple[Float[Array, "batch hidden"], Float[Array, "batch hidden"]]:
    """One step of torch.nn.LSTM: the new (output, cell)."""
    i, f, g, o = jnp.split(inputs + recurrent, 4, axis=-1)
    c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def gru_cell(
    inputs: Float[Array, "batch 3*hidden"],
    recurrent: Float[Array, "batch 3*hidden"],
    state: tuple[Float[Array, "batch hidden"]],
) -> tuple[Float[Array, "batch hidden"]]:
    """One step of torch.nn.GRU, whose reset gate acts after the product with the recurrent weight."""
    r, z, n = zip(jnp.split(inputs, 3, axis=-1), jnp.split(recurrent, 3, axis=-1), strict=True)
    update = jax.nn.sigmoid(z[0] + z[1])
    new = jnp.tanh(n[0] + jax.nn.sigmoid(r[0] + r[1]) * n[1])
    return ((1 - update) * new + update * state[0],)


def rnn_tanh_cell(
    inputs: Float[Array, "batch hidden"],
    recurrent: Float[Array, "batch hidden"],
    state: tuple[Float[Array, "batch hidden"]],
) -> tuple[Float[Array, "batch hidden"]]:
    """One step of torch.nn.RNN."""
    return (jnp.tanh(inputs + recurrent),)


def rnn_relu_cell(
    inputs: Float[Array, "batch hidden"],
    recurrent: Float[Array, "batch hidden"],
    state: tuple[Float[Array, "batch hidden"]],
) -> tuple[Float[Array, "batch hidden"]]:
    """One step of torch.nn.RNN(nonlinearity="relu")."""
    return (jax.nn.relu(inputs + recurrent),)


def affine(
    x: Float[Array, "*batch in"],
    weight: Float[Array, "in out"],
    bias: Float[Array, " out"] | None = None,
) -> Float[Array, "*batch out"]:
    """x @ weight + bias."""
    y = x @ weight
    return y if bias is None else y + bias


def scan_cell(
    cell: Callable,
    inputs: Float[Array, "time batch gates"],
    state: tuple[Float[Array, "batch hidden"], ...],
    weight: Float[Array, "hidden gates"],
    bias: Float[Array, " gates"] | None = None,
    weight_hr: Float[Array, "output hidden"] | None = None,
    *,
    reverse: bool,
) -> tuple[tuple[Float[Array, "batch _"], ...], Float[Array, "time batch output"]]:
    """A cell over all times: the final state, and the outputs.

    Of few examples, the gradient by weight is one product over all times: adding up one each, as
    lax.scan does, takes as long as all else.
    """

    def run(given: tuple, keep: bool) -> tuple:
        inputs, state, weight, bias = given

        def step(state: tuple, now: Array) -> tuple:
            recurrent = affine(state[0], weight, bias)
            h, *c = cell(now, recurrent, state)
            new = (h if weight_hr is None else h @ weight_hr.T, *c)
            return new, (new[0], (recurrent, state) if keep else None)

        final, (output, kept) = lax.scan(step, state, inputs, reverse=reverse)
        return (final, output), kept

    @jax.custom_jvp
    def outputs(*given: Any) -> tuple:
        return run(given, keep=False)[0]

    @outputs.defjvp
    def tangents_of_outputs(given: tuple, tangents: tuple) -> tuple:
        result, (recurrent, states) = run(given, keep=True)
        of_inputs, of_state, of_weight, of_bias = tangents
        moved = affine(states[0], of_weight, of_bias)
        linear = jax.vmap(lambda *at: jax.linearize(cell, *at)[1])(given[0], recurrent, states)

        def step(of_state: tuple, now: tuple) -> tuple:
            linear, of_inputs, moved = now
            new = linear(of_inputs, moved + of_state[0] @ given[2], of_state)
            return new, new[0]

        return result, lax.scan(step, of_state, (linear, of_inputs, moved), reverse=reverse)

    given = inputs, state, weight, bias
    few = weight_hr is None and 16 * len(state[0]) < len(weight)
    return outputs(*given) if few else run(given, keep=False)[0]


def recurrent_layers(
    cell: Callable,
    x: Float[Array, "time batch features"],
    state: tuple[Float[Array, "layers batch size"], ...],
    weights: Sequence[tuple],
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Float[Array, "time batch output"], tuple[Float[Array, "layers batch size"], ...]]:
    """All layers of a recurrent network: the output of the last, and the final state of each."""
    x = x.swapaxes(0, 1) if batch_first else x
    directions = 2 if bidirectional else 1
    finals = []
    for first in range(0, len(weights), directions):
        outputs = []
        for direction in range(directions):
            weight_ih, weight_hh, *rest = weights[first + direction]
            bias_ih, *rest = rest or (None,)
            start = tuple(s[first + direction] for s in state)
            inputs = affine(x, weight_ih.T, bias_ih)
            final, output = scan_cell(
                cell, inputs, start, weight_hh.T, *rest, reverse=direction == 1
            )
            finals.append(final)
            outputs.append(output)
        x = jnp.concatenate(outputs, axis=-1) if bidirectional else outputs[0]
    final_state = tuple(jnp.stack(s) for s in zip(*finals, strict=True))
    return x.swapaxes(0, 1) if batch_first else x, final_state


def lstm(
    x: Float[Array, "time batch features"],
    state: tuple[Float[Array, "layers batch output"], Float[Array, "layers batch hidden"]],
    weights: Sequence[tuple],
    *,
    bidirectional: bool = False,
    batch_first: bool = False,
) -> tuple[Array, Array, Array]:
    """torch.nn.LSTM without dropout: the outputs, and the last output and cell of every layer."""
    y, (h, c) = recurrent_layers(lstm_cell, x, state, weights, bidirectional, batch_first)
    return y, h, c


def gru(
    x: Float[Array, "time batch features"],
    state: Float[Array, "layers batch hidden"],
    weights: Sequence[tuple],
    *,
    bidirectional: bool = False,
    batch_first: bool = False,
) -> tuple[Array, Array]:
    """torch.nn.GRU without dropout: the outputs, and the last of every layer."""
    y, (h,) = recurrent_layers(gru_cell, x, (state,), weights, bidirectional, batch_first)
    return y, h


def rnn_tanh(
    x: Float[Array, "time batch features"],
    state: Float[Array, "layers batch hidden"],
    weights: Sequence[tuple],
    *,
    bidirectional: bool = False,
    batch_first: bool = False,
) -> tuple[Array, Array]:
    """torch.nn.RNN without dropout: the outputs, and the last of every layer."""
    y, (h,) = recurrent_layers(rnn_tanh_cell, x, (state,), weights, bidirectional, batch_first)
    return y, h


def rnn_relu(
    x: Float[Array, "time batch features"],
    state: Float[Array, "layers batch hidden"],
    weights: Sequence[tuple],
    *,
    bidirectional: bool = False,
    batch_first: bool = False,
) -> tuple[Array, Array]:
    """torch.nn.RNN(nonlinearity="relu") without dropout: the outputs, the last of every layer."""
    y, (h,) = recurrent_layers(rnn_relu_cell, x, (state,), weights, bidirectional, batch_first)
    return y, h


def recurrent_with_dropout(
    cell: Callable,
    x: Float[Array, "time batch features"],
    state: tuple[Float[Array, "layers batch size"], ...],
    weights: Sequence[tuple],
    p: float,
    key: PRNGKeyArray,
    *,
    bidirectional: bool = False,
    batch_first: bool = False,
) -> tuple[Array, ...]:
    """torch.nn.LSTM, GRU and RNN with dropout between layers: the outputs, then the last states."""
    directions = 2 if bidirectional else 1
    firsts = range(0, len(weights), directions)
    finals = []
    for first, layer_key in zip(firsts, jax.random.split(key, len(firsts)), strict=True):
        if first > 0:
            x = dropout(x, p, layer_key)
        layer = slice(first, first + directions)
        x, final = recurrent_layers(
            cell, x, tuple(s[layer] for s in state), weights[layer], bidirectional, batch_first
        )
        finals.append(final)
    return x, *(jnp.concatenate(s) for s in zip(*finals, strict=True))
