"""Small modules, each with something that a translator can get wrong: used by the tests of the whole line."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, namedtuple
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import sym_and, sym_or

Case = tuple[nn.Module, tuple, dict[str, Any]]

CASES: dict[str, Any] = {}


def case(function: Any) -> Any:
    CASES[function.__name__] = function
    return function


X = torch.arange(24.0).reshape(4, 6) / 24


@case
def sequential_root() -> Case:
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), (X,), {}


@case
def named_sequential_root() -> Case:
    return nn.Sequential(OrderedDict(first=nn.Linear(6, 5), act=nn.Tanh(), last=nn.Linear(5, 3))), (X,), {}


class _Hostile(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.add_module('a"b\n\'];import os;["', nn.Linear(6, 6))
        self.add_module("class", nn.Linear(6, 6))
        self.add_module("__mangled", nn.Linear(6, 6))
        self.register_parameter("1 + 1", nn.Parameter(torch.ones(6)))

    def forward(self, x: Tensor) -> Tensor:
        for child in self.children():
            x = torch.relu(child(x))
        return x * getattr(self, "1 + 1")


@case
def hostile_names() -> Case:
    return _Hostile(), (X,), {}


class _Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.add_module("in", nn.Linear(6, 6))
        self.out = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(getattr(self, "in")(x).tanh())


class _HostileInside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self = _Inner()
        self.key = nn.ModuleDict({"k'ey": _Inner(), "other": nn.Linear(6, 6)})

    def forward(self, key: Tensor) -> Tensor:
        return self.key["other"](self.key["k'ey"](self.self(key)))


@case
def hostile_names_inside() -> Case:
    return _HostileInside(), (X,), {}


class _Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 6)
        self.body = nn.Linear(6, 6)
        self.head = nn.Linear(6, 10, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.body(self.embed(tokens)))


@case
def tied_weights() -> Case:
    return _Tied(), (torch.arange(6).reshape(2, 3),), {}


class _Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(6, 6), nn.GELU())
        self.norm = nn.LayerNorm(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.block(self.norm(self.block(x)) + x))


@case
def module_called_twice() -> Case:
    return _Shared(), (X,), {}


class _Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor, double: bool) -> Tensor:
        x = self.linear(x)
        return x.repeat(2, 1).sin().exp() if double else x.cos()


class _Differently(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.two = _Two()

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.two(x, True), False)


@case
def module_called_differently() -> Case:
    return _Differently(), (X,), {}


class _Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(
        self, pair: tuple, table: dict, scale: float = 1.0, *, mode: str = "a", extra: Tensor | None = None
    ) -> Any:
        x = self.linear(pair[0]) * scale + pair[1]
        if mode == "b":
            x = x + table["bias"]
        return {"x": x, "parts": [x[:2], (x[2:], None)], "scale": scale}


@case
def nested_inputs_and_outputs() -> Case:
    return _Nested(), ((X, X + 1), {"bias": X[0], "unused": X}, 2.0), {"mode": "b", "extra": None}


@dataclasses.dataclass
class Result:
    logits: Tensor
    hidden: Tensor | None = None
    extra: Tensor | None = None


Pair = namedtuple("Pair", ["left", "right"])


class _Dataclass(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Any:
        y = self.linear(x)
        return Result(logits=y, hidden=None, extra=x + y), Pair(x, y)


@case
def dataclass_and_namedtuple() -> Case:
    return _Dataclass(), (X,), {}


class _Buffers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.randn(20, 20), persistent=False)
        self.register_buffer("small", torch.tensor([0.1, 0.2, float("inf"), -3.0, 1e-7, 5.0]), persistent=False)
        self.register_buffer("steps", torch.arange(6)[None], persistent=False)
        self.register_buffer("kept", torch.randn(6))
        self.register_buffer("counter", torch.tensor(3))
        self.scale = torch.tensor(0.1)

    def forward(self, x: Tensor) -> Tensor:
        mixed = x @ self.table[:6, :6] + self.steps + self.kept
        return mixed * self.scale * self.counter + torch.where(torch.isinf(self.small), 0, self.small)


@case
def buffers_and_constants() -> Case:
    return _Buffers(), (X,), {}


class _InPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        view = y[1:3]
        view.add_(10)
        y[:, 0] = -1
        z = y.clone()
        z.relu_().mul_(2)
        return y + z + view.sum()


@case
def in_place_through_views() -> Case:
    return _InPlace(), (X,), {}


class _Block(nn.Module):
    def __init__(self, features: int, wide: bool) -> None:
        super().__init__()
        self.features = features
        self.up = nn.Linear(features, 2 * features)
        self.down = nn.Linear(2 * features, features)
        self.shortcut = nn.Sequential(nn.Linear(features, features), nn.LayerNorm(features)) if wide else None

    def forward(self, hidden: Tensor) -> Tensor:
        identity = hidden if self.shortcut is None else self.shortcut(hidden)
        hidden = self.down(torch.relu(self.up(hidden)))
        return hidden.view(-1, 2, self.features // 2).flatten(1) + identity


class _Loops(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(6, i == 0) for i in range(4))
        self.gates = nn.ModuleList(nn.Linear(6, 1) for _ in range(4))
        self.wide = nn.ModuleList(_Block(8, False) for _ in range(3))
        self.widen = nn.Linear(6, 8)

    def forward(self, x: Tensor) -> Any:
        states = []
        for block, gate in zip(self.blocks, self.gates, strict=True):
            x = x + torch.sigmoid(gate(x)) * block(x)
            states.append(x)
        y = self.widen(x)
        first = y
        for block in self.wide:
            y = block(y) + first
        return y, states, states[1]


@case
def loops_with_carried_and_collected_values() -> Case:
    return _Loops(), (X,), {}


class _Sizes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        n, m = x.shape[0], y.shape[1]
        z = self.linear(x).reshape(n // 2, 2, 6).mean(1)
        mask = torch.arange(m)[None] < torch.arange(n)[:, None]
        return z, mask, torch.full((n + m,), n * 0.5), y[:, : m // 2].sum() / m, torch.zeros(2 * n, m) + 1 / (n - 1)


@case
def sizes_in_arithmetic() -> Case:
    return _Sizes(), (X, torch.ones(3, 7)), {}


class _Joined(nn.Module):
    def forward(self, x):
        rows, columns = x.shape
        if sym_and(rows > 3, rows % 2 == 0, columns % 3 == 0, columns > 4, sym_or(rows % 4 == 0, columns < 40)):
            return x * 2
        return x


@case
def conditions_on_lengths_joined() -> Case:
    return _Joined(), (X,), {}


class _Lists(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(6)) for _ in range(3)])
        self.named = nn.ParameterDict({"a": nn.Parameter(torch.randn(6)), "b c": nn.Parameter(torch.randn(6))})

    def forward(self, x: Tensor) -> Tensor:
        for weight in self.weights:
            x = x * weight
        return x + self.named["a"] * self.named["b c"]


@case
def parameter_lists() -> Case:
    return _Lists(), (X,), {}


class _Passes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(3, 3)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        return x, x, 3, None, y


@case
def arguments_returned_as_they_are() -> Case:
    return _Passes(), (X, X + 1), {}


class _Split(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(6, 9)

    def forward(self, x: Tensor) -> Any:
        q, k, v = self.proj(x).chunk(3, dim=-1)
        values, indices = torch.topk(q @ k.T, 2)
        return values, indices, torch.var_mean(v, dim=1)


@case
def several_results_of_one_op() -> Case:
    return _Split(), (X,), {}


class _HalfPrecision(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.to(torch.bfloat16)).float() + x


@case
def bfloat16_module() -> Case:
    module = _HalfPrecision()
    module.linear.to(torch.bfloat16)
    return module, (X,), {}


class _Star(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, *inputs: Tensor, **options: Any) -> Tensor:
        return self.linear(sum(inputs)) + options["bias"]


@case
def star_arguments() -> Case:
    return _Star(), (X, X + 1), {"bias": X}


def build(name: str) -> Case:
    """The case called name: the same weights every time, in evaluation mode."""
    torch.manual_seed(0)
    module, args, kwargs = CASES[name]()
    return module.eval(), args, kwargs
