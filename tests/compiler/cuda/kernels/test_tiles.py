from __future__ import annotations

from pathlib import Path

import pytest

from mixdq.compiler.cuda.kernels.shapes import RESOLUTIONS, unet_shapes
from mixdq.compiler.cuda.kernels.tiles import (
    Shape,
    Tile,
    TileTable,
    configuration,
    default_tile,
    shipped_table,
    tiles_of,
)
from mixdq.compiler.cuda.kernels.timing import shape_of
from mixdq.configs.errors import TargetError

SMALL, LARGE = Tile(64, 32, 128, 4, 4, splits=2), Tile(128, 256, 128, 8, 3)
TABLE = TileTable(
    "NVIDIA Example",
    {Shape("int8_linear", 256, 1280, 1280): SMALL, Shape("int8_linear", 4096, 5120, 640): LARGE},
)


def test_a_shape_of_the_table_has_its_tile() -> None:
    assert TABLE.find(Shape("int8_linear", 256, 1280, 1280)) == SMALL


def test_another_shape_has_the_tile_of_the_nearest() -> None:
    assert TABLE.find(Shape("int8_linear", 2304, 5120, 640)) == LARGE
    assert TABLE.find(Shape("int8_linear", 300, 1280, 1280)) == SMALL


def test_another_operator_has_a_tile_by_rule() -> None:
    shape = Shape("int8_conv2d", 4096, 1280, 288)
    assert TABLE.find(shape) == default_tile(shape)
    assert default_tile(shape).block_k == 64


def test_a_table_is_what_was_stored(tmp_path: Path) -> None:
    file = tmp_path / "tiles.json"
    file.write_text(TABLE.to_json(), encoding="utf-8")
    assert TileTable.read(file) == TABLE


def test_within_a_context_its_table_is_used() -> None:
    with tiles_of(TABLE):
        assert configuration("int8_linear", 256, 1280, 1280) == SMALL
    assert configuration("int8_linear", 256, 1280, 1280) != SMALL


@pytest.mark.parametrize("text", ["[]", '{"gpu": "x"}', '{"gpu": "x", "tiles": [{"operator": "a"}]}', "{"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tiles.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(TargetError, match="is no table of kernels' tiles"):
        TileTable.read(file)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no table of kernels' tiles can be read"):
        TileTable.read(tmp_path / "none.json")


def test_weight_only_tiles_have_the_rows_that_matrix_instructions_take() -> None:
    for m, n in ((256, 1280), (1024, 10240), (1, 64)):
        assert default_tile(Shape("w4a16_linear", m, n, 1280)).block_n == 64


def test_the_shipped_table_has_every_shape_of_the_unet() -> None:
    table = shipped_table("NVIDIA H200")
    wanted = {shape_of(entry) for resolution in RESOLUTIONS for entry in unet_shapes(resolution)}
    assert wanted <= set(table.tiles)


def test_by_rule_few_tiles_of_long_sums_are_split() -> None:
    assert default_tile(Shape("int8_conv2d", 256, 1280, 11520)).splits == 6
    assert default_tile(Shape("int8_linear", 256, 1280, 1280)).splits == 1
    assert default_tile(Shape("int8_conv2d", 16384, 320, 11520)).splits == 1


def test_by_rule_many_tiles_are_large() -> None:
    assert default_tile(Shape("int8_linear", 1024, 3840, 1280)).block_m == 128
    assert default_tile(Shape("int8_geglu", 1024, 5120, 1280)).block_m == 128


def test_a_gpu_without_a_table_has_tiles_by_rule() -> None:
    shape = Shape("int8_linear", 256, 1280, 1280)
    assert shipped_table("NVIDIA Unheard Of").find(shape) == default_tile(shape)
