"""That emitted code reads as its source does: names, arguments, shared classes, numbers where arrays hold one."""

from __future__ import annotations

import ast
import re

import pytest
import torch
from torch import nn

import translator


def emitted(module: nn.Module, *args: torch.Tensor) -> str:
    """The source of a module, verified."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    translation = translator.translate(module.eval(), args)
    verification = translation.verify(random=1, sizes=1)
    assert verification.ok, str(verification)
    return translation.source


def method(source: str, name: str) -> ast.FunctionDef:
    """The `__call__` of a class."""
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    return next(f for f in classes[name].body if isinstance(f, ast.FunctionDef) and f.name == "__call__")


def arguments(source: str, name: str) -> list[str]:
    return [argument.arg for argument in method(source, name).args.args[1:]]


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, query, gate, pair):
        left, right = pair
        mixed = self.linear(query) * torch.sigmoid(gate)
        return mixed + left, mixed - right


class Caller(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Scaled()
        self.out = nn.Linear(4, 4)

    def forward(self, x, y):
        first = torch.tanh(x)
        total, rest = self.inner(gate=y, query=first, pair=(x * 2, y * 3))
        return self.out(rest) + total


def test_arguments_and_results_are_called_what_the_call_makes_of_them():
    source = emitted(Caller(), torch.randn(3, 4), torch.randn(3, 4))
    assert arguments(source, "Scaled") == ["query", "gate", "left", "right"]
    assert "total, rest = self.inner(" in source


class Swapped(nn.Module):
    """Its results are used in another order than it gives them, and one is not used at all."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return torch.relu(self.a(x)), torch.tanh(x), torch.sigmoid(self.b(x))


class UsesSwapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Swapped()

    def forward(self, x):
        early, _, late = self.inner(x)
        return late * 2 - early


def test_each_result_gets_the_name_that_the_source_gives_to_that_result():
    source = emitted(UsesSwapped(), torch.randn(3, 4))
    call = next(line for line in source.splitlines() if "= self.inner(" in line)
    names = [name.strip() for name in call.partition("=")[0].split(",")]
    returned = ast.unparse(method(source, "Swapped").body[-1])
    order = [
        "early" if "relu" in part else "late" for part in returned.removeprefix("return ").strip("()").split(", jax")
    ]
    assert names == order


class Helped(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self._finish(x)

    def _finish(self, x):
        projected = self.linear(x)
        return projected * projected


def test_a_helper_method_names_its_values():
    assert "projected = " in emitted(Helped(), torch.randn(3, 4))


class Biased(nn.Module):
    """As T5's attention: the first computes a bias that the others are given."""

    def __init__(self, has_bias: bool):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.table = nn.Embedding(8, 4) if has_bias else None

    def forward(self, x, bias=None):
        hidden = self.linear(x)
        if bias is None:
            distance = torch.clamp(torch.arange(x.shape[1]) - 2, 0, 7)
            bias = self.table(distance) * 0.5
        return torch.tanh(hidden + bias), bias


class BiasedBlock(nn.Module):
    def __init__(self, has_bias: bool):
        super().__init__()
        self.attention = Biased(has_bias)
        self.out = nn.Linear(4, 4)

    def forward(self, x, bias=None):
        y, bias = self.attention(x, bias)
        return x + self.out(y), bias


class Stack(nn.Module):
    def __init__(self, depth: int):
        super().__init__()
        self.blocks = nn.ModuleList(BiasedBlock(i == 0) for i in range(depth))

    def forward(self, x):
        bias = None
        for block in self.blocks:
            x, bias = block(x, bias)
        return x


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_what_the_first_layer_computes_is_an_optional_argument_of_the_others(depth):
    source = emitted(Stack(depth), torch.randn(2, 6, 4))
    assert len(re.findall(r"^class Biased\w*\(eqx.Module\)", source, re.MULTILINE)) == 2
    assert arguments(source, "Biased") == arguments(source, "BiasedBlock") == ["x", "bias"]
    assert "for block in self.blocks:" in source
    assert "bias is needed where there is no table" in source


class Kept(nn.Module):
    """The bias of the first layer is used afterwards, too."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(BiasedBlock(i == 0) for i in range(3))

    def forward(self, x):
        bias = None
        for block in self.blocks:
            x, bias = block(x, bias)
        return x * 2 + bias


def test_a_value_that_is_handed_on_is_still_there_afterwards():
    emitted(Kept(), torch.randn(2, 6, 4))


class SomeUnused(nn.Module):
    """The last layer's second result goes unused."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Swapped() for _ in range(3))

    def forward(self, x):
        seen = []
        for position, block in enumerate(self.blocks):
            x, _, late = block(x)
            if position < 2:
                seen.append(late)
        return x + seen[0] - seen[1]


def test_an_instance_whose_result_goes_unused_does_not_compute_it():
    source = emitted(SomeUnused(), torch.randn(3, 4))
    assert len(re.findall(r"^class Swapped", source, re.MULTILINE)) == 2


class Numbers(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("ratio", torch.tensor(0.5), persistent=False)

    def forward(self, x, n):
        clipped = torch.min(n, torch.full_like(n, 7)) + torch.zeros_like(n)
        chosen = torch.where(x > 0, x, torch.zeros_like(x))
        kept = torch.where(n > 2, torch.full((3, 4), 2.5), torch.ones(3, 4))
        promoted = n * torch.full((1,), 0.5)
        scale = torch.sqrt(torch.tensor(8.0) * 3) * self.ratio
        return clipped, chosen / scale, kept, promoted, torch.maximum(x, torch.full((2, 3, 4), 0.25))


def test_arrays_of_one_number_are_that_number_where_that_changes_nothing():
    source = emitted(Numbers(), torch.randn(3, 4), torch.randint(0, 9, (3, 4)))
    assert "jnp.minimum(n, 7)" in source
    assert "jnp.where(x > 0, x, 0" in source
    assert "2.449489742783178" in source
    assert "jnp.maximum(x, jnp.full((2, 3, 4), 0.25" in source, "the array gives the result its shape"


class WithBuffer(nn.Module):
    def __init__(self, values: torch.Tensor):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("grid", values, persistent=False)

    def forward(self, x):
        return self.linear(x)[..., self.grid % 4].sum(-1)


class Grids(nn.Module):
    def __init__(self, same: bool):
        super().__init__()
        values = [torch.randint(0, 100, (20, 20)) for _ in range(3)]
        self.layers = nn.ModuleList(WithBuffer(values[0] if same else v) for v in values)

    def forward(self, x):
        return sum(layer(x).sum(-1) for layer in self.layers)


@pytest.mark.parametrize("same", [True, False])
def test_instances_share_a_class_only_if_their_constants_are_equal(same):
    source = emitted(Grids(same), torch.randn(3, 4))
    assert len(re.findall(r"^class WithBuffer", source, re.MULTILINE)) == (1 if same else 3)
    assert ('CONSTANTS["grid"]' in source) is same


class Value(nn.Module):
    """A field that is called what a number of the class would be called."""

    def __init__(self, n: int, scale: float):
        super().__init__()
        self.value = nn.Linear(4, 4)
        self.n, self.scale_by = n, scale

    def forward(self, x):
        return torch.cat([self.value(x) * self.scale_by] * 2, -1)[..., self.n : self.n + 4]


class Values(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Value(1, 0.5), Value(2, 0.25), Value(3, 2.0)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_a_number_of_a_class_takes_no_name_of_a_field():
    source = emitted(Values(), torch.randn(3, 4))
    assert len(re.findall(r"^class Value\(", source, re.MULTILINE)) == 1


class Counted(nn.Module):
    def forward(self, x):
        return x + torch.arange(x.shape[1])


@pytest.mark.parametrize("length", [9, 16, 5])
def test_lengths_of_an_earlier_translation_do_not_matter(length):
    """The symbols of two translations are the same, and what they stand for is not."""
    emitted(Counted(), torch.randn(2, length))


class Stages(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Tanh()) for _ in range(3)))

    def forward(self, x):
        return self.block(x) + x


def test_the_item_of_a_loop_keeps_its_name_as_long_as_it_is_read():
    source = emitted(Stages(), torch.randn(3, 4))
    loop = next(node for node in ast.walk(method(source, "Stages")) if isinstance(node, ast.For))
    assigned = {
        n.id for n in ast.walk(ast.Module(loop.body, [])) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    assert loop.target.id not in assigned


def constructor(source: str, name: str) -> list[str]:
    """The parameters of a class's `__init__`, without self."""
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    init = next(f for f in classes[name].body if isinstance(f, ast.FunctionDef) and f.name == "__init__")
    return [argument.arg for argument in init.args.args[1:]]


class Squeeze(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.up(torch.relu(self.down(x))))


class Inverted(nn.Module):
    """As torchvision's inverted residuals; skip is there in one of them only."""

    def __init__(self, taken, wide, squeezed, given, skip=False):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(taken, wide, 1), Squeeze(wide, squeezed), nn.BatchNorm2d(wide), nn.Conv2d(wide, given, 1)
        )
        self.skip = nn.Conv2d(taken, given, 1) if skip else None

    def forward(self, x):
        return torch.relu(self.block(x) + (0.0 if self.skip is None else self.skip(x)))


class InvertedNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = Inverted(3, 7, 4, 5, True), Inverted(5, 11, 3, 6), Inverted(6, 13, 5, 4)

    def forward(self, x):
        return self.third(self.second(self.first(x)))


def test_sizes_are_named_by_what_a_class_takes_gives_and_keeps_to_itself():
    source = emitted(InvertedNet(), torch.randn(2, 3, 4, 4))
    assert constructor(source, "Squeeze") == ["channels", "hidden_channels"]
    sizes = ["in_channels", "hidden_channels", "squeeze_channels", "out_channels", "has_skip"]
    assert constructor(source, "Inverted") == sizes


def by_windows(image, weight, side):
    b, h, w, c = image.shape
    padded = torch.nn.functional.pad(image, (0, 0, 0, side - w % side, 0, side - h % side))
    rows, columns = padded.shape[1] // side, padded.shape[2] // side
    windows = padded.view(b, rows, side, columns, side, c).transpose(2, 3).reshape(-1, side * side, c)
    windows = torch.nn.functional.linear(windows, weight)[..., :c].reshape(b, rows, columns, side, side, c)
    return windows.transpose(2, 3).reshape(b, rows * side, columns * side, c)[:, :h, :w, :].contiguous()


class Windowed(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(features), nn.Linear(features, 3 * features)

    def forward(self, x):
        return x + by_windows(self.norm(x), self.qkv.weight, 3)


class WindowedNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.between, self.second = Windowed(4), nn.Linear(4, 10), Windowed(10)

    def forward(self, x):
        return self.second(self.between(self.first(x)))


@pytest.fixture(scope="module")
def windowed():
    return emitted(WindowedNet(), torch.randn(2, 7, 8, 4))


@pytest.mark.xdist_group("windowed")  # so that they share its translation
def test_lengths_go_by_the_names_that_shapes_are_unpacked_to(windowed):
    assert constructor(windowed, "Windowed") == ["features"]
    unpacked = [
        [ast.unparse(part) for part in line.targets[0].elts]
        for line in method(windowed, "Windowed").body
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Tuple)
    ]
    assert ["batch", "height", "width", "c"] in unpacked  # dynamic axes go by their names in the whole file


@pytest.mark.xdist_group("windowed")
def test_cuts_in_a_row_are_one_subscript(windowed):
    cut = [part for part in ast.walk(method(windowed, "Windowed")) if isinstance(part, ast.Subscript)]
    assert not any(isinstance(part.value, ast.Subscript) for part in cut)


def test_a_normalised_weight_is_called_weight():
    source = emitted(nn.utils.parametrizations.weight_norm(nn.Conv1d(8, 8, 3)), torch.randn(2, 8, 9))
    assert "        weight = weight_norm(" in source
