"""A small torch module and its translation written by hand, so that what comes after codegen is tested apart from it.

It has what binding must get right: a convolution (whose bias has another shape in Equinox), a loop of blocks, tied weights, a
parameter that forward does not use, an integer buffer, and a name that is no Python identifier.
"""

from __future__ import annotations

import torch
from torch import nn

from translator.emitted import Emitted, EmittedCall
from translator.loader import loader_source


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.dense(x)) + x


class Net(nn.Module):
    def __init__(self, width: int = 6):
        super().__init__()
        self.embed = nn.Embedding(11, width)
        self.conv = nn.Conv1d(width, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(3))
        self.head = nn.Linear(width, 11, bias=False)
        self.head.weight = self.embed.weight
        self.spare = nn.Parameter(torch.randn(2))
        self.add_module("odd-name", nn.Linear(width, width))
        self.register_buffer("offset", torch.tensor(3))

    def forward(self, ids: torch.Tensor, scale: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.embed((ids + self.offset) % 11) * scale
        x = self.conv(x.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        x = getattr(self, "odd-name")(x)
        logits = self.head(x)
        return {"logits": logits, "best": logits.argmax(-1)}


_CLASSES = '''
class Block(eqx.Module):
    dense: eqx.nn.Linear

    def __init__(self, *, key: PRNGKeyArray):
        self.dense = eqx.nn.Linear(6, 6, key=key)

    def __call__(self, x: Float[Array, "batch seq 6"]) -> Float[Array, "batch seq 6"]:
        return jnp.tanh(jax.vmap(jax.vmap(self.dense))(x)) + x


class Net(eqx.Module):
    """What the torch module is, by hand."""

    embed: eqx.nn.Embedding
    conv: eqx.nn.Conv1d
    blocks: tuple[Block, ...]
    offset: Int[Array, ""]
    odd_name: eqx.nn.Linear

    def __init__(self, *, key: PRNGKeyArray):
        k1, k2, k3, k4 = jax.random.split(key, 4)
        self.embed = eqx.nn.Embedding(11, 6, key=k1)
        self.conv = eqx.nn.Conv1d(6, 6, 3, padding=1, key=k2)
        self.blocks = tuple(Block(key=k) for k in jax.random.split(k3, 3))
        self.offset = jnp.array(3)
        self.odd_name = eqx.nn.Linear(6, 6, key=k4)

    def __call__(self, ids: Int[Array, "batch seq"], scale: Float[Array, "batch seq 1"]):
        x = self.embed.weight[(ids + self.offset) % 11] * scale.astype(jnp.float32)
        x = jax.vmap(self.conv)(x.swapaxes(1, 2)).swapaxes(1, 2)
        for block in self.blocks:
            x = block(x)
        logits = jax.vmap(jax.vmap(self.odd_name))(x) @ self.embed.weight.T
        return {"logits": logits, "best": jnp.argmax(logits, axis=-1)}
'''

TIED = {
    "head.weight": "embed.weight",
    "odd-name.weight": "odd_name.weight",
    "odd-name.bias": "odd_name.bias",
}
UNUSED = ("spare",)


def net() -> tuple[Net, tuple[torch.Tensor, torch.Tensor]]:
    """The module in evaluation mode, and its example inputs."""
    torch.manual_seed(0)
    return Net().eval(), (torch.randint(0, 11, (2, 5)), torch.rand(2, 5, 1) + 0.5)


def source() -> str:
    """The emitted file of Net."""
    loader, imports = loader_source("Net", TIED, UNUSED, True, "")
    imports |= {"from jaxtyping import Array, Float, Int, PRNGKeyArray"}
    return "\n".join(sorted(imports)) + "\n\n" + _CLASSES + "\n\n" + loader


def emitted(graph: torch.fx.Graph) -> Emitted:
    """Net's translation, its calls named after the nodes of the exported graph."""
    adds = [n for n in graph.nodes if "aten.add.Tensor" in str(n.target)][-3:]
    before = [add.args[1].name for add in adds]
    calls = [EmittedCall(f"blocks.{n}", "Block", (before[n],), (add.name,)) for n, add in enumerate(adds)]
    inputs = tuple(n.name for n in graph.nodes if n.op == "placeholder")[-2:]
    head, best = graph.output_node().args[0]
    root = EmittedCall("", "Net", inputs, (best.name, head.name))
    class_of = {"": "Net"} | {f"blocks.{n}": "Block" for n in range(3)}
    return Emitted(source(), "Net", (*calls, root), class_of, TIED, UNUSED)
