"""In-place ops against torch: which of them are rewritten, and that every alias then shows what it shows in torch."""

from __future__ import annotations

import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import translator
from translator import functionalise, traced
from translator.errors import CaptureError, Undecided

X = torch.linspace(-3.0, 3.0, 24).reshape(4, 6)


class Module(nn.Module):
    """Its forward is a function of its argument and, where that takes two, of its buffer."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.register_buffer("kept", torch.linspace(1.0, 2.0, 6))

    def forward(self, x: Tensor):
        takes_buffer = self.function.__code__.co_argcount == 2
        return self.function(x, self.kept) if takes_buffer else self.function(x)


def rewritten(function, *, shared: bool = True):
    """The results of the rewritten graph on X; None where it is left to torch. shared: see the test that sets it."""
    module = Module(function).eval()
    program = torch.export.export(module, (X.clone(),), strict=False)
    graph = traced.inline_regions(program.graph, program.graph_module)
    for node in graph.nodes if not shared else ():
        if isinstance(node.meta.get("val"), Tensor):
            node.meta["val"] = node.meta["val"].clone()
    try:
        assert not functionalise.replace_in_place(graph)  # no buffer may be written to
    except Undecided:
        return None
    graph.lint()
    assert not any(functionalise.mutates(node) for node in graph.nodes)
    held = {**program.constants, **program.state_dict}
    inputs = [held[spec.target] if spec.target else X.clone() for spec in program.graph_signature.input_specs]
    return torch.fx.Interpreter(torch.fx.GraphModule(nn.Module(), graph)).run(*inputs)


def assert_as_in_torch(results, function):
    expected = pytree.tree_leaves(Module(function).eval()(X.clone()))
    assert len(results) == len(expected)
    for position, (found, wanted) in enumerate(zip(results, expected, strict=True)):
        assert found.dtype == wanted.dtype
        torch.testing.assert_close(found, wanted, equal_nan=True, msg=lambda text: f"result {position}: {text}")  # noqa: B023


# What is rewritten here. Each is compared with torch.


def activation(x):
    return F.hardswish(F.silu(F.relu(x * 2, inplace=True), inplace=True), inplace=True)


def residual(x):
    y = x.sin()
    y += x
    y *= 2
    return y


def dropout(x):
    return F.dropout(x.flatten(1).sin(), 0.5, False, inplace=True).add_(1)


def dropout_returns_its_argument(x):
    y = x + 1
    F.dropout(y, 0.5, False).mul_(2)
    return y


def alias_made_before(x):
    y = x + 1
    z = y.view(-1)
    y.add_(1)
    return z


def alias_and_result(x):
    y = x + 1
    z = y.detach()
    w = y.mul_(3)
    return y, z, w, z + w


def row_of_a_clone(x):
    a = x.clone()
    b = a[0]
    a.mul_(2)
    return b


def value_read_before(x):
    y = x + 1
    before = y * 10
    y.zero_()
    return before, y


def view_written(x):
    y = x + 1
    y.view(-1).mul_(2)
    return y


def nested_views(x):
    y = x + 1
    y.view(2, 2, 6)[1].t()[2:4, :1].add_(100)
    return y


def siblings(x):
    y = x + 1
    first, rest, column = y[0], y[1:], y[:, 0]
    first.mul_(2)
    column.add_(rest.sum())
    return first, rest, column, y


def overlapping_slices(x):
    y = x + 1
    y[1:].add_(y[:-1] * 2)
    y[:-1].mul_(y[1:].clone())
    return y


def transposed(x):
    y = x + 1
    y.transpose(0, 1)[0] += 5
    y.permute(1, 0)[1:3] -= 5
    y.T[2] = 7
    y.movedim(0, 1)[4] = 8
    return y


def permuted(x):
    y = x.reshape(2, 2, 6) + 1
    y.permute(2, 0, 1)[3, :, 0] = 9
    return y


def unsqueezed(x):
    y = x + 1
    y[:, None, 1:] += x[:, None, 1:]
    y.unsqueeze(0).squeeze(0)[..., -1] = 3
    return y


def diagonal(x):
    y = x + 1
    y.diagonal(1).fill_(4)
    return y


def narrowed(x):
    y = x + 1
    y.narrow(1, 2, 3).neg_()
    return y


def stepped(x):
    y = x + 1
    y[::2, 1::3] = -1
    y[:, -2:] = y[:, :2]
    return y


def chunks(x):
    y = x + 1
    a, b, c = y.chunk(3, dim=1)
    b.mul_(2)
    a.add_(c)
    return y, a, b, c


def splits(x):
    y = x + 1
    a, b = y.split([2, 4], dim=-1)
    c, d = y.split(3)
    a.add_(1)
    d.zero_()
    return a, b, c, d, y


def unbound(x):
    y = x + 1
    rows = y.unbind(0)
    rows[1].add_(rows[0])
    y.mul_(2)
    return rows[1], rows[3], y


def expanded_is_read(x):
    y = x[:1] + 1
    z = y.expand(4, 6)
    y.mul_(2)
    return z


def reshaped_view(x):
    y = x + 1
    y.reshape(-1)[3:9] = 0
    y.flatten().clamp_(max=2)
    return y


def loop(x):
    y = torch.zeros_like(x)
    state = x[:, 0].clone()
    for step in range(x.shape[1]):
        state.mul_(0.5).add_(x[:, step])
        y[:, step] = state
    return y, state


def copied(x):
    y = torch.empty(4, 6)
    y.copy_(x[0])
    z = torch.zeros(4, 6, dtype=torch.int32)
    z.copy_(x)
    return y, z


def filled(x):
    y, z = torch.empty_like(x), x + 1
    y.fill_(3)
    z[0].fill_(z[1, 1])
    z[1].zero_()
    return y, z


def masked(x):
    y = x + 1
    y.masked_fill_(x > 0, 5)
    y[x < -1] = 0
    y[1].masked_fill_(x[1] < -0.5, 7)
    return y


def index_put(x):
    y = x + 1
    y[torch.tensor([0, 2]), 1] = 9
    y[1:].index_put_((torch.tensor([0, 0]),), x[:2], accumulate=True)
    return y


def of_other_dtypes(x):
    half = x.half()
    half.add_(x * 0.001)
    compared = x + 1
    compared.gt_(1)
    counted = torch.arange(6, dtype=torch.int32)
    counted.mul_(torch.arange(6)).cumsum_(0)
    return half, compared, counted


def sorted_values(x):
    values, indices = x.sort(dim=1)
    values.mul_(2)
    indices.add_(1)
    return values, indices


def shape_changed(x):
    y = x + 1
    z = y[0]
    y.unsqueeze_(0).transpose_(1, 2)
    y.mul_(2)
    z.add_(1)
    return y, z


def under_no_grad(x):
    with torch.no_grad():
        y = x + 1
        z = y[1]
        y.mul_(2)
    z.add_(1)
    return y


def written_with_itself(x):
    y = x + 1
    y.add_(y).mul_(y[0].clone())
    return y


def contiguous_is_the_same(x):
    y = x + 1
    z = y.contiguous()
    z.add_(1)
    return y, z


def cast_is_a_copy(x):
    y = x.int()
    y.add_(1)
    return x, y


def copied_for_its_strides(x):
    y = x.t() + 1
    z = y.t().clone().t().reshape(-1)
    w = y.reshape(-1)
    y.add_(1)
    return z, w, y


def operators(x):
    y = x.sin()
    y //= 2
    bits = x > 0
    bits |= x < -1
    bits &= x < 2
    y **= 2
    return y, bits


REWRITTEN = [
    activation, residual, dropout, dropout_returns_its_argument, alias_made_before, alias_and_result, row_of_a_clone,
    value_read_before, view_written, nested_views, siblings, overlapping_slices, transposed, permuted, unsqueezed, diagonal,
    narrowed, stepped, chunks, splits, unbound, expanded_is_read, reshaped_view, loop, copied, filled, masked, index_put,
    of_other_dtypes, sorted_values, shape_changed, under_no_grad, written_with_itself, contiguous_is_the_same, cast_is_a_copy,
    copied_for_its_strides, operators,
]  # fmt: skip


@pytest.mark.parametrize("function", REWRITTEN, ids=lambda f: f.__name__)
def test_rewritten_as_torch_has_it(function):
    results = rewritten(function)
    assert results is not None
    assert_as_in_torch(results, function)


@pytest.mark.parametrize("function", REWRITTEN, ids=lambda f: f.__name__)
def test_translates_as_torch_has_it(function):
    verification = translator.translate(Module(function).eval(), (X.clone(),)).verify(random=0, sizes=0)
    assert verification.ok, str(verification)


class Doubling(nn.Module):
    """Writes to its argument."""

    def forward(self, state: Tensor) -> Tensor:
        state[0].mul_(2)
        return state.sum()


class Parent(nn.Module):
    """Reads what its child wrote to, and a view of it that was made before."""

    def __init__(self):
        super().__init__()
        self.child = Doubling()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = x + 1
        rows = y[:2]
        total = self.child(y)
        return total, y, rows * 3


def test_a_child_writes_what_its_parent_reads():
    translation = translator.translate(Parent().eval(), (X.clone(),))
    assert translation.verify(random=0, sizes=0).ok
    assert "class Doubling" in translation.source


def test_modules_and_lines_of_new_nodes():
    program = torch.export.export(Parent().eval(), (X.clone(),), strict=False)
    graph = traced.inline_regions(program.graph, program.graph_module)
    functionalise.replace_in_place(graph)
    for node in graph.nodes:
        if node.op == "call_function":
            assert (
                node.meta["val"].shape and "test_functionalise.py" in node.meta["stack_trace"] or node.name == "sum_1"
            )
    (put,) = graph.find_nodes(op="call_function", target=torch.ops.aten.select_scatter.default)
    assert "child" in str(put.meta["nn_module_stack"])


@pytest.mark.parametrize("function", REWRITTEN, ids=lambda f: f.__name__)
def test_a_program_without_shared_example_values_is_as_sound(function):
    """As one that was loaded from a file: its example values do not say which ops copied."""
    results = rewritten(function, shared=False)
    if results is not None:
        assert_as_in_torch(results, function)


# What is left to torch: it writes to what the caller holds, or what an alias shows cannot be told for certain.


def input_written(x):
    x.add_(1)
    return x * 2


def view_of_input_written(x):
    x[0].relu_()
    return x.sum()


def copy_or_input_written(x):
    y = x.reshape(-1)
    y.mul_(2)
    return y


def buffer_written(x, kept):
    kept.add_(1)
    return x * kept


def view_of_buffer_written(x, kept):
    kept[1:].mul_(2)
    return x * kept


def statistics_written(x, kept):
    mean, variance = kept, kept
    return F.batch_norm(x, mean, variance, training=True)


def memory_replaced(x):
    y, z = x + 1, x + 2
    y.set_(z)
    z.add_(1)
    return y


def several_written(x):
    y, z = x + 1, x + 2
    torch._foreach_add_([y, z], 1)
    return y, z


def out_given(x):
    y = torch.empty_like(x)
    torch.add(x, 1, out=y)
    return y


def masked_on_repeated_elements(x):
    y = (x[:1] + 1).expand(4, 6)
    y.masked_fill_(x > 0, 5)
    return y


def einsum_read(x):
    y = x + 1
    z = torch.einsum("ij->ji", y)
    y.add_(1)
    return z


def broadcast_read(x):
    y = x[0] + 1
    a, b = torch.broadcast_tensors(y, x)
    y.add_(1)
    return a


def grid_read(x):
    y, z = x[0] + 1, x[:, 0] + 1
    a, b = torch.meshgrid(y, z, indexing="ij")
    z.add_(1)
    return a, b


def seen_as_complex(x):
    y = torch.complex(x, x + 1)
    y.real.add_(1)
    return y


def seen_as_other_dtype(x):
    y = x + 1
    y.view(torch.int32).add_(1)
    return y


def strided(x):
    y = x + 1
    y.as_strided((2, 2), (1, 2)).add_(1)
    return y


LEFT = [
    input_written, view_of_input_written, copy_or_input_written, buffer_written, view_of_buffer_written,
    statistics_written, memory_replaced, several_written, out_given, masked_on_repeated_elements,
    einsum_read, broadcast_read, grid_read, seen_as_complex, seen_as_other_dtype, strided,
]  # fmt: skip


@pytest.mark.parametrize("function", LEFT, ids=lambda f: f.__name__)
def test_left_to_torch(function):
    assert rewritten(function) is None


def dropout_and_a_write_left_to_torch(x):
    y, z = x + 1, x + 2
    same = F.dropout(y, 0.5, False)
    torch.add(z, 1, out=z)
    y.add_(1)
    return same, z


# torch.export does not say of these that their results lie in their argument's memory.
UNSAID = [einsum_read, broadcast_read, grid_read]


@pytest.mark.parametrize("function", UNSAID, ids=lambda f: f.__name__)
def test_left_to_torch_without_losing_an_alias(function):
    model = translator.translate(Module(function).eval(), (X.clone(),), dynamic_shapes=None).model
    expected = pytree.tree_leaves(Module(function).eval()(X.clone()))
    for found, wanted in zip(jax.tree.leaves(model(jnp.asarray(X.numpy()))), expected, strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-6)


def test_a_dropout_written_after_is_refused_where_it_is_left_to_torch():
    with pytest.raises(CaptureError, match="dropout"):
        translator.translate(Module(dropout_and_a_write_left_to_torch).eval(), (X.clone(),))


def test_a_write_to_repeated_elements_is_refused():
    with pytest.raises(CaptureError, match="more than once"):
        translator.translate(Module(masked_on_repeated_elements).eval(), (X.clone(),))


# Programs of random views, writes and reads. A wrong alias shows in one of the results.

VIEWS = [
    lambda t: t.view(-1),
    lambda t: t.reshape(-1),
    lambda t: t.flatten(),
    lambda t: t.contiguous(),
    lambda t: t.detach(),
    lambda t: t[0],
    lambda t: t.select(-1, -1),
    lambda t: t[..., 1:],
    lambda t: t[..., ::2],
    lambda t: t[:-1],
    lambda t: t.narrow(0, 0, 1),
    lambda t: t.transpose(0, -1),
    lambda t: t.permute(*range(1, t.ndim), 0),
    lambda t: t.movedim(0, -1),
    lambda t: t.mT,
    lambda t: t.unsqueeze(0),
    lambda t: t.squeeze(),
    lambda t: t.diagonal(),
    lambda t: t.chunk(2, dim=-1)[1],
    lambda t: t.split(2)[0],
    lambda t: t.split(2, dim=-1)[-1],
    lambda t: t.unbind(0)[-1],
    lambda t: t.unflatten(-1, (-1, 1)),
    lambda t: t.expand(2, *t.shape),
    lambda t: t.unfold(-1, 2, 1),
    lambda t: F.dropout(t, 0.5, False),
    lambda t: t.to(torch.float32),
    lambda t: torch.atleast_2d(t),
    lambda t: torch.broadcast_tensors(t, t[..., :1])[1],
    lambda t: torch.einsum("...->...", t),
    lambda t: t + 0.5,
    lambda t: t.clone(),
    lambda t: t.sort(-1).values,
]
WRITES = [
    lambda t, u: t.add_(1),
    lambda t, u: t.mul_(u.sum() * 0.1),
    lambda t, u: t.relu_(),
    lambda t, u: t.zero_(),
    lambda t, u: t.fill_(2),
    lambda t, u: t.clamp_(max=1),
    lambda t, u: t.copy_(u.mean()),
    lambda t, u: t.masked_fill_(t > 1, 0.25),
    lambda t, u: t.sub_(t.clone().flip(0)) if t.ndim else t,
    lambda t, u: F.silu(t, inplace=True),
    lambda t, u: t.gt_(0.3),
    lambda t, u: F.dropout(t, 0.5, False, inplace=True),
]


def random_program(seed: int, steps: int = 14):
    """A function that returns every tensor it makes; only of ops that torch can run."""
    choose = random.Random(seed)
    pool, chosen = [X.sin(), X + 1], []
    for _ in range(steps):
        operation = choose.choice(WRITES if choose.random() < 0.4 else VIEWS)
        places = [choose.randrange(len(pool)) for _ in range(operation.__code__.co_argcount)]
        try:
            pool.append(operation(*(pool[place] for place in places)))
        except (RuntimeError, IndexError, ValueError):  # not for tensors of these shapes
            continue
        chosen.append((operation, places))

    def function(x):
        pool = [x.sin(), x + 1]
        for operation, places in chosen:
            pool.append(operation(*(pool[place] for place in places)))
        return tuple(pool)

    return function


@pytest.mark.parametrize("seed", range(25))
def test_random_programs(seed):
    function = random_program(seed)
    results = rewritten(function)
    if results is None:
        pytest.skip("left to torch")
    assert_as_in_torch(results, function)


def test_writing_through_windows_is_refused():
    class Windows(nn.Module):
        def forward(self, x):
            y = x.clone()
            windows = y.unfold(-1, 2, 2)
            windows[windows > 0] = 5
            return y

    with pytest.raises(translator.CaptureError, match="unfold"):
        translator.translate(Windows(), (torch.randn(3, 3),))


def test_a_write_to_what_may_be_a_buffers_memory_makes_no_state():
    class Cloning(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("held", X.clone())

        def forward(self, x):
            copy = self.held.clone()
            copy.add_(x)
            one, other = torch.broadcast_tensors(copy, self.held)
            return one - other

    translation = translator.translate(Cloning().eval(), (X,))
    assert translation.state is None and translation.verify().ok


def test_a_channel_shuffle_of_one_group_is_a_copy():
    class Shuffling(nn.Module):
        def forward(self, x):
            x = x * 2
            shuffled = torch.nn.functional.channel_shuffle(x[:, :, None], 1)
            shuffled.cumsum_(1)
            return x, shuffled

    assert translator.translate(Shuffling().eval(), (X,)).verify().ok


def written_expand(x):
    x = x * 2
    x.expand_as(x).exp_()
    return x


def written_expand_with_new_axes(x):
    x = x * 2
    y = x.expand(1, 1, 4, 6)
    y[0, 0, 1:].fill_(1.0)
    return x, y


def written_broadcast(x):
    x = x * 2
    one, _ = torch.broadcast_tensors(x, x[:, :1])
    one.exp_()
    return x


@pytest.mark.parametrize("by_torch", [False, True])
@pytest.mark.parametrize("function", [written_expand, written_expand_with_new_axes, written_broadcast])
def test_writes_to_expands_that_repeat_nothing(function, by_torch, monkeypatch):
    """torch's functionalisation puts them back as `base + (written - base)`: NaN of infinities, and rounded."""

    def undecided(program):
        raise Undecided

    if by_torch:
        monkeypatch.setattr(traced, "_functional", undecided)
    x = X.clone()
    x[0, :3] = torch.tensor([-torch.inf, torch.inf, -40.0])
    x[1, :2] = torch.tensor([-torch.inf, 1e30])
    module = Module(function).eval()
    translation = translator.translate(module, (x,))
    found = jax.tree.leaves(jax.jit(lambda x: translation.model(x))(jnp.asarray(x.numpy())))
    for ours, theirs in zip(found, pytree.tree_leaves(module(x)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=0)


def test_a_write_to_a_grid_is_refused():
    class Grid(nn.Module):
        def forward(self, x):
            x = x * 2
            rows, _ = torch.meshgrid(x, x[:1], indexing="ij")
            rows.exp_()
            return x

    with pytest.raises(translator.CaptureError, match="meshgrid"):
        translator.translate(Grid(), (torch.randn(3),))


class WritesToAReshape(nn.Module):
    """Batch norm gives contiguous arrays, whatever it is given, and torch.export takes their strides to be those of its argument."""

    def __init__(self, through_torch: bool):
        super().__init__()
        self.through_torch = through_torch
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        y = self.norm(x)
        z = y.reshape(2, 15)
        z[z > 0] = 5
        if self.through_torch:  # which is not replaced here
            z.as_strided((2,), (1,)).zero_()
        return y, z


def test_a_reshape_is_a_view_where_it_is_one_as_it_runs():
    x = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0)).transpose(0, 1)
    module = WritesToAReshape(False).eval()
    translation = translator.translate(module, (x,), dynamic_shapes=None)
    found = translation.model(jnp.asarray(x.numpy()))
    for ours, theirs in zip(found, module(x), strict=True):
        np.testing.assert_allclose(ours, theirs.detach(), atol=1e-6)
    assert (np.asarray(found[0]) == 5).any() and translation.verify(random=1).ok
    before = {name: tensor.clone() for name, tensor in module.train().state_dict().items()}
    assert translator.translate(module, (x,), dynamic_shapes=None).verify(random=1).ok
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    with pytest.raises(translator.CaptureError, match="whether it is a copy"):
        translator.translate(WritesToAReshape(True).eval(), (x,), dynamic_shapes=None)


def test_a_write_to_a_part_of_unfold_is_refused():
    class Parts(nn.Module):
        def forward(self, x):
            x = x * 2
            part = x.unfold(-1, 2, 2).split(1, 1)[0]
            part[:] *= x[:, :2]
            return x

    with pytest.raises(translator.CaptureError, match="unfold"):
        translator.translate(Parts(), (torch.randn(1, 3),))


@pytest.mark.parametrize("lengths", ["auto", None])
@pytest.mark.parametrize(
    "write",
    [
        lambda w, y: w.slice_scatter(y[..., :1], -1, 0, 1),
        lambda w, y: w.select_scatter(y[..., 0], -1, 0),
        lambda w, y: torch.diagonal_scatter(w, torch.diagonal(y, 0, -2, -1), 0, -2, -1),
    ],
)
def test_a_write_to_a_copy_of_overlapping_windows_is_refused(write, lengths):
    x = torch.randn(3, 5)
    windows = Module(lambda x: write(x.unfold(-1, 2, 1), (x * 2).unfold(-1, 2, 1)))
    with pytest.raises(translator.CaptureError, match="overlapping windows"):
        translator.translate(windows, (x,), dynamic_shapes=lengths)
    apart = [
        lambda x: write(x.unfold(-1, 2, 2), (x * 2).unfold(-1, 2, 2)),
        lambda x: write(x.unfold(-1, 2, 1).clone(), (x * 2).unfold(-1, 2, 1)),
        lambda x: write(x.unsqueeze(-1).expand(-1, -1, 2), (x * 2).unfold(-1, 2, 2)[:, :1].expand(-1, 5, 2)),
        lambda x: write(x.mT, x.mT * 2),
    ]
    for function in apart:
        translation = translator.translate(Module(function), (x,), dynamic_shapes=lengths)
        np.testing.assert_allclose(translation.model(jnp.asarray(x.numpy())), function(x), rtol=1e-6)


def test_a_buffer_that_is_moved_to_where_it_is_already_is_no_state():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("table", torch.randn(7, 6), persistent=False)

        def forward(self, x):
            self.table = self.table.to(x.device)
            return x + self.table[: len(x)]

    module = Table().eval()
    translation = translator.translate(module, (X,))
    assert "State" not in translation.source
    np.testing.assert_allclose(translation.model(jnp.asarray(X.numpy())), module(X), rtol=1e-6)


def test_a_copy_onto_its_own_conjugate_or_negative_is_a_write():
    def conjugate(x):
        y = torch.complex(x, x + 1)
        y.conj().copy_(y)
        return y

    def negative(x):
        y = x * 2
        torch._neg_view(y).copy_(y)
        return y

    for function in (conjugate, negative):
        assert translator.translate(Module(function), (X,)).verify(sizes=1).ok
