"""Every layer is built from its op's arguments, filled with torch's tensors, and compared with the torch module."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn as nn

from op_table import layers
from op_table.expr import Call, Prelude, Value, evaluate
from op_table.prelude.batched import batched
from tests.ops.harness import to_array
from translator.lower import Sizes, arguments, op_name, operand_value


def built(module: nn.Module, *inputs: torch.Tensor):
    """The layer's expression, its entry in the table and the op's arguments, or None where the table has no such layer."""
    program = torch.export.export(module, inputs, strict=False)
    (node,) = (n for n in program.graph.nodes if n.op == "call_function")
    cls = type(module)
    entry = layers.lookup(f"{cls.__module__}.{cls.__qualname__}", op_name(node))
    assert entry is not None
    sizes = Sizes({})
    args, kwargs = arguments(node, lambda n: operand_value(n, sizes), sizes)
    names = [argument.name for argument in node.target._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    targets = program.graph_signature.inputs_to_parameters | program.graph_signature.inputs_to_buffers
    for name, value in given.items():
        if isinstance(value, Value) and name != entry.input:
            assert targets[value.name] == entry.leaves.get(name, name)
    return entry, entry.constructor(*args, **kwargs), (args, kwargs)


def written(expression) -> str:
    """A constructor call as its source will read."""
    if not isinstance(expression, Call):
        return repr(expression)
    function = expression.function
    name = function.function.__name__ if isinstance(function, Prelude) else function.attribute
    parts = [repr(a) for a in expression.args] + [f"{k}={v!r}" for k, v in expression.kwargs]
    return f"{name}({', '.join(parts)})"


def check_layer(module: nn.Module, x: torch.Tensor, source: str) -> None:
    module = module.eval()
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        with jax.enable_x64(dtype == torch.float64):
            _check_layer(module.to(dtype), x.to(dtype) if x.is_floating_point() else x, source, tolerance)


def _check_layer(module: nn.Module, x: torch.Tensor, source: str, tolerance: float) -> None:
    entry, expression, (args, kwargs) = built(module, x)
    assert written(expression) == source
    if entry.needs_key:
        expression = Call(expression.function, expression.args, (*expression.kwargs, ("key", jax.random.key(0))))
    layer = eqx.filter_eval_shape(evaluate, expression, {})
    tensors = {name: tensor for name, tensor in module.state_dict().items() if name != "num_batches_tracked"}
    leaves, structure = jax.tree.flatten_with_path(layer)
    paths = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    assert set(paths) == set(tensors)
    fresh = [leaf for _, leaf in leaves]
    assert all(f.dtype == to_array(tensors[p]).dtype for p, f in zip(paths, fresh, strict=True))
    layer = jax.tree.unflatten(
        structure, [to_array(tensors[p]).reshape(f.shape) for p, f in zip(paths, fresh, strict=True)]
    )
    event = entry.event_ndim(*args, **kwargs) if callable(entry.event_ndim) else entry.event_ndim
    lift = entry.lift(*args, **kwargs) if entry.lift is not None else None
    lifted = layer if event is None else batched(layer, event)
    if lift is not None:
        lifted = functools.partial(lift.function, layer)
    for inputs in (x, x[:0]) if tolerance < 1e-9 else (x,):
        expected = to_array(module(inputs))
        ours = eqx.filter_jit(lifted)(to_array(inputs))
        assert ours.dtype == expected.dtype
        np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance)


def randomised(module: nn.Module) -> nn.Module:
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    return module


@pytest.mark.parametrize("leading", [(2,), (2, 5)])
def test_linear(leading):
    check_layer(nn.Linear(3, 4), torch.randn(*leading, 3), "Linear(3, 4)")
    check_layer(nn.Linear(3, 4, bias=False), torch.randn(*leading, 3), "Linear(3, 4, use_bias=False)")


def test_embedding():
    check_layer(nn.Embedding(5, 3, padding_idx=0), torch.randint(5, (2, 4)), "Embedding(5, 3)")


CONVOLUTIONS = [
    (nn.Conv1d(4, 6, 3), (9,), "Conv1d(4, 6, 3)"),
    (nn.Conv1d(4, 6, 2, padding="same", bias=False), (9,), "Conv1d(4, 6, 2, padding='SAME', use_bias=False)"),
    (nn.Conv2d(4, 6, 3, 2, 1), (7, 8), "Conv2d(4, 6, 3, stride=2, padding=1)"),
    (nn.Conv2d(4, 4, (3, 1), groups=4, dilation=2), (7, 8), "Conv2d(4, 4, (3, 1), dilation=2, groups=4)"),
    (nn.Conv1d(4, 4, 4, 2, 3, groups=4), (9,), "Conv1d(4, 4, 4, stride=2, padding=3, groups=4)"),
    (
        nn.Conv2d(4, 4, 2, padding="same", groups=4),
        (7, 8),
        "Conv2d(4, 4, 2, padding=((0, 1), (0, 1)), groups=4)",
    ),
    (nn.Conv3d(4, 4, 2, groups=4, bias=False), (3, 4, 5), "Conv3d(4, 4, 2, groups=4, use_bias=False)"),
    (nn.Conv2d(4, 4, 9, padding=4, groups=4), (7, 8), "Conv2d(4, 4, 9, padding=4, groups=4)"),
    (
        nn.Conv2d(4, 6, 3, 2, 1, 2, groups=2),
        (7, 8),
        "Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)",
    ),
    (nn.Conv2d(4, 6, 1, (2, 1)), (7, 8), "Conv2d(4, 6, 1, stride=(2, 1))"),
    (nn.Conv1d(4, 6, 1, 2, bias=False), (9,), "Conv1d(4, 6, 1, stride=2, use_bias=False)"),
    (nn.Conv2d(4, 6, (2, 3), (2, 3)), (7, 8), "Conv2d(4, 6, (2, 3), stride=(2, 3))"),
    (nn.Conv2d(4, 6, 2, 2, 1), (7, 8), "Conv2d(4, 6, 2, stride=2, padding=1)"),
    (nn.Conv2d(4, 6, 1, padding=1), (7, 8), "Conv2d(4, 6, 1, padding=1)"),
    (nn.Conv2d(4, 6, (2, 3), (1, 2), (0, 1)), (7, 8), "Conv2d(4, 6, (2, 3), stride=(1, 2), padding=(0, 1))"),
    (nn.Conv2d(4, 6, 2, padding="valid"), (7, 8), "Conv2d(4, 6, 2)"),
    (nn.Conv3d(4, 6, 2), (3, 4, 5), "Conv3d(4, 6, 2)"),
    (nn.ConvTranspose1d(4, 6, 3), (9,), "ConvTranspose(4, 6, (3,))"),
    (
        nn.ConvTranspose2d(4, 6, (3, 2), 2, 1, output_padding=1, groups=2, bias=False),
        (5, 6),
        "ConvTranspose(4, 6, (3, 2), stride=2, padding=1, output_padding=1, groups=2, use_bias=False)",
    ),
    (nn.ConvTranspose3d(4, 6, 2, dilation=(1, 2, 1)), (3, 4, 5), "ConvTranspose(4, 6, (2, 2, 2), dilation=(1, 2, 1))"),
]


@pytest.mark.parametrize("module, size, source", CONVOLUTIONS, ids=lambda part: part if isinstance(part, str) else "")
def test_convolutions(module, size, source):
    check_layer(module, torch.randn(2, 4, *size), source)


NORMALISATIONS = [
    (nn.LayerNorm(5, eps=1e-12), "LayerNorm(5, eps=1e-12)"),
    (nn.LayerNorm((4, 5), bias=False), "LayerNorm((4, 5), eps=1e-05, use_bias=False)"),
    (nn.LayerNorm(5, elementwise_affine=False), "LayerNorm(5, eps=1e-05, use_weight=False, use_bias=False)"),
    (nn.RMSNorm(5, eps=1e-6), "RMSNorm(5, eps=1e-06, use_bias=False)"),
    (
        nn.RMSNorm((4, 5), eps=1e-6, elementwise_affine=False),
        "RMSNorm((4, 5), eps=1e-06, use_weight=False, use_bias=False)",
    ),
    (nn.GroupNorm(3, 6), "GroupNorm(3, 6, eps=1e-05)"),
    (nn.GroupNorm(2, 6, affine=False), "GroupNorm(2, eps=1e-05, channelwise_affine=False)"),
    (nn.BatchNorm2d(6), "BatchNorm(6)"),
    (nn.BatchNorm2d(6, eps=1e-3, affine=False), "BatchNorm(6, eps=0.001, affine=False)"),
]


@pytest.mark.parametrize("module, source", NORMALISATIONS, ids=lambda part: part if isinstance(part, str) else "")
def test_normalisations(module, source):
    with torch.no_grad():
        check_layer(randomised(module), torch.randn(2, 6, 4, 5) * 3, source)


@pytest.mark.parametrize("shape", [(3, 6), (3, 6, 4)])
def test_batch_norm_of_vectors_and_sequences(shape):
    with torch.no_grad():
        check_layer(randomised(nn.BatchNorm1d(6)), torch.randn(shape), "BatchNorm(6)")


def test_batch_norm_of_volumes():
    with torch.no_grad():
        check_layer(randomised(nn.BatchNorm3d(6)), torch.randn(2, 6, 2, 3, 2), "BatchNorm(6)")


@pytest.mark.parametrize(
    "module, x",
    [
        (nn.BatchNorm2d(6, track_running_stats=False), torch.randn(2, 6, 4, 5)),
        (nn.BatchNorm2d(6).bfloat16(), torch.randn(2, 6, 4, 5).bfloat16()),
        (nn.RMSNorm(5), torch.randn(2, 5)),
        (nn.ConvTranspose1d(4, 6, 3), torch.randn(4, 9)),
    ],
)
def test_what_no_layer_expresses_gets_none(module, x):
    assert built(module.eval(), x)[1] is None


def test_a_second_layer_for_the_same_class_and_op_is_an_error():
    with pytest.raises(ValueError, match="already"):
        layers.layer("torch.nn.modules.linear.Linear", "aten.linear.default", event_ndim=1)(lambda: None)


def test_batched_lifts_over_any_leading_axes():
    double = batched(lambda x: 2 * x, 2)
    assert double(jnp.ones((4, 5))).shape == (4, 5)
    assert double(jnp.ones((2, 3, 4, 5))).shape == (2, 3, 4, 5)
    assert double(jnp.ones((2, 0, 4, 0))).shape == (2, 0, 4, 0)
