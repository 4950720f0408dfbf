"""The vision transformer of equimo, with the weights of torchvision's vit_b_16."""

from __future__ import annotations

from equimo.models.vit import VisionTransformer

from benchmarks.ports.renamed import OfImages, filled
from benchmarks.suites import SIDE

BLOCK = {
    "prenorm": "ln_1",
    "norm": "ln_2",
    "attn.qkv.": "self_attention.in_proj_",
    "attn.proj": "self_attention.out_proj",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.3",
}
NAMES = {
    r"patch_embed\.proj": "conv_proj",
    r"global_pos_embed\.weight": "encoder.pos_embedding",
    "cls_token": "class_token",
    **{
        rf"blocks\.0\.blocks\.(\d+)\.{name}": rf"encoder.layers.encoder_layer_\1.{torchs}"
        for name, torchs in BLOCK.items()
    },
    "norm": "encoder.ln",
    "head": "heads.head",
}


def load(path: str) -> OfImages:
    """The model with the tensors in a safetensors file."""
    options = {"dim": 768, "num_heads": 12, "depths": [12], "reg_tokens": 0, "global_pool": "token", "eps": 1e-6}
    return OfImages(
        filled(
            lambda key: VisionTransformer(
                img_size=SIDE, in_channels=3, patch_size=16, act_layer="exactgelu", **options, key=key
            ),
            path,
            NAMES,
        )
    )
