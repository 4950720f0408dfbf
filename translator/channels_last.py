"""Ops of torch on channels-last arrays: each permutes to torch's layout, runs torch's own op, and permutes back.

The layout pass puts them into the graph (see `layout`), so that torch can still run it; op_table/channels_last.py says what they
mean in JAX. `channels_last.conv2d.default` has the schema of `aten.conv2d.default`, and an array of it is [batch, *size, channels].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from translator.statistics import batch_norm

aten = torch.ops.aten

_RANKS = (1, 2, 3)

# Ops whose first argument and whose first result are images; what they take and give besides is not.
NAMES = (
    *(f"conv{n}d.{overload}" for n in _RANKS for overload in ("default", "padding")),
    "conv_transpose1d.default", "conv_transpose2d.input", "conv_transpose3d.input", "convolution.default",
    "batch_norm.default", "instance_norm.default", "group_norm.default",
    *(f"{kind}_pool{n}d.default" for kind in ("max", "avg", "adaptive_avg") for n in _RANKS),
    *(f"upsample_nearest{n}d.{overload}" for n in _RANKS for overload in ("vec", "default")),
    *(f"_upsample_nearest_exact{n}d.{overload}" for n in _RANKS for overload in ("vec", "default")),
    *(f"upsample_{kind}.{overload}" for kind in ("linear1d", "bilinear2d", "trilinear3d", "bicubic2d") for overload in ("vec", "default")),
    *(f"{kind}_pad{n}d.default" for kind in ("reflection", "replication") for n in _RANKS),
    "pad.default", "pixel_shuffle.default", "pixel_unshuffle.default", "channel_shuffle.default",
    "prelu.default", "feature_dropout.default",
)  # fmt: skip

_library = torch.library.Library("channels_last", "DEF")


def permuted(x: torch.Tensor, *, last: bool) -> torch.Tensor:
    """x with its channels moved from the second axis to the last one, or back."""
    return x.movedim(1, -1) if last else x.movedim(-1, 1)


def _on_images(op: Callable) -> Callable:
    def run(x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        result = op(permuted(x, last=False), *args, **kwargs)
        if isinstance(result, tuple):
            return permuted(result[0], last=True).contiguous(), *result[1:]
        return permuted(result, last=True).contiguous()

    return run


def _define(name: str, schema: str, op: Callable) -> None:
    _library.define(schema)
    _library.impl(name, _on_images(op), "CompositeImplicitAutograd")


def _of_aten(name: str) -> torch._ops.OpOverload:
    packet, _, overload = name.partition(".")
    op = getattr(getattr(aten, packet), overload)
    _define(name.removesuffix(".default"), str(op._schema).removeprefix("aten::"), op)
    return getattr(getattr(torch.ops.channels_last, packet), overload)


# The op on channels-last arrays for each op on torch's.
OPS: dict[Any, Any] = {getattr(getattr(aten, n.partition(".")[0]), n.partition(".")[2]): _of_aten(n) for n in NAMES}

_define(
    "batch_norm_training",
    "batch_norm_training(Tensor input, Tensor running_mean, Tensor running_var, Tensor? weight, Tensor? bias, float momentum, "
    "float eps) -> (Tensor, Tensor, Tensor)",
    batch_norm,
)
OPS[batch_norm] = torch.ops.channels_last.batch_norm_training.default

__all__ = ["OPS", "permuted"]
