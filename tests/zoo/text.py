"""Inputs of text models."""

from __future__ import annotations

import torch


def token_ids(batch: int, length: int, vocabulary: int) -> torch.Tensor:
    """(batch, length) int64 token ids, none of which is a special one (below 4)."""
    return torch.randint(4, vocabulary, (batch, length))


def attention_mask(batch: int, length: int) -> torch.Tensor:
    """(batch, length) int64: 1 for a token, 0 for padding at the end, one place more in every row after the first."""
    return (torch.arange(length) < length - torch.arange(batch)[:, None]).long()


def tokens(batch: int, length: int, vocabulary: int) -> dict[str, torch.Tensor]:
    """The keyword arguments of one call of a text encoder."""
    return {"input_ids": token_ids(batch, length, vocabulary), "attention_mask": attention_mask(batch, length)}
