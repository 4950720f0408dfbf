"""Recurrent networks with torch's gates and weights.

A step takes what the inputs contribute, computed for all times at once, and weight_hh transposed, once
for all. The weights of one direction of one layer are (weight_ih, weight_hh), followed by (bias_ih, bias_hh) where there are any
(None where only a projection follows) and by weight_hr where an LSTM projects its output.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from op_table.prelude.random import dropout


def lstm_step(
    inputs: Float[Array, "batch 4*hidden"],
    state: tuple[Float[Array, "batch output"], Float[Array, "batch hidden"]],
    recurrent_weight: Float[Array, "output 4*hidden"],
    bias_hh: Float[Array, " 4*hidden"] | None = None,
    weight_hr: Float[Array, "output hidden"] | None = None,
) -> tuple[Float[Array, "batch output"], Float[Array, "batch hidden"]]:
    """One step of torch.nn.LSTM: the new (output, cell)."""
    h, c = state
    gates = inputs + h @ recurrent_weight
    if bias_hh is not None:
        gates = gates + bias_hh
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return h if weight_hr is None else h @ weight_hr.T, c


def gru_step(
    inputs: Float[Array, "batch 3*hidden"],
    state: tuple[Float[Array, "batch hidden"]],
    recurrent_weight: Float[Array, "hidden 3*hidden"],
    bias_hh: Float[Array, " 3*hidden"] | None = None,
) -> tuple[Float[Array, "batch hidden"]]:
    """One step of torch.nn.GRU, whose reset gate acts after the product with the recurrent weight."""
    (h,) = state
    recurrent = h @ recurrent_weight
    if bias_hh is not None:
        recurrent = recurrent + bias_hh
    r, z, n = zip(jnp.split(inputs, 3, axis=-1), jnp.split(recurrent, 3, axis=-1), strict=True)
    update = jax.nn.sigmoid(z[0] + z[1])
    new = jnp.tanh(n[0] + jax.nn.sigmoid(r[0] + r[1]) * n[1])
    return ((1 - update) * new + update * h,)


def rnn_tanh_step(
    inputs: Float[Array, "batch hidden"],
    state: tuple[Float[Array, "batch hidden"]],
    recurrent_weight: Float[Array, "hidden hidden"],
    bias_hh: Float[Array, " hidden"] | None = None,
) -> tuple[Float[Array, "batch hidden"]]:
    """One step of torch.nn.RNN."""
    recurrent = state[0] @ recurrent_weight
    return (jnp.tanh(inputs + (recurrent if bias_hh is None else recurrent + bias_hh)),)


def rnn_relu_step(
    inputs: Float[Array, "batch hidden"],
    state: tuple[Float[Array, "batch hidden"]],
    recurrent_weight: Float[Array, "hidden hidden"],
    bias_hh: Float[Array, " hidden"] | None = None,
) -> tuple[Float[Array, "batch hidden"]]:
    """One step of torch.nn.RNN(nonlinearity="relu")."""
    recurrent = state[0] @ recurrent_weight
    return (jax.nn.relu(inputs + (recurrent if bias_hh is None else recurrent + bias_hh)),)


def recurrent_layers(
    step: Callable,
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
            inputs = x @ weight_ih.T
            if rest and rest[0] is not None:
                inputs = inputs + rest[0]
            final, output = lax.scan(
                lambda state, now, w=(weight_hh.T, *rest[1:]): (
                    new := step(now, state, *w),
                    new[0],
                ),
                tuple(s[first + direction] for s in state),
                inputs,
                reverse=direction == 1,
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
    y, (h, c) = recurrent_layers(lstm_step, x, state, weights, bidirectional, batch_first)
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
    y, (h,) = recurrent_layers(gru_step, x, (state,), weights, bidirectional, batch_first)
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
    y, (h,) = recurrent_layers(rnn_tanh_step, x, (state,), weights, bidirectional, batch_first)
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
    y, (h,) = recurrent_layers(rnn_relu_step, x, (state,), weights, bidirectional, batch_first)
    return y, h


def recurrent_with_dropout(
    step: Callable,
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
            step, x, tuple(s[layer] for s in state), weights[layer], bidirectional, batch_first
        )
        finals.append(final)
    return x, *(jnp.concatenate(s) for s in zip(*finals, strict=True))
