"""The quantizable layers of emoji-turbo, and of SDXL-Turbo from its public configuration."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mixdq.configs.errors import RequestError
from mixdq.configs.layers import Group, Kind, LayerName, ModelIdentity, Role
from mixdq.export.layers import list_layers
from mixdq.export.source import SourceModel

SDXL_TURBO = {
    "in_channels": 4,
    "out_channels": 4,
    "sample_size": 64,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [320, 640, 1280],
    "layers_per_block": 2,
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "use_linear_projection": True,
}


@pytest.fixture(scope="module")
def sdxl() -> SourceModel:
    configs: dict[str, dict[str, Any]] = {
        "unet": SDXL_TURBO,
        "vae": {"block_out_channels": [128, 256, 512, 512], "latent_channels": 4},
        "text_encoder": {"max_position_embeddings": 77},
    }
    return SourceModel(Path(), ModelIdentity("sdxl-turbo", "0" * 64), configs, {})


def test_sdxl_turbo_has_794_layers_in_the_papers_groups(sdxl: SourceModel) -> None:
    table = list_layers(sdxl, [512])
    assert len(table) == 794
    assert Counter(layer.kind for layer in table) == {Kind.LINEAR: 743, Kind.CONVOLUTION: 51}
    assert Counter(layer.group for layer in table) == {Group.CONTENT: 420, Group.QUALITY: 374}
    total = sum(layer.weights for layer in table)
    assert total == 2_565_880_320
    content = sum(layer.weights for layer in table if layer.group is Group.CONTENT)
    assert content / total == pytest.approx(0.6915, abs=5e-5)


def test_sdxl_turbo_has_140_text_projections_of_166400_values(sdxl: SourceModel) -> None:
    widths = Counter(layer.weight_shape[0] for layer in list_layers(sdxl, [512]) if layer.reads_text)
    assert widths == {640: 20, 1280: 120}
    assert sum(width * count for width, count in widths.items()) == 166_400


def test_sdxl_turbo_has_nine_shortcuts_to_split(sdxl: SourceModel) -> None:
    splits = [layer.split for layer in list_layers(sdxl, [512]) if layer.split is not None]
    assert splits == [1280] * 4 + [640] * 3 + [320] * 2


def test_macs_of_a_convolution_and_of_a_projection_by_hand(emoji: SourceModel) -> None:
    table = list_layers(emoji, [128, 256])
    first = table[LayerName("conv_in")]
    channels = first.weight_shape[0]
    assert first.macs == {128: channels * 4 * 9 * 16 * 16, 256: channels * 4 * 9 * 32 * 32}
    key = next(layer for layer in table if layer.reads_text)
    out, wide = key.weight_shape
    assert key.macs == {128: 77 * out * wide, 256: 77 * out * wide}


def test_emoji_turbo_has_every_role_and_up_shortcuts_that_split_at_the_features_from_below(
    emoji: SourceModel,
) -> None:
    table = list_layers(emoji, [128])
    assert 250 <= len(table) <= 450
    assert {layer.role for layer in table} == set(Role)
    blocks = emoji.configs["unet"]["block_out_channels"]
    shortcut = table[LayerName("up_blocks.2.resnets.2.conv_shortcut")]
    assert (shortcut.split, shortcut.weight_shape[1]) == (blocks[0], 2 * blocks[0])
    assert all(layer.split is None for layer in table if not layer.name.startswith("up_blocks"))


def test_a_resolution_off_the_step_is_refused(emoji: SourceModel) -> None:
    with pytest.raises(RequestError, match="not a multiple of 32"):
        list_layers(emoji, [130])
