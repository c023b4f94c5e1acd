"""A model of SDXL's form with few layers, so that all of them are measured within seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixdq.compiler.sensitivity.order import SensitivityOrder
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.sensitivity import Operand
from mixdq.export.source import open_source


@pytest.fixture(scope="session")
def few_layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained diffusers folder with two blocks a side of one resnet each; read only."""
    import torch
    from diffusers import UNet2DConditionModel

    from mixdq.export.emoji_turbo.architecture import Architecture, build_generator, build_vae
    from mixdq.export.emoji_turbo.bos import plant_bos
    from mixdq.export.emoji_turbo.folder import write_folder
    from mixdq.export.emoji_turbo.noise_path import open_noise_path
    from mixdq.export.emoji_turbo.tokenizer import train_tokenizer

    shape = Architecture(
        unet_channels=(32, 32, 32),
        transformer_layers=(1, 1, 1),
        head_width=32,
        norm_groups=8,
        text_widths=(32, 32),
        text_layers=1,
        pooled_width=32,
        time_id_width=32,
        vocabulary=600,
        vae_channels=(8, 8, 8, 8),
    )
    generator = build_generator(shape, 0)
    config = {
        **generator.unet.config,
        "block_out_channels": (32, 32),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 1),
        "attention_head_dim": (1, 1),
        "layers_per_block": 1,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator.unet = UNet2DConditionModel.from_config(config)
    plant_bos(generator.text_encoder, generator.text_encoder_2, generator.unet)
    open_noise_path(generator.unet)
    folder = tmp_path_factory.mktemp("models") / "few"
    vocab, merges = train_tokenizer(["a red apple", "a sleepy cat"], shape.vocabulary)
    write_folder(folder, generator, build_vae(shape, 0), vocab, merges)
    return folder


@pytest.fixture
def order(few_layers: Path, tmp_path: Path) -> SensitivityOrder:
    """One prompt, one width of each operand, on the CPU; into a folder of the test's own."""
    return SensitivityOrder(
        source=open_source(ModelChoice(str(few_layers))),
        prompts=("a red apple",),
        seed=3,
        resolution=64,
        widths={Operand.WEIGHT: (4,), Operand.ACTIVATION: (8,)},
        bos_aware=True,
        every_metric=False,
        ranges=None,
        device="cpu",
        precision="float32",
        batch=None,
        compile_decoder=False,
        layers=(),
        sample=None,
        out=tmp_path / "sensitivity.json",
        restart=False,
    )
