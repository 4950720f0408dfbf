"""The transformers architectures, at small configurations built offline."""

from __future__ import annotations

from typing import Any

import torch
import transformers as hf
from torch import nn
from torch.export import Dim

from tests.zoo.case import Case, model, perturb_norms
from tests.zoo.text import attention_mask, token_ids, tokens

VOCABULARY = 99

ENCODER: dict[str, Any] = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    max_position_embeddings=40,
)
GPT2: dict[str, Any] = dict(
    vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=40, bos_token_id=1, eos_token_id=2
)
DECODER: dict[str, Any] = ENCODER | dict(num_key_value_heads=2, head_dim=8)


def text_case(module: nn.Module, vocabulary: int = VOCABULARY) -> Case:
    """A model of one text, and a call with another batch size and length."""
    return Case(perturb_norms(module), (), tokens(2, 9, vocabulary), (((), tokens(3, 12, vocabulary)),))


def sequence_case(module: nn.Module) -> Case:
    """A model of a source and a target text."""

    def call(batch: int, source: int, target: int):
        return (), tokens(batch, source, VOCABULARY) | {"decoder_input_ids": token_ids(batch, target, VOCABULARY)}

    return Case(perturb_norms(module), *call(2, 9, 6), other_inputs=(call(3, 12, 7),))


def image_case(module: nn.Module, size: int, *other_sizes: int, dynamic_shapes: Any = "auto") -> Case:
    """A model of images, called with `pixel_values` of `size`, of another batch size, and of `other_sizes`."""

    def call(batch: int, side: int):
        return (), {"pixel_values": torch.randn(batch, 3, side, side)}

    others = (call(3, size), *(call(2, side) for side in other_sizes))
    return Case(perturb_norms(module), *call(2, size), other_inputs=others, dynamic_shapes=dynamic_shapes)


@model("bert")
def bert() -> Case:
    return text_case(hf.BertModel(hf.BertConfig(**ENCODER)))


@model("roberta")
def roberta() -> Case:
    return text_case(hf.RobertaModel(hf.RobertaConfig(**ENCODER)))


@model("distilbert")
def distilbert() -> Case:
    config = hf.DistilBertConfig(
        vocab_size=VOCABULARY, dim=32, n_layers=2, n_heads=4, hidden_dim=48, max_position_embeddings=40
    )
    return text_case(hf.DistilBertModel(config))


@model("deberta_v2")
def deberta_v2() -> Case:
    """As in DeBERTa-v3: relative attention in both directions, log buckets, shared keys, normed embedding."""
    config = hf.DebertaV2Config(
        **ENCODER,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_buckets=8,
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        position_biased_input=False,
    )
    return text_case(hf.DebertaV2Model(config))


@model("deberta_v2_conv")
def deberta_v2_conv() -> Case:
    """As in DeBERTa-v2: a convolution beside the first layer, token types, keys of their own."""
    config = hf.DebertaV2Config(
        **ENCODER,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        max_relative_positions=16,
        type_vocab_size=2,
        conv_kernel_size=3,
        conv_act="gelu",
    )
    return text_case(hf.DebertaV2Model(config))


@model("gpt2")
def gpt2() -> Case:
    config = hf.GPT2Config(**GPT2)
    return text_case(hf.GPT2Model(config))


@model("gpt2_lm")
def gpt2_lm() -> Case:
    """With the head that shares the embedding's weight."""
    config = hf.GPT2Config(**GPT2)
    return text_case(hf.GPT2LMHeadModel(config))


@model("llama")
def llama() -> Case:
    return text_case(hf.LlamaForCausalLM(hf.LlamaConfig(**DECODER)))


@model("mistral")
def mistral() -> Case:
    """With a sliding window shorter than the text."""
    return text_case(hf.MistralForCausalLM(hf.MistralConfig(**DECODER, sliding_window=4)))


@model("qwen2")
def qwen2() -> Case:
    return text_case(hf.Qwen2ForCausalLM(hf.Qwen2Config(**DECODER)))


@model("gemma2")
def gemma2() -> Case:
    """One layer of each kind: sliding window and full attention; both soft caps."""
    return text_case(hf.Gemma2ForCausalLM(hf.Gemma2Config(**DECODER, sliding_window=4, query_pre_attn_scalar=8)))


@model("t5")
def t5() -> Case:
    config = hf.T5Config(
        vocab_size=VOCABULARY, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0
    )
    return sequence_case(hf.T5ForConditionalGeneration(config))


@model("bart")
def bart() -> Case:
    config = hf.BartConfig(
        vocab_size=VOCABULARY,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=40,
    )
    return sequence_case(hf.BartModel(config))


@model("clip")
def clip() -> Case:
    """Text and vision, and the logits of every pair. The text is pooled at its first end token."""
    end = VOCABULARY - 1
    text = ENCODER | dict(projection_dim=24, bos_token_id=0, eos_token_id=end, pad_token_id=1)
    vision = dict(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        image_size=32,
        patch_size=8,
        projection_dim=24,
    )
    module = hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))

    def call(texts: int, length: int, pictures: int):
        ids = token_ids(texts, length, end)
        ids[torch.arange(texts), length - 1 - torch.arange(texts)] = end
        mask = attention_mask(texts, length)
        return (), {
            "input_ids": ids,
            "attention_mask": mask,
            "pixel_values": torch.randn(pictures, 3, 32, 32),
        }

    return Case(perturb_norms(module), *call(2, 9, 3), other_inputs=(call(3, 12, 4),))


@model("vit")
def vit() -> Case:
    config = hf.ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        image_size=32,
        patch_size=8,
    )
    return image_case(hf.ViTModel(config), 32)


@model("swin")
def swin() -> Case:
    """Windows of 4 on 16 and 8 patches: shifted windows occur in the first stages, whole ones in the last.

    Only the batch is dynamic: with dynamic image sizes, torch.export alone takes minutes.
    """
    config = hf.SwinConfig(
        image_size=64, patch_size=4, embed_dim=16, depths=[2, 2, 2], num_heads=[2, 4, 4], window_size=4
    )
    return image_case(hf.SwinModel(config), 64, dynamic_shapes={"pixel_values": {0: Dim.AUTO}})


@model("convnext")
def convnext() -> Case:
    config = hf.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 2, 2, 1], layer_scale_init_value=0.5)
    return image_case(hf.ConvNextModel(config), 64, 96)


@model("whisper")
def whisper() -> Case:
    """The length of the sound is fixed by the position embedding: twice `max_source_positions` frames."""
    config = hf.WhisperConfig(
        vocab_size=VOCABULARY,
        num_mel_bins=16,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_source_positions=20,
        max_target_positions=40,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    module = hf.WhisperModel(config)

    def call(batch: int, length: int):
        return (), {
            "input_features": torch.randn(batch, 16, 40),
            "decoder_input_ids": token_ids(batch, length, VOCABULARY),
        }

    return Case(perturb_norms(module), *call(2, 6), other_inputs=(call(3, 7),))


WAV2VEC2: dict[str, Any] = dict(
    vocab_size=32,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    conv_dim=(16, 16, 16),
    conv_stride=(5, 2, 2),
    conv_kernel=(10, 3, 2),
    num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=4,
)


def sound(batch: int, length: int):
    """The arguments of one call: (batch, length) samples."""
    return (), {"input_values": torch.randn(batch, length)}


@model("wav2vec2")
def wav2vec2() -> Case:
    """As the base model: a group norm after the first convolution, norms after the attention."""
    module = hf.Wav2Vec2Model(hf.Wav2Vec2Config(**WAV2VEC2))
    return Case(perturb_norms(module), *sound(2, 800), other_inputs=(sound(3, 1000),))


@model("wav2vec2_stable")
def wav2vec2_stable() -> Case:
    """As the large model: a layer norm after every convolution, norms before the attention, padded sounds."""
    config = hf.Wav2Vec2Config(**WAV2VEC2, do_stable_layer_norm=True, feat_extract_norm="layer", conv_bias=True)
    module = hf.Wav2Vec2Model(config)

    def call(batch: int, length: int):
        mask = torch.arange(length) < length - 100 * torch.arange(batch)[:, None]
        return (), sound(batch, length)[1] | {"attention_mask": mask.long()}

    return Case(perturb_norms(module), *call(2, 800), other_inputs=(call(3, 1000),))
