"""The quantizable layers of emoji-turbo, and of SDXL-Turbo from its configuration."""

from collections import Counter

import pytest

from mixdq.compiler.layer_report import in_words
from mixdq.configs.errors import RequestError
from mixdq.configs.layers import Group, Kind, LayerName, LayerTable, Role
from mixdq.configs.model_choice import ModelChoice
from mixdq.export.layers import list_layers
from mixdq.export.source import SourceModel, open_architecture


@pytest.fixture(scope="module")
def sdxl() -> LayerTable:
    """SDXL-Turbo's layers at 512: of its configurations, with no weights anywhere."""
    return list_layers(open_architecture(ModelChoice("sdxl-turbo")), [512])


def test_sdxl_turbo_has_794_layers_in_the_papers_groups(sdxl: LayerTable) -> None:
    table = sdxl
    assert len(table) == 794
    assert in_words(table) == (
        "794 layers: 51 convolution, 743 linear; 420 content, 374 quality; 2,565,880,320 weights"
    )
    assert Counter(layer.kind for layer in table) == {Kind.LINEAR: 743, Kind.CONVOLUTION: 51}
    assert Counter(layer.group for layer in table) == {Group.CONTENT: 420, Group.QUALITY: 374}
    total = sum(layer.weights for layer in table)
    assert total == 2_565_880_320
    content = sum(layer.weights for layer in table if layer.group is Group.CONTENT)
    assert content / total == pytest.approx(0.6915, abs=5e-5)


def test_sdxl_turbo_has_140_text_projections_of_166400_values(sdxl: LayerTable) -> None:
    widths = Counter(layer.weight_shape[0] for layer in sdxl if layer.reads_text)
    assert widths == {640: 20, 1280: 120}
    assert sum(width * count for width, count in widths.items()) == 166_400


def test_sdxl_turbo_has_nine_shortcuts_to_split(sdxl: LayerTable) -> None:
    splits = [layer.split for layer in sdxl if layer.split is not None]
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
