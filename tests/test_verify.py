import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import translator
from tests import handwritten
from translator import compare, inputs
from translator.capture import capture
from translator.errors import TranslationError
from translator.reference import Reference
from translator.runtime import wide_source
from translator.verification import Verification
from translator.verify import verify


@pytest.fixture(scope="module")
def net():
    module, args = handwritten.net()
    captured = capture(module, args)
    return captured, handwritten.emitted(captured.graph)


def changed(emitted, old, new):
    assert old in emitted.source
    return dataclasses.replace(emitted, source=emitted.source.replace(old, new))


def test_a_right_translation_is_ok_on_all_kinds_of_input(net):
    verification = verify(*net)
    assert verification.ok, str(verification)
    assert [row.name for row in verification.outputs[:2]] == ["logits", "best"]
    cases = list(dict.fromkeys(row.case for row in verification.outputs))
    assert cases[:2] == ["example", "random 0"] and len(cases) == 4
    assert len({row.shape for row in verification.outputs if row.name == "logits"}) == 3
    logits = verification.outputs[0]
    assert 0 < logits.torch_error < 1e-6 and 0 < logits.emitted_error < 1e-6 and logits.float64_error < 1e-12
    assert verification.modules == () and verification.culprit is None
    assert "verified: 8 outputs of 4 inputs" in str(verification)


def test_nothing_compared_is_not_ok():
    assert not Verification().ok


def test_a_wrong_op_is_found_and_its_module_named_and_reproduced(net, tmp_path):
    captured, emitted = net
    verification = verify(captured, changed(emitted, "jnp.tanh(jax.vmap", "jnp.sin(jax.vmap"), random=0, sizes=0)
    assert not verification.ok
    assert (verification.culprit.path, verification.culprit.class_name) == ("blocks.0", "Block")
    assert "The first module to diverge is blocks.0 (Block)" in str(verification)
    script = subprocess.run([sys.executable, verification.reproduction], capture_output=True, text=True, check=True)
    assert "float32[2, 5, 6], distance from torch" in script.stdout
    error = float(script.stdout.split("torch ")[1].split()[0])
    assert error == pytest.approx(verification.culprit.output_error, rel=0.1)


def test_a_wrong_weight_is_found_and_its_module_named(net, tmp_path):
    captured, emitted = net
    state = dict(captured.state)
    state["blocks.1.dense.bias"] = state["blocks.1.dense.bias"] + 1e-5
    verification = verify(captured, emitted, state=state, random=0, sizes=0)
    assert not verification.ok and verification.culprit.path == "blocks.1"
    assert [row.path for row in verification.modules] == ["blocks.0", "blocks.1", "blocks.2", ""]
    assert [row.output_ok for row in verification.modules] == [True, False, False, False]


def test_wrong_code_of_the_root_itself_names_the_root(net):
    captured, emitted = net
    verification = verify(captured, changed(emitted, "% 11", "% 10"), random=0, sizes=0)
    assert not verification.ok and verification.culprit.path == ""


def test_a_baked_size_fails_at_another_size(net):
    captured, emitted = net
    baked = changed(emitted, "x = jax.vmap(self.conv)", "x = x[:2]\n        x = jax.vmap(self.conv)")
    verification = verify(captured, baked)
    rows = {row.case: row.ok for row in verification.outputs}
    assert rows.pop("example") and rows.pop("random 0") and not any(rows.values())
    assert "[2, 7, 11] where torch has [3, 7, 11]" in str(verification.outputs[4].reason)


def test_a_loss_of_precision_alone_is_found(net):
    captured, emitted = net
    rounded = changed(emitted, "* scale.astype(jnp.float32)", "* scale.astype(jnp.bfloat16).astype(jnp.float32)")
    verification = verify(captured, rounded, random=0, sizes=0)
    assert not verification.ok
    assert verification.outputs[0].float64_error < 1e-12 and "float32 is above" in verification.outputs[0].reason


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('{"logits": logits, "best"', '{"logits": logits, "worst"', "no such output"),
        ("jnp.argmax(logits, axis=-1)", "jnp.argmin(logits, axis=-1)", "differs in"),
        ("jnp.argmax(logits, axis=-1)", "logits[..., 0]", "is float32 where torch has int32"),
        ('{"logits": logits', '{"logits": logits / jnp.where(scale > 0, 0, 1)', "NaN or infinity"),
        ("for block in self.blocks:", "for block in self.missing:", "raises AttributeError"),
        ('{"logits": logits', '{"logits": logits[..., :10]', "has shape"),
    ],
)
def test_every_other_kind_of_difference_fails(net, old, new, reason):
    captured, emitted = net
    verification = verify(captured, changed(emitted, old, new), random=0, sizes=0)
    assert not verification.ok
    assert any(reason in row.reason for row in verification.outputs), str(verification)


def test_a_module_on_the_meta_device_cannot_be_compared(net):
    captured, emitted = net
    meta = {name: tensor.to("meta") for name, tensor in captured.tensors.items()}
    with pytest.raises(TranslationError, match="meta device"):
        verify(dataclasses.replace(captured, tensors=meta), emitted)


class Casting(nn.Module):
    """Casts to float32 within, as Llama's RMSNorm does, and asks for dtypes in every other way."""

    def forward(self, x):
        half = x.to(torch.bfloat16) * torch.full((1,), 1 / 3, dtype=torch.float16)
        return (half.float() + torch.arange(x.shape[0], dtype=torch.float32)[:, None]).to(x.dtype), torch.linspace(
            0, 1, 3
        )


def test_the_reference_rounds_nothing_to_less_than_float64():
    x = torch.rand(4, 3)
    outputs, _ = Reference(capture(Casting(), (x,))).run((x,), {})
    expected = x.double() * (1 / 3) + torch.arange(4, dtype=torch.float64)[:, None]
    assert outputs["0"].dtype == outputs["1"].dtype == torch.float64
    torch.testing.assert_close(outputs["0"], expected, rtol=1e-15, atol=0)


def test_the_reference_enters_the_branches_of_cond():
    class Branching(nn.Module):
        def forward(self, x):
            return torch.cond(x.sum() > 0, lambda x: x.float() / 3, lambda x: -x.float(), (x,))

    x = torch.rand(3)
    outputs, _ = Reference(capture(Branching(), (x,))).run((x,), {})
    torch.testing.assert_close(outputs["output"], x.double() / 3, rtol=1e-15, atol=0)


def test_wide_source_changes_dtypes_and_nothing_else():
    source = '"""jnp.float32"""\nx = jnp.zeros(3, jnp.float32)  # jnp.float32\ny = np.float32(1), jnp.bfloat16, z.jnp.complex64\n'
    expected = '"""jnp.float32"""\nx = jnp.zeros(3, jnp.float64)  # jnp.float32\ny = np.float32(1), jnp.float64, z.jnp.complex128\n'
    assert wide_source(source) == expected


def test_random_inputs_are_like_the_example():
    class Many(nn.Module):
        def forward(self, ids, mask, keep, noise, causal):
            return ids * mask + keep + noise + causal

    ids = torch.randint(3, 90, (4, 6))
    mask = (torch.arange(6) < torch.tensor([6, 5, 4, 3])[:, None]).long()
    causal = torch.full((4, 6), float("-inf")).triu(1)
    args = (ids, mask, mask.bool(), torch.rand(4, 6), causal)
    captured = capture(Many(), args)
    for case in (inputs.random(captured, 0), next(inputs.resized(captured))):
        found = dict(zip(("ids", "mask", "keep", "noise", "causal"), case.args, strict=True))
        assert found["ids"].min() >= 3 and found["ids"].max() <= 89 and found["ids"].dtype == torch.int64
        assert {tuple(row[:6].tolist()) for row in found["mask"]} <= {tuple(row.tolist()) for row in mask}
        assert found["keep"].dtype == torch.bool and not found["causal"][found["causal"].isfinite()].any()
        assert 0 <= found["noise"].min() and found["noise"].max() <= 1
        assert not torch.equal(found["noise"][:4, :6], args[3])
    assert case.args[0].shape == (5, 8)


def test_values_at_the_end_of_the_range_do_not_hide_the_others():
    truth = np.array([1.0, -3.4028234663852886e38])
    like = truth.astype(np.float32)
    assert compare.distance(like, truth, like).error < 1e-7
    assert compare.distance(like + np.array([1e-3, 0], np.float32), truth, like).error == pytest.approx(1e-3, rel=1e-2)
    assert compare.distance(like * np.array([1, 0.9], np.float32), truth, like).error == pytest.approx(0.1, rel=1e-2)


def test_infinities_and_nans_must_be_in_the_same_places():
    like = np.array([1, np.inf, np.nan], np.float32)
    truth = np.array([1, 1e300, np.nan])
    assert compare.distance(like, truth, like).error == 0
    assert compare.distance(np.array([1, -np.inf, np.nan], np.float32), truth, like).error == np.inf
    assert compare.distance(np.array([np.nan, np.inf, np.nan], np.float32), truth, like).error == np.inf
    assert compare.distance(np.array([1, np.inf, 2], np.float32), truth, like).error == np.inf


def test_an_output_of_zeros_is_noted(net):
    captured, emitted = net
    module, args = handwritten.net()
    with torch.no_grad():
        getattr(module, "odd-name").weight.zero_()
        getattr(module, "odd-name").bias.zero_()
    verification = verify(capture(module, args), emitted, random=0, sizes=0)
    assert verification.ok and any("logits is zero on every input" in note for note in verification.notes)


@pytest.mark.parametrize("training", [False, True])
def test_a_module_that_does_something_else_while_it_is_exported_does_not_verify(training):
    class TwoFaced(nn.Module):
        def forward(self, x):
            return x * (2 if torch.compiler.is_exporting() else 2.001)

    verification = translator.translate(TwoFaced().train(training), (torch.randn(3, 4),)).verify()
    assert not verification.ok and "something else than the program" in verification.outputs[0].reason


def test_a_fast_path_of_torch_that_gives_other_values_is_noted():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2).eval()
    x, padding = torch.randn(2, 5, 8), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    verification = translator.translate(encoder, (x,), {"src_key_padding_mask": padding}).verify(random=1, sizes=1)
    assert verification.ok and any("fast path" in note for note in verification.notes)
    assert not any("fast path" in note for note in translator.translate(encoder, (x,)).verify(random=0, sizes=0).notes)
