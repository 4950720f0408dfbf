"""Models at the size people use them, for benchmarks and the length of the emitted source."""

from __future__ import annotations

import transformers as hf

from tests.zoo.case import Case, model
from tests.zoo.text import tokens


def text_case(module, vocabulary: int) -> Case:
    """A call with the two arguments that people give."""
    return Case(module, (), tokens(2, 16, vocabulary), (((), tokens(3, 24, vocabulary)),))


@model("bert_base", large=True)
def bert_base() -> Case:
    """BertModel at its default configuration: twelve layers."""
    config = hf.BertConfig()
    return text_case(hf.BertModel(config), config.vocab_size)


@model("gpt2_base", large=True)
def gpt2_base() -> Case:
    """GPT2Model at its default configuration: twelve layers."""
    config = hf.GPT2Config()
    return text_case(hf.GPT2Model(config), config.vocab_size)


@model("llama_deep", large=True)
def llama_deep() -> Case:
    """LlamaForCausalLM with its default 32 layers, narrow."""
    config = hf.LlamaConfig(vocab_size=1000, hidden_size=64, intermediate_size=128, num_attention_heads=4)
    return text_case(hf.LlamaForCausalLM(config), config.vocab_size)
