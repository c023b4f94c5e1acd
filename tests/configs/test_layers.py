from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.errors import ModelError, StorageError
from mixdq.configs.layers import (
    Group,
    Kind,
    LayerName,
    LayerSpec,
    LayerTable,
    ModelIdentity,
    Role,
    parse_layer_name,
)

_BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0"


def _spec(name: str, kind: Kind = Kind.LINEAR) -> LayerSpec:
    return LayerSpec(LayerName(name), kind, (2, 2), has_bias=False, split=None, macs={})


@pytest.mark.parametrize(
    ("name", "role", "group"),
    [
        (f"{_BLOCK}.attn2.to_q", Role.CROSS_ATTENTION, Group.CONTENT),
        (f"{_BLOCK}.attn2.to_out.0", Role.CROSS_ATTENTION, Group.CONTENT),
        (f"{_BLOCK}.ff.net.0.proj", Role.FEED_FORWARD, Group.CONTENT),
        (f"{_BLOCK}.ff.net.2", Role.FEED_FORWARD, Group.CONTENT),
        (f"{_BLOCK}.attn1.to_v", Role.SELF_ATTENTION, Group.QUALITY),
        (f"{_BLOCK}.attn1.to_out.0", Role.SELF_ATTENTION, Group.QUALITY),
        ("down_blocks.1.attentions.0.proj_in", Role.OTHER, Group.QUALITY),
        ("time_embedding.linear_1", Role.OTHER, Group.QUALITY),
        # Whole components count, not letters inside them.
        ("diff_blocks.0.attn1.to_q", Role.SELF_ATTENTION, Group.QUALITY),
        ("buffer.attn1_ff.to_q", Role.OTHER, Group.QUALITY),
        ("blocks.attn21.to_k", Role.OTHER, Group.QUALITY),
    ],
)
def test_a_linear_layer_is_filed_by_the_parts_of_its_name(name: str, role: Role, group: Group) -> None:
    assert (_spec(name).role, _spec(name).group) == (role, group)


@pytest.mark.parametrize("name", ["conv_in", "down_blocks.0.resnets.0.conv_shortcut", "diff.conv"])
def test_a_convolution_outside_of_attention_is_of_the_quality_group(name: str) -> None:
    layer = _spec(name, Kind.CONVOLUTION)
    assert (layer.role, layer.group) == (Role.CONVOLUTION, Group.QUALITY)


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        (f"{_BLOCK}.attn2.to_k", True),
        (f"{_BLOCK}.attn2.to_v", True),
        (f"{_BLOCK}.attn2.to_q", False),
        (f"{_BLOCK}.attn1.to_k", False),
        (f"{_BLOCK}.attn2.to_k.lora", False),
        (f"{_BLOCK}.crossattn2.to_k", False),
    ],
)
def test_only_k_and_v_of_cross_attention_read_the_text(name: str, reads: bool) -> None:
    assert _spec(name).reads_text is reads


@pytest.mark.parametrize("text", ["conv_in", "unet.conv_in", "model.conv_in", "model.unet.conv_in"])
def test_layer_names_lose_the_prefixes_of_other_tools(text: str) -> None:
    assert parse_layer_name(text) == "conv_in"


def test_prefixes_are_taken_off_the_front_only() -> None:
    assert parse_layer_name("blocks.unet.conv") == "blocks.unet.conv"
    assert parse_layer_name("unet_conv") == "unet_conv"


def test_weights_are_counted_without_the_bias(table: LayerTable) -> None:
    assert [layer.weights for layer in table] == [36, 30, 40, 20, 24]


def test_a_layer_is_found_by_its_name(table: LayerTable) -> None:
    assert len(table) == 5
    assert table[LayerName("conv_in")] is next(iter(table))


def test_the_digest_is_the_same_for_other_weights_and_resolutions(table: LayerTable) -> None:
    other = replace(
        table,
        model=ModelIdentity("other", "b" * 64),
        layers=tuple(replace(layer, macs={32: 1}) for layer in table),
    )
    assert other.digest == table.digest
    assert len(table.digest) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"name": LayerName("conv_out")},
        {"kind": Kind.LINEAR},
        {"weight_shape": (4, 1, 3, 3)},
        {"split": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_digest_differs_for_another_architecture(table: LayerTable, change: dict[str, object]) -> None:
    first, *rest = table.layers
    other = replace(table, layers=(replace(first, **change), *rest))  # type: ignore[arg-type]
    assert other.digest != table.digest


def test_the_digest_differs_when_a_layer_is_missing_or_moved(table: LayerTable) -> None:
    shorter = replace(table, layers=table.layers[:-1])
    turned = replace(table, layers=table.layers[::-1])
    assert len({table.digest, shorter.digest, turned.digest}) == 3


def test_a_table_survives_its_file(table: LayerTable, tmp_path: Path) -> None:
    table.write(tmp_path / "layers.json")
    assert LayerTable.read(tmp_path / "layers.json") == table
    assert LayerTable.read(tmp_path / "layers.json").digest == table.digest


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "layers.json"
    path.write_text('{"layers": []}')
    with pytest.raises(ModelError, match=r"layers\.json is not a valid layer table: model: Field required"):
        LayerTable.read(path)
    with pytest.raises(StorageError, match="does not exist"):
        LayerTable.read(tmp_path / "absent.json")


def test_a_table_that_names_a_layer_twice_or_none_is_refused(table: LayerTable, tmp_path: Path) -> None:
    path = tmp_path / "layers.json"
    table.write(path)
    second = table.layers[1].name
    path.write_text(path.read_text().replace(table.layers[3].name, second))
    with pytest.raises(ModelError, match=rf"valid layer table: layers: .*the layer {second} occurs 2 times"):
        LayerTable.read(path)
    path.write_text('{"model": {"name": "tiny", "digest": "a"}, "layers": []}')
    with pytest.raises(ModelError, match=r"valid layer table: layers: .* at least 1 item"):
        LayerTable.read(path)


def test_a_table_of_another_version_is_refused(table: LayerTable, tmp_path: Path) -> None:
    path = tmp_path / "layers.json"
    table.write(path)
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(ModelError, match=r"layers\.json is not a valid layer table: version: .*1"):
        LayerTable.read(path)


def test_rows_hold_what_is_derived_beside_what_is_stored(table: LayerTable) -> None:
    row = table.rows()[1]
    assert row == {
        "name": "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k",
        "kind": "linear",
        "weight_shape": [6, 5],
        "has_bias": True,
        "split": None,
        "macs": {"64": 10, "128": 40},  # as in JSON, where keys are strings
        "role": "cross-attention",
        "group": "content",
        "weights": 30,
    }
