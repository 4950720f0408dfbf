"""The models that are measured: `small` is a handful that takes minutes, `full` three times as many.

They are as wide as the models that people use, and mostly shallower. Any name of the test zoo can be measured as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import transformers as hf
from torch import nn
from torch.export import Dim

from tests.zoo import models as zoo
from tests.zoo.case import Case, perturb_norms
from tests.zoo.text import attention_mask, token_ids
from tests.zoo.torchvision_models import fresh, images

IMAGES, SIDE = 2, 128
TEXTS, LENGTH = 2, 64
VOCABULARY = 8192
SECOND = 16_000  # samples of a sound


@dataclass(frozen=True)
class Entry:
    """A model of the suites. port: the file, without .py, of its port by hand; constants: those of that file that it sets."""

    build: Callable[[], Case]
    port: str
    constants: Mapping[str, int] = field(default_factory=dict)


def image_model(name: str, **options: int) -> Case:
    """A model of torchvision at 1000 classes."""
    return Case(fresh(name, **options), *images(IMAGES, SIDE))


def text_model(module: hf.PreTrainedModel, **more: torch.Tensor) -> Case:
    """A model of texts."""
    vocabulary = module.config.vocab_size
    tokens = {
        "input_ids": token_ids(TEXTS, LENGTH, vocabulary),
        "attention_mask": attention_mask(TEXTS, LENGTH),
    }
    return Case(perturb_norms(module), (), tokens | more)


def bert(layers: int) -> Case:
    return text_model(hf.BertModel(hf.BertConfig(num_hidden_layers=layers)))


def gpt2() -> Case:
    config = hf.GPT2Config(n_layer=4, vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, use_cache=False)
    return text_model(hf.GPT2Model(config))


def lstm() -> Case:
    return Case(nn.LSTM(128, 256, num_layers=2, batch_first=True), (torch.randn(TEXTS, LENGTH, 128),))


def swin() -> Case:
    """Only the batch is dynamic: with dynamic image sizes, torch.export alone takes minutes."""
    return Case(fresh("swin_t"), *images(IMAGES, SIDE), dynamic_shapes={"x": {0: Dim.AUTO}})


def vit() -> Case:
    case = image_model("vit_b_16", image_size=SIDE)
    with torch.no_grad():
        case.module.get_parameter("heads.head.weight").normal_(
            std=0.02
        )  # zero when fresh: logits would compare nothing
    return case


def llama() -> Case:
    config = hf.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        use_cache=False,
    )
    return text_model(hf.LlamaForCausalLM(config))


def t5() -> Case:
    config = hf.T5Config(vocab_size=VOCABULARY, num_layers=4, use_cache=False)
    target = token_ids(TEXTS, LENGTH // 2, VOCABULARY)
    return text_model(hf.T5ForConditionalGeneration(config), decoder_input_ids=target)


def wav2vec2() -> Case:
    module = hf.Wav2Vec2Model(hf.Wav2Vec2Config(num_hidden_layers=4))
    return Case(perturb_norms(module), (), {"input_values": torch.randn(IMAGES, SECOND)})


def _torchvision(name: str) -> Entry:
    return Entry(lambda: image_model(name), name)


MODELS: dict[str, Entry] = {
    "lstm": Entry(lstm, "lstm"),
    "resnet18": _torchvision("resnet18"),
    "mobilenet_v3_small": _torchvision("mobilenet_v3_small"),
    "bert_4": Entry(lambda: bert(4), "bert", {"LAYERS": 4}),
    "gpt2": Entry(gpt2, "gpt2"),
    "resnet50": _torchvision("resnet50"),
    "densenet121": _torchvision("densenet121"),
    "efficientnet_b0": _torchvision("efficientnet_b0"),
    "convnext_tiny": _torchvision("convnext_tiny"),
    "swin_t": Entry(swin, "swin_t"),
    "vit_b_16": Entry(vit, "vit_b_16"),
    "bert_6": Entry(lambda: bert(6), "bert", {"LAYERS": 6}),
    "llama": Entry(llama, "llama"),
    "t5": Entry(t5, "t5"),
    "wav2vec2": Entry(wav2vec2, "wav2vec2"),
}

SUITES: dict[str, tuple[str, ...]] = {
    "small": ("lstm", "resnet18", "mobilenet_v3_small", "bert_4", "gpt2"),
    "full": tuple(MODELS),
}


def entry(name: str) -> Entry:
    """The model of a name: of the suites, else of the test zoo. Raises ValueError for no such name."""
    if name in MODELS:
        return MODELS[name]
    if name in zoo.MODELS:
        return Entry(zoo.MODELS[name].build, name)
    raise ValueError(
        f"there is no model {name!r}; the suites have {', '.join(MODELS)}, and any of the test zoo will do"
    )


def build(name: str) -> Case:
    """The case of a name, in evaluation mode: the same weights and inputs in every process."""
    make = entry(name).build
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        case = make()
    case.module.eval()
    return case
