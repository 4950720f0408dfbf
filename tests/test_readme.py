"""What README.md shows is what the project does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import translator
from op_table import registry
from tests.zoo.models import build

README = (Path(__file__).parent.parent / "README.md").read_text()


def code_after(text: str) -> str:
    """The first Python block of the README after `text`."""
    block = re.compile(r"```python\n(.*?)```", re.DOTALL).search(README, README.index(text))
    assert block is not None
    return block.group(1)


def test_excerpt_is_emitted() -> None:
    case = build("minilm")
    source = translator.translate(case.module, case.args, case.kwargs).source
    assert code_after("<!-- emitted from minilm -->").strip() in source


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
