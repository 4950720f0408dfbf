"""An emitted class that is built anew draws its weights as torch's module does."""

from __future__ import annotations

import equinox as eqx
import jax
import numpy as np
import pytest
import torch
from torch import nn

import translator

X = torch.randn(2, 5, 24)
IDS = torch.zeros(2, 3, dtype=torch.long)

MODULES = {
    "lstm": (nn.LSTM(24, 64, num_layers=2, bidirectional=True, batch_first=True), X),
    "projected": (nn.LSTM(24, 64, proj_size=16, batch_first=True), X),
    "gru": (nn.GRU(24, 64, batch_first=True), X),
    "cell": (nn.RNNCell(24, 64), X[0]),
    "bilinear": (nn.Bilinear(24, 24, 40), X[0], X[1][:5]),
    "attention": (nn.MultiheadAttention(24, 4), X, X, X),
    "attention of other widths": (nn.MultiheadAttention(24, 4, kdim=12), X, X[..., :12], X),
    "bag": (nn.EmbeddingBag(50, 40), IDS),
}


@pytest.mark.parametrize("name", MODULES)
def test_fresh_weights(name):
    module, *inputs = MODULES[name]
    translation = translator.translate(module.eval(), tuple(inputs), dynamic_shapes=None)
    fresh = type(translation.model)(key=jax.random.key(0))
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(fresh, eqx.is_array))
    ours = {jax.tree_util.keystr(where, simple=True, separator="."): np.asarray(leaf) for where, leaf in leaves}
    for key, parameter in module.state_dict().items():
        theirs, array = parameter.numpy(), ours[key.removeprefix("layers.")]
        assert array.shape == theirs.shape and array.dtype == theirs.dtype
        if key == "out_proj.bias":  # of a Linear; torch's attention sets it to zero
            continue
        few = 0.3 if theirs.size < 100 else 0.1  # the greatest of so many draws scatters
        np.testing.assert_allclose(array.std(), theirs.std(), rtol=few, err_msg=key)
        np.testing.assert_allclose(np.abs(array).max(), np.abs(theirs).max(), rtol=3 * few, err_msg=key)
