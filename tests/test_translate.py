"""The whole line on small modules: odd ones that must translate, and those that must be refused with an error one can act on."""

from __future__ import annotations

import re

import jax
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import op_table
import translator
from op_table import jnp
from tests import odd_modules

X = odd_modules.X


@pytest.mark.parametrize("name", odd_modules.CASES)
def test_odd_modules_translate_verify_and_go_back_into_torch(name):
    module, args, kwargs = odd_modules.build(name)
    translation = translator.translate(module, args, kwargs)
    verification = translation.verify()
    assert verification.ok, str(verification)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    module.load_state_dict(translator.state_dict(translation.model), strict=True)
    assert all(torch.equal(tensor, before[key]) for key, tensor in module.state_dict().items())
    jax.clear_caches()


def wrap(function):
    """A module whose forward is function."""

    class Wrapped(nn.Module):
        def forward(self, *args, **kwargs):
            return function(*args, **kwargs)

    return Wrapped().eval()


@torch.library.custom_op("torch2eqx_tests::mystery", mutates_args=())
def mystery(x: Tensor) -> Tensor:
    """An op with no rule and no decomposition."""
    return x.flip(0)


@torch.library.custom_op("torch2eqx_tests::enigma", mutates_args=())
def enigma(x: Tensor, times: int) -> Tensor:
    """Another one."""
    return x * times


@torch.library.custom_op("torch2eqx_tests::saxpy", mutates_args=())
def saxpy(a: float, x: Tensor, y: Tensor) -> Tensor:
    """One that a user gives a rule."""
    return a * x + y


mystery.register_fake(torch.empty_like)
enigma.register_fake(lambda x, times: torch.empty_like(x))
saxpy.register_fake(lambda a, x, y: torch.empty_like(x))


@op_table.lowers("torch2eqx_tests.saxpy.default")
def lower_saxpy(a, x, y):
    return a * x + jnp.abs(y)


class Mysterious(nn.Module):
    def __init__(self, layers: int):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.layers):
            x = mystery(self.linear(x))
        return x


class Riddles(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Mysterious(2)
        self.second = Mysterious(1)

    def forward(self, x: Tensor) -> Tensor:
        return enigma(self.second(self.first(x)), 3)


def test_every_unsupported_op_is_listed_at_once_with_its_count_module_and_line():
    with pytest.raises(translator.UnsupportedOps) as raised:
        translator.translate(Riddles().eval(), (X,))
    problems = raised.value.problems
    assert sorted((p.op, p.module) for p in problems) == [
        ("torch2eqx_tests.enigma.default", ""),
        ("torch2eqx_tests.mystery.default", "first"),
        ("torch2eqx_tests.mystery.default", "first"),
        ("torch2eqx_tests.mystery.default", "second"),
    ]
    text = str(raised.value)
    assert "torch2eqx_tests.mystery.default  x3" in text and "torch2eqx_tests.enigma.default  x1" in text
    assert "x = mystery(self.linear(x))" in text and "return enigma(self.second(self.first(x)), 3)" in text
    assert all(f"test_translate.py:{line_of(p.op)}" in p.source for p in problems)
    assert "op_table.lowers" in text


def line_of(op: str) -> int:
    """The line of this file that calls a custom op in a forward."""
    call = f"{op.split('.')[1]}(self."
    with open(__file__) as file:
        return next(number for number, line in enumerate(file, 1) if call in line)


def test_a_rule_of_the_users_own_lowers_a_custom_op():
    positive = wrap(lambda x, y: saxpy(2.5, x, y))
    translation = translator.translate(positive, (X, X + 1))
    assert re.search(r"return 2\.5 \* \w+ \+ jnp\.abs\(\w+\)", translation.source)
    assert translation.verify().ok


def test_a_wrong_rule_of_the_users_own_does_not_verify():
    translation = translator.translate(wrap(lambda x, y: saxpy(2.5, x, y)), (X, -1 - X))
    assert not translation.verify().ok


@pytest.mark.parametrize("rule", ["lambda x: x[:2]", "lambda x: x.astype(jnp.int32)"])
def test_a_rule_of_the_wrong_shape_or_dtype_is_refused(rule, monkeypatch):
    from op_table import registry

    op = "torch2eqx_tests.mystery.default"
    monkeypatch.setitem(registry._rules, op, registry.Rule(op, eval(rule, {"jnp": jnp}), "tests"))
    with pytest.raises(translator.UnsupportedOps, match="mystery"):
        translator.translate(wrap(lambda x: mystery(x)), (X,))


def branches(x: Tensor) -> Tensor:
    return x + 1 if x.sum() > 0 else x - 1


def loops(x: Tensor) -> Tensor:
    while x.max() < 100:
        x = x * 2
    return x


def sizes(x: Tensor) -> Tensor:
    return torch.zeros(int(x.sum()))


@pytest.mark.parametrize("function", [branches, loops])
def test_control_flow_that_depends_on_data_is_explained(function):
    with pytest.raises(translator.CaptureError, match="torch.where.*torch.cond"):
        translator.translate(wrap(function), (X,))


def test_a_shape_that_depends_on_data_is_refused():
    with pytest.raises(translator.TranslationError):
        translator.translate(wrap(sizes), (X,))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 2**40,
        lambda x: torch.full_like(x, -(2**31) - 1),
        lambda x: torch.where(x > 2**31, x, 0),
        lambda x: x * torch.tensor([1, 2**33, 3]),
        lambda x: (x, torch.tensor([2**31])),
    ],
    ids=["scalar", "full", "comparison", "constant", "returned"],
)
def test_an_integer_that_does_not_fit_without_x64_is_refused(function):
    with pytest.raises(translator.TranslationError, match="fit in int32"):
        translator.translate(wrap(function), (torch.arange(3),))


class Offset(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("offset", torch.tensor([1, 2**33, 3]))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.offset


def test_a_checkpoint_with_integers_that_do_not_fit_is_refused():
    translation = translator.translate(Offset().eval(), (torch.arange(3),))
    with pytest.raises(translator.BindingError, match="offset holds integers that do not fit in int32"):
        _ = translation.model


def test_the_largest_integers_that_fit_are_kept():
    translation = translator.translate(wrap(lambda x: (x + (2**31 - 4), x - (2**31 - 1))), (torch.arange(3),))
    assert translation.verify(random=0).ok


def test_a_copy_of_a_constant_is_an_array_where_code_computes_with_it():
    def forward(x):
        y = x[...].clone()
        y[...] = False
        return y.scatter_add_(-1, torch.zeros_like(y, dtype=torch.int64), y.clone())

    assert translator.translate(wrap(forward), (torch.tensor(2.0),), dynamic_shapes=None).verify().ok


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.bfloat16, torch.bool])
def test_constants_keep_their_dtype(dtype):
    constants = [torch.tensor([200, 100, 3]), torch.tensor([5, 6, 7]), torch.tensor(5), torch.full((3,), 4)]
    constants = [constant.to(dtype) for constant in constants]
    translation = translator.translate(
        wrap(lambda x: [x + constant for constant in constants]), (torch.ones(3).to(dtype),)
    )
    assert translation.verify(sizes=0).ok


# What is known of a mask before it runs is folded away: these are the ways in which too much could be taken for known.
@pytest.mark.parametrize(
    "mask",
    [
        lambda n: torch.full((n,), 250, dtype=torch.uint8) + 10 > 100,
        lambda n: torch.arange(6, dtype=torch.uint8) - 1 > 100,
        lambda n: (torch.arange(6) - 3).to(torch.uint8) > 100,
        lambda n: torch.full((6,), 2, dtype=torch.bool) == 1,
        lambda n: torch.full((6,), 2).bool().long() + 1 > 2,
        lambda n: torch.arange(6)[torch.arange(6) - 3] >= 0,
        lambda n: torch.arange(n)[torch.arange(n) - 1] >= 0,
        lambda n: torch.arange(6)[-10:] >= 0,
        lambda n: torch.arange(n) - torch.arange(n) * 2 > -5,
        lambda n: ~torch.arange(6) < 0,
    ],
    ids=["wraps", "wraps below", "wraps in a cast", "full bool", "cast", "negative", "negative n", "slice", "n", "not"],
)
def test_masks_are_folded_only_where_they_are_known(mask):
    translation = translator.translate(wrap(lambda x: torch.where(mask(x.shape[1]), x, 0)), (X,))
    verification = translation.verify()
    assert verification.ok, str(verification)


def test_none_and_scalars_among_the_arguments():
    def forward(x, mask=None, scale=2.0, count=3, *, flag=True, name="relu"):
        y = x * scale + count
        return getattr(torch, name)(y) if flag and mask is None else y

    module = wrap(forward)
    module.forward = forward  # its signature, rather than *args
    translation = translator.translate(module, (X, None, -1.5), {"flag": True, "name": "tanh"})
    assert translation.verify().ok
    array = X.numpy()
    assert translation.model(array, None, -1.5, flag=True, name="tanh").shape == (4, 6)
    for args, kwargs in [
        ((array, None, 2.0), {}),
        ((array, array, -1.5), {}),
        ((array, None, -1.5), {"flag": False}),
        ((array, None, -1.5), {"name": "relu"}),
    ]:
        with pytest.raises(ValueError):
            translation.model(*args, **({"flag": True, "name": "tanh"} | kwargs))


def test_a_saved_exported_program_translates(tmp_path):
    module, args, kwargs = odd_modules.build("loops_with_carried_and_collected_values")
    dynamic = torch.export.Dim("batch")
    program = torch.export.export(module, args, kwargs, dynamic_shapes={"x": {0: dynamic}}, strict=False)
    torch.export.save(program, tmp_path / "module.pt2")
    translation = translator.translate(torch.export.load(tmp_path / "module.pt2"))
    verification = translation.verify()
    assert verification.ok, str(verification)
    assert len({row.shape for row in verification.outputs if row.name == "0"}) > 1
    with torch.no_grad():
        expected = module(*args)
    torch.testing.assert_close(torch.tensor(translation.model(X.numpy())[0].tolist()), expected[0])
    module.load_state_dict(translator.state_dict(translation.model), strict=True)


def test_what_is_no_module_is_refused():
    with pytest.raises(translator.TranslationError, match="not a function"):
        translator.translate(lambda x: x, (X,))


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


def test_a_buffer_that_forward_updates_is_state():
    """In evaluation mode, too; and verifying leaves torch's own as it was."""
    module = Counts().eval()
    translation = translator.translate(module, (X,))
    assert translation.verify().ok and module.calls == 0
    model, state = translation.model, translation.state
    for calls in (1, 2, 3):
        y, state = model(jax.numpy.asarray(X.numpy()), state=state)
        np.testing.assert_allclose(y, X.numpy() * calls, rtol=1e-6)
    assert translator.state_dict(model, state)["calls"] == 3


def test_a_slice_from_before_the_first_of_known_positions():
    class Sliced(nn.Module):
        def forward(self, x):
            positions, rows = torch.arange(6), torch.arange(x.shape[0])
            return positions[..., -7:1], positions[-9:], positions[-7:-3:2], rows[-3:], positions[-6:1]

    for shapes in (None, "auto"):
        assert translator.translate(Sliced(), (torch.zeros(4, 2),), dynamic_shapes=shapes).verify(sizes=1).ok


@pytest.mark.parametrize(
    "function",
    [
        lambda i: i[:, None].expand(-1, 3),
        lambda i: i[:, None].expand(-1, 3) * i.shape[0] - i.shape[0],
        lambda i: (i.sum() / i.shape[0]) * torch.ones(i.shape[0], 2),
        lambda i: i.tensor_split(3)[1],
    ],
)
def test_the_length_of_a_vector(function):
    verification = translator.translate(wrap(function), (torch.arange(7.0),)).verify(random=1, sizes=2)
    assert verification.ok, str(verification)


def test_an_axis_that_is_repeated_and_merged():
    heads = wrap(lambda x: (x * 2)[:, :, None].expand(2, 3, 4, 5).reshape(2, 12, 5))
    translation = translator.translate(heads, (torch.randn(2, 3, 5),))
    assert "jnp.repeat(" in translation.source and translation.verify(sizes=0).ok
    in_front = wrap(lambda x: x.mean(0).unsqueeze(-1).expand(2, 1).reshape(2, 1, 1))
    assert translator.translate(in_front, (torch.randn(3),)).verify(sizes=0).ok


def test_an_axis_that_is_squeezed_and_known_to_be_one():
    function = wrap(lambda x: (x[::3].squeeze(), x + torch.ones(3, 5)))  # the length is known only afterwards
    assert translator.translate(function, (torch.randn(3, 5),)).verify(sizes=0).ok


POOL = nn.AdaptiveAvgPool2d(1)


@pytest.mark.parametrize(
    "function, line",
    [
        (lambda x: POOL(x).flatten(1), "jnp.mean(arg_0, axis=(2, 3))"),
        (lambda x: x.mean((2, 3), keepdim=True).reshape(2, 3), "jnp.mean(arg_0, axis=(2, 3))"),
        (lambda x: x.amax(1, keepdim=True).squeeze(1), "jnp.max(arg_0, axis=1)"),
        (lambda x: x.sum(-1, keepdim=True).squeeze(), "jnp.sum(arg_0, axis=-1)"),
        (lambda x: x.sum() + x.mean().amax(0, keepdim=True).reshape(()), "jnp.mean(arg_0)"),
        (lambda x: x.sum(1, keepdim=True).flatten(1), "keepdims=True"),  # which takes out nothing
        (lambda x: x.sum(1, keepdim=True).view(2, 4, 1, 5), "keepdims=True"),
    ],
)
def test_axes_that_are_kept_only_to_be_taken_out(function, line):
    translation = translator.translate(wrap(function), (torch.randn(2, 3, 4, 5),), dynamic_shapes=None)
    assert line in translation.source and translation.verify(sizes=0).ok


def test_a_kept_axis_that_is_read_elsewhere_stays():
    def function(x):
        kept = x.mean(1, keepdim=True)
        return kept.squeeze(1), x - kept

    translation = translator.translate(wrap(function), (torch.randn(2, 3, 4),))
    assert "keepdims=True" in translation.source and translation.verify(sizes=1).ok


def test_parts_go_by_the_names_that_they_are_unpacked_to():
    def function(x):
        value, gate = x.chunk(2, -1)
        return value * torch.sigmoid(gate)

    source = translator.translate(wrap(function), (torch.randn(2, 8),), dynamic_shapes=None).source
    assert "value, gate = jnp.split(arg_0, 2, axis=-1)" in source and "return value * jax.nn.sigmoid(gate)" in source
