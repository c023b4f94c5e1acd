"""The shapes of the reference model: SDXL's topology at a hundredth of its size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from mixdq.export.emoji_turbo.bos import plant_bos
from mixdq.export.emoji_turbo.noise_path import open_noise_path
from mixdq.export.emoji_turbo.tokenizer import LENGTH


@dataclass(frozen=True, slots=True)
class Architecture:
    """Every width and depth that is a choice; all else is SDXL-Turbo's configuration."""

    unet_channels: tuple[int, int, int]
    transformer_layers: tuple[int, int, int]
    head_width: int
    norm_groups: int
    text_widths: tuple[int, int]
    text_layers: int
    pooled_width: int
    time_id_width: int
    vocabulary: int
    vae_channels: tuple[int, int, int, int]

    @property
    def text_width(self) -> int:
        """Width of the concatenated text embedding."""
        return sum(self.text_widths)


EMOJI_TURBO = Architecture(
    unet_channels=(64, 96, 160),
    transformer_layers=(1, 1, 2),
    head_width=32,
    norm_groups=16,
    text_widths=(96, 128),
    text_layers=3,
    pooled_width=128,
    time_id_width=32,
    vocabulary=1600,
    vae_channels=(32, 48, 64, 96),
)
"""The shipped model: 17.8 million parameters, 36 MB in FP16."""


class Generator(nn.Module):
    """What the second stage trains: both text encoders and the UNet."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.text_encoder = CLIPTextModel(_text_config(shape, 0))
        self.text_encoder_2 = CLIPTextModelWithProjection(_text_config(shape, 1))
        self.unet = _unet(shape)


def build_generator(shape: Architecture, seed: int) -> Generator:
    """A new generator: BOS outlier planted, noise path open, everything else random from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(shape)
        plant_bos(generator.text_encoder, generator.text_encoder_2, generator.unet)
        open_noise_path(generator.unet)
    return generator


def build_vae(shape: Architecture, seed: int) -> AutoencoderKL:
    """A new autoencoder, random from `seed`: 8 times smaller latents of 4 channels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoencoderKL(
            in_channels=3,
            out_channels=3,
            latent_channels=4,
            block_out_channels=shape.vae_channels,
            layers_per_block=1,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            norm_num_groups=shape.norm_groups,
            sample_size=128,
            scaling_factor=1.0,
            # Its activations stay far below FP16's maximum, unlike SDXL's: no upcast is needed.
            force_upcast=False,
        )


def build_scheduler() -> EulerAncestralDiscreteScheduler:
    """SDXL-Turbo's scheduler; its one step starts at t = 999, sigma = 14.6146."""
    return EulerAncestralDiscreteScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        timestep_spacing="trailing",
        steps_offset=1,
    )


def _text_config(shape: Architecture, which: int) -> CLIPTextConfig:
    width = shape.text_widths[which]
    return CLIPTextConfig(
        vocab_size=shape.vocabulary,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=shape.text_layers,
        num_attention_heads=width // shape.head_width,
        max_position_embeddings=LENGTH,
        hidden_act=("quick_gelu", "gelu")[which],
        projection_dim=shape.pooled_width,
        bos_token_id=shape.vocabulary - 2,
        eos_token_id=shape.vocabulary - 1,
        pad_token_id=(shape.vocabulary - 1, 0)[which],
    )


def _unet(shape: Architecture) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=shape.unet_channels,
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=shape.transformer_layers,
        # diffusers reads this as the number of heads, as in SDXL's own configuration.
        attention_head_dim=tuple(width // shape.head_width for width in shape.unet_channels),
        cross_attention_dim=shape.text_width,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=shape.time_id_width,
        projection_class_embeddings_input_dim=shape.pooled_width + 6 * shape.time_id_width,
        norm_num_groups=shape.norm_groups,
    )
