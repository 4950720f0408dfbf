"""What README.md shows is what the project does.

After a change of the codegen, `UPDATE_README=1 pytest tests/test_readme.py` writes the excerpt anew, to be reviewed as a diff.
"""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
import torch
from torch import nn

import translator
from op_table import registry
from tests.zoo.models import build

README_FILE = Path(__file__).parent.parent / "README.md"
README = README_FILE.read_text()


def code_after(text: str) -> str:
    """The first Python block of the README after `text`."""
    block = re.compile(r"```python\n(.*?)```", re.DOTALL).search(README, README.index(text))
    assert block is not None
    return block.group(1)


def test_excerpt_is_emitted() -> None:
    case = build("minilm")
    source = translator.translate(case.module, case.args, case.kwargs).source
    shown = code_after("<!-- emitted from minilm -->").strip()
    names = [node.name for node in ast.parse(shown).body if isinstance(node, ast.ClassDef)]
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    emitted = "\n\n\n".join(ast.get_source_segment(source, classes[name]) or "" for name in names)
    if os.environ.get("UPDATE_README"):
        README_FILE.write_text(README.replace(shown, emitted))
    else:
        assert shown == emitted


def test_rule_for_an_op_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.coverage()  # loads the table, so that the copy is whole
    monkeypatch.setattr(registry, "_rules", dict(registry._rules))
    names: dict = {"__name__": "readme"}
    exec(code_after("## Adding a rule"), names)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 8)

        def forward(self, x):
            return names["softclip"](self.linear(x), 3.0)

    translation = translator.translate(Net().eval(), (torch.randn(2, 4),))
    assert "3.0 * jnp.tanh(" in translation.source
    verification = translation.verify()
    assert verification.ok, str(verification)


def test_training_step() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
    module[0].requires_grad_(False)
    first = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    x = torch.randn(32, 4)
    names: dict = {"__name__": "readme", "module": module, "args": (x,)}
    exec(code_after("## Training"), names)
    labels = jnp.argmax(jnp.asarray(x), axis=1) % 3
    losses = []
    for key in jax.random.split(jax.random.key(0), 20):
        state = names["model"], names["state"], names["optimizer_state"]
        *state, loss = names["step"](*state, key, jnp.asarray(x), labels)
        names |= dict(zip(("model", "state", "optimizer_state"), state, strict=True))
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    exec(code_after("The way back to torch"), names)
    same = {name for name, tensor in module.state_dict().items() if torch.equal(tensor, first[name])}
    assert same == {"0.weight", "0.bias"}
    assert module[1].num_batches_tracked == 20
