import textwrap

import pytest
import torch

import tests.zoo.torchvision_schemas  # noqa: F401  (before transformers, which imports torchvision)
from translator import TranslationError
from translator.pretrained import example_inputs
from translator.specs import resolve

import diffusers  # isort: skip
import transformers  # isort: skip

FACTORIES = """
    import torch

    class Net(torch.nn.Linear):
        def __init__(self):
            super().__init__(3, 2)
            self.eval()

    class WithExample(Net):
        example_inputs = (torch.ones(4, 3),)

    def pair():
        return Net(), (torch.ones(4, 3),)

    def triple():
        return Net(), (), {"input": torch.ones(4, 3)}

    def bare_tensor():
        return Net(), torch.ones(4, 3)

    def keywords():
        return Net(), {"input": torch.ones(4, 3)}

    def alone():
        return Net()

    def nothing():
        return 3

    number = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "factories.py"
    path.write_text(textwrap.dedent(FACTORIES))
    return path


@pytest.mark.parametrize("name", ["pair", "triple", "bare_tensor", "keywords", "WithExample"])
def test_factories(file, name):
    found = resolve(f"{file}:{name}")
    assert found.module(*found.args, **found.kwargs).shape == (4, 2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("alone", "give it example_inputs"),
        ("nothing", "returns a int"),
        ("number", "not a factory"),
        ("absent", "has no 'absent'"),
    ],
)
def test_what_is_no_factory_is_refused(file, name, message):
    with pytest.raises(TranslationError, match=message):
        resolve(f"{file}:{name}")


def test_a_module_by_its_import_name(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert isinstance(resolve("factories:pair").module, torch.nn.Linear)
    assert resolve("tests.handwritten:net").module.offset == 3
    with pytest.raises(TranslationError, match="cannot import no_such_module"):
        resolve("no_such_module:pair")


@pytest.mark.parametrize("spec", ["nonsense", ":", "a:", "gone.pt2", "gone.py:f"])
def test_what_names_nothing_says_what_may_be_given(spec):
    with pytest.raises(TranslationError, match="give|no file"):
        resolve(spec)


def test_an_exported_program(tmp_path):
    module = torch.nn.Linear(3, 2).eval()
    torch.export.save(torch.export.export(module, (torch.ones(4, 3),)), tmp_path / "net.pt2")
    found = resolve(str(tmp_path / "net.pt2"))
    assert isinstance(found.module, torch.export.ExportedProgram) and found.args[0].shape == (4, 3)
    (tmp_path / "bad.pt2").write_bytes(b"nothing")
    with pytest.raises(TranslationError, match="cannot load"):
        resolve(str(tmp_path / "bad.pt2"))


SMALL = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
BART = dict(
    vocab_size=30,
    d_model=16,
    encoder_layers=1,
    decoder_layers=1,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=16,
    decoder_ffn_dim=16,
)
CLIP = dict(
    text_config=SMALL | dict(vocab_size=30, eos_token_id=29),
    vision_config=SMALL | dict(image_size=16, patch_size=8),
    projection_dim=8,
)
WHISPER = BART | dict(
    num_mel_bins=8,
    max_source_positions=10,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    decoder_start_token_id=1,
    suppress_tokens=None,
    begin_suppress_tokens=None,
)
WAV2VEC2 = SMALL | dict(conv_dim=(8, 8), conv_stride=(5, 2), conv_kernel=(10, 3), num_conv_pos_embeddings=8)


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (lambda: transformers.BertConfig(**SMALL, vocab_size=30), {"input_ids", "attention_mask"}),
        (lambda: transformers.BartConfig(**BART), {"input_ids", "attention_mask", "decoder_input_ids"}),
        (lambda: transformers.ViTConfig(**SMALL, image_size=16, patch_size=8), {"pixel_values"}),
        (lambda: transformers.CLIPConfig(**CLIP), {"input_ids", "attention_mask", "pixel_values"}),
        (lambda: transformers.WhisperConfig(**WHISPER), {"input_features", "decoder_input_ids"}),
        (
            lambda: transformers.Wav2Vec2Config(**WAV2VEC2 | dict(num_conv_pos_embedding_groups=2)),
            {"input_values"},
        ),
    ],
)
def test_inputs_made_up_from_a_configuration(config, names):
    module = transformers.AutoModel.from_config(config()).eval()
    inputs = example_inputs(module)
    assert inputs.keys() == names
    again = example_inputs(module)
    assert all(torch.equal(inputs[name], again[name]) for name in names)
    with torch.no_grad():
        module(**inputs)


def test_a_transformers_folder(tmp_path):
    module = transformers.BertModel(transformers.BertConfig(**SMALL, vocab_size=30)).eval()
    module.save_pretrained(tmp_path)
    found = resolve(str(tmp_path))
    assert type(found.module) is transformers.BertModel and not found.module.training
    with torch.no_grad():
        expected = module(**found.kwargs).last_hidden_state
        torch.testing.assert_close(found.module(**found.kwargs).last_hidden_state, expected)


def test_weights_that_leave_parameters_at_random_are_refused(tmp_path):
    config = transformers.BertConfig(**SMALL, vocab_size=30, architectures=["BertModel"])
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    with pytest.raises(TranslationError, match="random values: pooler.dense.bias, pooler.dense.weight"):
        resolve(str(tmp_path))


def test_a_diffusers_folder(tmp_path):
    module = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    module.save_pretrained(tmp_path)
    found = resolve(str(tmp_path))
    with torch.no_grad():
        assert found.module(**found.kwargs).sample.shape == (2, 4, 8, 8)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(TranslationError, match="no model folder"):
        resolve(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(TranslationError, match="cannot be loaded"):
        resolve(str(tmp_path))
