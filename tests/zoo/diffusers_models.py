"""The diffusers models, at small configurations."""

from __future__ import annotations

import torch

from tests.zoo.case import Case, model, perturb_norms


@model("unet2d_condition")
def unet2d_condition() -> Case:
    """The network of Stable Diffusion: down and up blocks with and without cross-attention."""
    from diffusers import UNet2DConditionModel

    module = UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=24,
        attention_head_dim=8,
        norm_num_groups=8,
    )

    def call(batch: int, size: int, length: int):
        sample = torch.randn(batch, 4, size, size)
        timestep = torch.arange(batch) * 100 + 7
        return (sample, timestep, torch.randn(batch, length, 24)), {}

    return Case(perturb_norms(module), *call(2, 16, 5), other_inputs=(call(3, 24, 6),))


@model("autoencoder_kl")
def autoencoder_kl() -> Case:
    """Encodes, takes the mode of the posterior, and decodes."""
    from diffusers import AutoencoderKL

    module = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
    )

    def call(batch: int, size: int):
        return (torch.randn(batch, 3, size, size),), {}

    return Case(perturb_norms(module), *call(2, 32), other_inputs=(call(3, 48),))


@model("dit")
def dit() -> Case:
    """DiTTransformer2DModel: patches, adaptive norms from the timestep and the class."""
    from diffusers import DiTTransformer2DModel

    module = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        norm_num_groups=8,
        sample_size=16,
        patch_size=2,
        num_embeds_ada_norm=10,
    )

    def call(batch: int):
        keywords = {
            "timestep": torch.arange(batch) * 100 + 7,
            "class_labels": torch.arange(batch) + 1,
        }
        return (torch.randn(batch, 4, 16, 16),), keywords

    return Case(perturb_norms(module), *call(2), other_inputs=(call(3),))
