import importlib.util
import sys
import traceback

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from tests import handwritten
from translator import binding, checkpoint
from translator.arrays import to_array, to_tensor
from translator.errors import BindingError


def bound(state=None):
    module, _ = handwritten.net()
    model, _ = binding.bind(binding.instantiate(handwritten.source()), state or module.state_dict())
    return module, model


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name


@pytest.mark.parametrize(
    "dtype", "bool uint8 int16 int64 float16 bfloat16 float32 float64 complex64 float8_e4m3fn".split()
)
def test_arrays_and_tensors_are_the_same_bit_for_bit(dtype):
    tensor = torch.tensor([[0.0, 1.0], [1.0, 3.0]]).to(getattr(torch, dtype))
    array = to_array(tensor.T)
    assert array.dtype.name == dtype
    back = to_tensor(array)
    assert back.dtype == tensor.dtype and torch.equal(back.float(), tensor.T.float())


def test_lazy_conjugates_and_negatives_are_resolved():
    tensor = torch.tensor([1 + 2j, 3 - 1j])
    np.testing.assert_array_equal(to_array(tensor.conj()), [1 - 2j, 3 + 1j])
    np.testing.assert_array_equal(to_array(tensor.conj().imag), [-2, 1])


def test_a_bound_model_keeps_its_values_when_the_torch_module_trains_on():
    module, model = bound()
    before = np.array(model.blocks[0].dense.weight)
    with torch.no_grad():
        module.blocks[0].dense.weight.add_(1)
    np.testing.assert_array_equal(model.blocks[0].dense.weight, before)


def test_problems_are_a_binding_error():
    module, _ = handwritten.net()
    state = {name: tensor for name, tensor in module.state_dict().items() if not name.startswith("conv")}
    with pytest.raises(BindingError) as caught:
        bound(state | {"new": torch.zeros(1)})
    assert caught.value.problems == ("conv.weight is missing", "conv.bias is missing", "new is unexpected")


def test_an_int64_that_does_not_fit_names_its_tensor():
    state = handwritten.net()[0].state_dict() | {"offset": torch.tensor(2**40)}
    with pytest.raises(BindingError, match="offset holds integers that do not fit in int32"):
        bound(state)


def test_tensors_without_values_are_named():
    state = handwritten.net()[0].state_dict() | {"conv.bias": torch.empty(6, device="meta")}
    with pytest.raises(BindingError, match="conv.bias: it is on the meta device"):
        bound(state)


def test_state_dict_gives_back_every_tensor():
    module, model = bound()
    state = binding.state_dict(model)
    assert_same(state, module.state_dict())
    assert state["head.weight"] is state["embed.weight"]
    fresh = handwritten.Net()
    fresh.load_state_dict(state, strict=True)


def test_state_dict_of_a_trained_model():
    _, model = bound()
    trained = eqx.tree_at(lambda m: m.conv.bias, model, jnp.full((6, 1), 7.0))
    state = binding.state_dict(trained)
    assert state["conv.bias"].tolist() == [7.0] * 6
    assert state["offset"].dtype == torch.int64


def test_state_dict_keeps_a_dtype_that_is_wider_than_torch_had():
    module, _ = handwritten.net()
    _, model = bound(module.bfloat16().state_dict())
    assert binding.state_dict(model)["conv.bias"].dtype == torch.bfloat16
    wider = eqx.tree_at(lambda m: m.conv.bias, model, jnp.ones((6, 1), jnp.float32))
    assert binding.state_dict(wider)["conv.bias"].dtype == torch.float32


def test_state_dict_lists_what_is_not_there():
    _, model = bound()
    with pytest.raises(BindingError, match="conv.bias is not in the model"):
        binding.state_dict(eqx.tree_at(lambda m: m.conv.bias, model, None))


def imported(folder):
    loader = importlib.util.spec_from_file_location("handwritten_model", folder / "model.py")
    module = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(module)
    return module


def test_state_dict_of_a_model_that_a_saved_file_loaded(tmp_path):
    torch_module, _ = handwritten.net()
    state = torch_module.state_dict()
    (tmp_path / "model.py").write_text(handwritten.source())
    checkpoint.write(checkpoint.distinct(state, handwritten.TIED), tmp_path)
    found = binding.state_dict(imported(tmp_path).load(tmp_path))
    assert_same({name: found[name] for name in state}, state)
    handwritten.Net().load_state_dict(found, strict=True)


def test_state_dict_without_the_saved_weights_says_so(tmp_path):
    (tmp_path / "model.py").write_text(handwritten.source())
    arrays = {name: to_array(tensor) for name, tensor in handwritten.net()[0].state_dict().items()}
    with pytest.raises(BindingError, match="spare"):
        binding.state_dict(imported(tmp_path).bind(arrays))


def test_constants_are_read_from_beside_the_source():
    source = handwritten.source().replace(
        "class Block",
        'from pathlib import Path\n\nCONSTANTS = load_file(Path(__file__).with_name("constants.safetensors"))\n\n\nclass Block',
    )
    module = binding.instantiate(source, {"table": torch.arange(3.0)})
    assert module.CONSTANTS["table"].tolist() == [0, 1, 2]


def test_tracebacks_show_the_emitted_lines():
    _, model = bound()
    try:
        model(jnp.zeros((1, 2), int), None)
    except AttributeError as error:
        assert "scale.astype(jnp.float32)" in "".join(traceback.format_exception(error))
    else:
        pytest.fail("None has no astype")


def test_a_source_that_fails_leaves_no_module_behind():
    before = set(sys.modules)
    with pytest.raises(ZeroDivisionError):
        binding.instantiate("1 / 0")
    assert set(sys.modules) == before
