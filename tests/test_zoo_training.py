"""Models of the zoo in training mode: both modes, gradients, buffers, ten steps of SGD and of AdamW, against torch in float64.

`make test` runs a few; `make training` all of MODELS.
"""

from __future__ import annotations

import os

import jax
import pytest
import torch
import transformers as hf

import translator
from tests.zoo import models
from tests.zoo.case import Case, perturb_norms
from tests.zoo.transformers_models import WAV2VEC2, sound

# A batch norm of two images normalises each channel of the last layers by a handful of numbers, and gradients through that lose
# half of float64's digits, in torch as in JAX.
IMAGES = 4

VISION = ("resnet18", "mobilenet_v3_small", "efficientnet_b0", "densenet121", "googlenet", "vit_b_16", "swin_t")
OTHERS = ("bert", "gpt2", "llama", "t5", "clip", "vit", "unet2d_condition", "torch_lstm", "torch_gru")
MODELS = (*VISION, *OTHERS, "wav2vec2_masked")
FEW = ("bert", "t5", "torch_lstm", "wav2vec2_masked")


def wav2vec2_masked() -> Case:
    """With the mask as an argument: what transformers draws for itself comes from numpy's generator, and is refused."""
    torch.manual_seed(0)
    module = hf.Wav2Vec2Model(hf.Wav2Vec2Config(**WAV2VEC2, layerdrop=0.0))
    args, kwargs = sound(2, 800)
    return Case(perturb_norms(module), args, kwargs | {"mask_time_indices": torch.rand(2, 39) < 0.3})


def build(name: str) -> Case:
    if name == "wav2vec2_masked":
        return wav2vec2_masked()
    case = models.build(name)
    if name not in VISION:
        return case
    torch.manual_seed(1)
    return Case(case.module, (torch.randn(IMAGES, 3, 64, 64),))


@pytest.mark.parametrize("name", MODELS if os.environ.get("TRAINING") else FEW)
def test_it_trains_as_torch_does(name):
    case = build(name)
    translation = translator.translate(case.module.train(), case.args, case.kwargs, dynamic_shapes=None)
    verification = translation.verify(random=0, sizes=0, gradients=True)
    worst = max(row.float64_error or 0.0 for row in verification.outputs)
    print(f"{name}: {verification.summary}; worst {worst:.1e}; {translation.captured.notes}")
    failed = [row for row in verification.outputs if not row.ok]
    assert verification.ok, "\n".join(f"{r.case} {r.name}: {r.float64_error} {r.reason}" for r in failed[:20])
    jax.clear_caches()


def test_what_transformers_draws_from_numpy_is_refused():
    module = hf.Wav2Vec2Model(hf.Wav2Vec2Config(**WAV2VEC2, layerdrop=0.0)).train()
    with pytest.raises(translator.CaptureError, match="numpy's random generator"):
        translator.translate(module, *sound(2, 800), dynamic_shapes=None)
