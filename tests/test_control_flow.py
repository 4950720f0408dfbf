"""Control flow: torch's higher-order ops as lax's, with local functions for their bodies."""

from __future__ import annotations

import functools
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest
import torch
from torch import nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.map import map as map_over
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.utils.checkpoint import checkpoint

import translator
from tests import linters
from translator.errors import CaptureError, UnsupportedOps


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.rand(4))

    def forward(self, x):
        def grow(x):
            return self.linear(x).relu() * 2

        def shrink(x):
            y = torch.zeros(x.shape[0], 4)
            y[:, 0] = x[:, 1]
            y += self.scale
            return y

        y = torch.cond(x.mean() > 0, grow, shrink, (x,))
        return y + 1


class Recurrence(nn.Module):
    """A scan with two carried arrays, a branch in it, and a module that is called in it."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(4, 5)
        self.gate = nn.Parameter(torch.rand(5))

    def forward(self, x, h0):
        def advance(carry, frame):
            h, c = carry
            h, c = self.cell(frame, (h, c))
            c = torch.cond(h.sum() > 0, lambda: c * self.gate, lambda: c - self.gate)
            return (h, c), h * 2

        (h, c), outputs = scan(advance, (h0, h0 + 1), x)
        return outputs, h, c


class ReversedScan(nn.Module):
    def forward(self, x):
        return scan(lambda c, v: (c + v, c * v), torch.zeros(3), x, dim=1, reverse=True)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.Linear(4, 8)
        self.down = nn.Linear(8, 4)

    def forward(self, x):
        y = self.up(x)
        y += 1
        return x + self.down(y.relu())


class Loop(nn.Module):
    """A while loop around a branch around a loop over layers."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Block() for _ in range(3)])
        self.last = Block()

    def forward(self, x, steps):
        def run_layers(x):
            for layer in self.layers:
                x = layer(x)
            return x

        def body(i, x):
            return i + 1, torch.cond(x.mean() > 0.1, run_layers, lambda x: self.last(x) * 0.5, (x,))

        n, x = while_loop(lambda i, x: i < steps, body, (torch.zeros((), dtype=torch.int64), x))
        return x, n


class Mapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, xs, y):
        def each(x, y):
            return self.linear(x).sin() + y

        return map_over(each, xs, y)


class MappedModule(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, xs):
        return map_over(lambda x: self.linear(x), xs)


class Recurrences(nn.Module):
    def forward(self, a, b):
        def combine(left, right):
            return left[0] * right[0], left[1] * right[0] + right[1]

        return associative_scan(combine, (a, b), dim=1, combine_mode="generic")


class Products(nn.Module):
    """A combination that is not elementwise: of the whole element, which JAX's associative scan would give many at once."""

    def forward(self, x):
        return associative_scan(lambda a, b: (a @ b) / (a @ b).sum(), x, 0, combine_mode="generic")


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return torch.cond(x.mean() > 0, lambda x: self.linear(x), lambda x: x * 0.5, (x,))


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Layer() for _ in range(3)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Rebound(nn.Module):
    """A name that the source uses again after a branch has read it."""

    def forward(self, x):
        y = x * 2
        z = torch.cond(x.sum() > 0, lambda x: x + y, lambda x: x - y, (x,))
        y = z * 3 + y.mean()
        return torch.cond(y.mean() > 0, lambda y: y * 2, lambda y: y - torch.tensor([1.0, 2.0, 3.0, 4.0]), (y,))


class Alibi(nn.Module):
    def __init__(self):
        super().__init__()
        self.slopes = nn.Parameter(torch.rand(4))

    def forward(self, q, k, v):
        def alibi(score, b, h, i, j):
            return score - self.slopes[h] * (i - j).abs()

        return flex_attention(q, k, v, score_mod=alibi)


class Grouped(nn.Module):
    """Rows that attend nowhere, heads in groups, and the logsumexp beside the output."""

    def forward(self, q, k, v, document):
        def mask(b, h, i, j):
            return (document[i] == document[j]) & (i > j)

        blocks = create_block_mask(mask, None, None, q.shape[2], k.shape[2], device="cpu")
        return flex_attention(q, k, v, block_mask=blocks, enable_gqa=True, return_lse=True, scale=0.3)


class Constants(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        with torch.no_grad():
            scale = self.linear(x).abs().mean()
        return self.linear(x) / scale + x.detach()


class Autocast(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            q = self.linear(self.norm(x))
            y = nn.functional.scaled_dot_product_attention(q, q, q)
            with torch.autocast("cpu", enabled=False):
                z = torch.exp(y.float() * 0.1)
            y = z @ self.linear.weight
        return y.float() + z


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Block() for _ in range(3)])
        self.out = nn.Linear(4, 2)

    def forward(self, x, mask):
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False)

        def tail(x, mask):
            y = self.out(x)
            return y * mask, y.sum()

        y, total = checkpoint(tail, x, mask, use_reentrant=False)
        return y + total


def _qkv(groups: int = 4) -> tuple[torch.Tensor, ...]:
    return torch.randn(2, 4, 8, 16), torch.randn(2, groups, 8, 16), torch.randn(2, groups, 8, 16)


def _cases() -> dict:
    torch.manual_seed(0)
    positive, negative = torch.rand(3, 4), -torch.rand(3, 4)
    return {
        "cond_true": (Branches(), (positive,)),
        "cond_false": (Branches(), (negative,)),
        "scan": (Recurrence(), (torch.randn(6, 3, 4), torch.randn(3, 5))),
        "scan_reversed": (ReversedScan(), (torch.randn(3, 5),)),
        "while": (Loop(), (torch.randn(3, 4), torch.tensor(3))),
        "map": (Mapped(), (torch.randn(5, 3, 4), torch.randn(3, 4))),
        "map_module": (MappedModule(), (torch.randn(5, 3, 4),)),
        "associative": (Recurrences(), (torch.rand(3, 6, 4), torch.rand(3, 6, 4))),
        "associative_product": (Products(), (torch.rand(6, 3, 3),)),
        "layers": (Layers(), (positive,)),
        "rebound": (Rebound(), (positive,)),
        "alibi": (Alibi(), _qkv()),
        "grouped": (Grouped(), (*_qkv(2), torch.tensor([0, 0, 0, 1, 1, 1, 1, 1]))),
        "checkpoint": (Checkpointed(), (positive, torch.randn(3, 2))),
        "no_grad": (Constants(), (positive,)),
        "autocast": (Autocast(), (torch.randn(2, 5, 8),)),
    }


@functools.cache
def _translated(name: str) -> tuple:
    module, args = _cases()[name]
    return translator.translate(module.eval(), args), module, args


@pytest.mark.parametrize("name", list(_cases()))
def test_it_agrees_with_torch(name):
    translation, _, _ = _translated(name)
    verification = translation.verify()
    assert verification.ok, verification
    assert not [note for note in verification.notes if "does not run" in note], verification


WITH_GRADIENTS = ["cond_true", "cond_false", "scan", "map", "layers", "rebound", "no_grad", "checkpoint"]


@pytest.mark.parametrize("name", WITH_GRADIENTS)
def test_gradients_are_torchs(name):
    translation, module, args = _translated(name)
    torch.compiler.reset()
    given = [arg.clone().requires_grad_() for arg in args]
    outputs = module(*given)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    named = dict(module.named_parameters())
    wanted = torch.autograd.grad(
        sum((o**2).sum() for o in outputs), [*named.values(), *given], allow_unused=True, materialize_grads=True
    )

    def loss(both):
        model, arrays = both
        return sum((leaf**2).sum() for leaf in jax.tree.leaves(model(*arrays)))

    arrays = [jax.numpy.asarray(arg.numpy()) for arg in args]
    ours, of_arrays = eqx.filter_grad(loss)((translation.model, arrays))
    leaves = jax.tree_util.tree_leaves_with_path(ours)
    by_name = {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
    assert set(by_name) == set(named)
    found = [*(by_name[n] for n in named), *of_arrays]
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=2e-4, atol=2e-4)


def test_gradients_through_flex_attention():
    """torch has none of flex_attention on a CPU: here it is against the same attention in plain torch."""
    translation, module, args = _translated("alibi")
    q, k, v = (arg.clone().requires_grad_() for arg in args)
    apart = (torch.arange(8)[:, None] - torch.arange(8)).abs()
    scores = q @ k.mT / 4 - module.slopes[:, None, None] * apart
    wanted = torch.autograd.grad(((scores.softmax(-1) @ v) ** 2).sum(), [module.slopes, q, k, v])

    def loss(both):
        model, arrays = both
        return (model(*arrays) ** 2).sum()

    ours, of_arrays = eqx.filter_grad(loss)((translation.model, [jax.numpy.asarray(arg.numpy()) for arg in args]))
    for mine, theirs in zip([ours.slopes, *of_arrays], wanted, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=2e-4, atol=2e-4)


def test_a_sequence_and_a_batch_of_other_lengths():
    translation, module, _ = _translated("scan")
    x, h = torch.randn(9, 2, 4), torch.randn(2, 5)
    with torch.no_grad():
        wanted = module(x, h)
    for mine, theirs in zip(translation.model(x.numpy(), h.numpy()), wanted, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "scan",
            """
        def advance(carry, frame):
            h, c = carry
            h, c = self.cell(frame, h, c)
            c = lax.cond(jnp.sum(h) > 0, lambda: c * self.gate, lambda: c - self.gate)
            return (h, c), h * 2

        (h, c), outputs = lax.scan(advance, (h0, h0 + 1), x)
        return outputs, h, c
""",
        ),
        (
            "cond_true",
            """
        def grow():
            return jax.nn.relu(jax.vmap(self.linear)(x)) * 2

        def shrink():
            return jnp.zeros((x.shape[0], 4)).at[:, 0].set(x[:, 1]) + self.scale

        return lax.cond(jnp.mean(x) > 0, grow, shrink) + 1
""",
        ),
        ("map_module", "return lax.map(jax.vmap(self.linear), xs)\n"),
        ("associative_product", "lax.associative_scan(jax.vmap("),
        ("layers", "return lax.cond(jnp.mean(x) > 0, lambda: jax.vmap(self.linear)(x), lambda: x * 0.5)\n"),
        ("layers", "        for layer in self.layers:\n            x = layer(x)\n"),
        ("while", "lax.while_loop(lambda carry: carry[0] < steps, body, "),
        ("alibi", "return flex_attention(q, k, v, score_mod=alibi)\n"),
        (
            "checkpoint",
            """
        for layer in self.layers:
            x = eqx.filter_checkpoint(layer)(x)

        def tail(y, mask_2):
            y = jax.vmap(self.out)(y)
            return y * mask_2, jnp.sum(y)

        y, total = eqx.filter_checkpoint(tail)(x, mask)
        return y + total
""",
        ),
        ("no_grad", "lax.stop_gradient(x)"),
    ],
)
def test_it_reads_as_written_by_hand(name, expected):
    assert expected in _translated(name)[0].source


def test_the_emitted_files_are_clean(tmp_path: Path):
    for name in _cases():
        (tmp_path / f"{name}.py").write_text(_translated(name)[0].source)
    linters.ruff(tmp_path)


class CarriesNumber(nn.Module):
    def forward(self, x):
        return while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), (0, x))


class Draws(nn.Module):
    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda x: x + torch.rand_like(x), lambda x: x - 1, (x,))


class ByLength(nn.Module):
    def forward(self, x):
        return torch.cond(x.shape[0] > 4, lambda x: x + 1, lambda x: x - 1, (x,))


class CastsWithin(nn.Module):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return torch.einsum("ij,kj->ik", x, x)


@pytest.mark.parametrize(
    ("module", "error", "reason"),
    [
        (CarriesNumber(), CaptureError, "carries a Python number"),
        (Draws(), UnsupportedOps, "random numbers within a branch"),
        (ByLength(), UnsupportedOps, "is used as a value"),
        (CastsWithin(), CaptureError, "casts within aten.einsum"),
    ],
)
def test_what_has_no_exact_translation_is_refused(module, error, reason):
    with pytest.raises(error, match=reason):
        translator.translate(module.eval(), (torch.randn(3, 4),))
