"""The tiles that tuning tries for a shape: those that fit a Hopper GPU and leave few multiprocessors idle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mixdq.compiler.cuda.kernels.tiles import FEW_ROWS, Shape, Tile, default_tile

_MULTIPROCESSORS = 132
_SHARED_BYTES = 227 * 1024
_LONGEST_UNSPLIT = 1024
# Tiles whose threads have registers to spare.
_SMALL = 64 * 64

# Rows, columns, inputs a step, warps, stages.
_LINEAR = (
    (64, 32, 128, 4, 4),
    (64, 64, 64, 4, 5),
    (64, 64, 128, 4, 3),
    (64, 64, 128, 4, 4),
    (64, 64, 256, 4, 3),
    (64, 128, 128, 4, 3),
    (64, 128, 128, 4, 4),
    (64, 256, 128, 4, 3),
    (128, 64, 64, 4, 5),
    (128, 64, 128, 4, 3),
    (128, 64, 128, 4, 4),
    (128, 128, 64, 4, 4),
    (128, 128, 128, 4, 3),
    (128, 128, 128, 8, 3),
    (128, 256, 128, 8, 3),
    (128, 256, 128, 8, 4),
    (256, 128, 128, 8, 3),
    (256, 64, 128, 4, 3),
)
# Of either half.
_GEGLU = (
    (64, 32, 128, 4, 4),
    (64, 64, 128, 4, 3),
    (64, 64, 128, 4, 4),
    (64, 128, 128, 8, 3),
    (128, 32, 128, 4, 3),
    (128, 32, 128, 4, 4),
    (128, 64, 128, 4, 3),
    (128, 64, 128, 8, 3),
    (128, 64, 64, 8, 5),
    (128, 128, 128, 8, 3),
    (256, 64, 128, 8, 3),
)
_WEIGHT_ONLY = (
    (32, 64, 128, 4, 3),
    (32, 64, 128, 4, 4),
    (64, 64, 128, 4, 3),
    (64, 64, 128, 4, 4),
    (64, 128, 128, 8, 3),
    (128, 64, 128, 4, 2),
    (128, 64, 128, 4, 3),
    (128, 128, 128, 8, 2),
    (256, 64, 128, 4, 2),
    (256, 128, 128, 8, 2),
)
# Queries, keys, channels, warps, stages.
_ATTENTION = (
    (64, 64, 64, 4, 2),
    (64, 64, 64, 4, 3),
    (64, 64, 64, 4, 4),
    (64, 128, 64, 4, 2),
    (64, 128, 64, 4, 3),
    (128, 64, 64, 4, 3),
    (128, 64, 64, 8, 2),
    (128, 64, 64, 8, 3),
    (128, 64, 64, 8, 4),
    (128, 128, 64, 8, 2),
    (128, 128, 64, 8, 3),
)
# Queries, a head's channels, inputs a step, warps, stages.
_TEXT_ATTENTION = (
    (64, 64, 128, 4, 3),
    (64, 64, 128, 4, 4),
    (64, 64, 256, 4, 3),
    (64, 64, 64, 4, 5),
    (128, 64, 128, 8, 3),
    (128, 64, 128, 8, 4),
    (128, 64, 128, 4, 3),
)
_ROWS_AND_WARPS = ((1, 1), (1, 2), (1, 4), (1, 8), (2, 2), (2, 4), (4, 4), (4, 8))
_CONVOLUTION = (
    (64, 64, 128, 4, 4),
    (64, 128, 128, 4, 3),
    (64, 128, 128, 4, 4),
    (128, 64, 128, 4, 4),
    (128, 128, 128, 4, 3),
    (128, 256, 128, 8, 3),
    (256, 64, 128, 4, 3),
    (256, 128, 128, 8, 3),
)
_SPLIT = (
    (64, 64, 128, 4, 4),
    (64, 128, 128, 4, 4),
    (128, 128, 128, 4, 3),
)

_CHOICES = {
    "int8_geglu": _GEGLU,
    "int8_conv2d": _CONVOLUTION,
    "w8a16_linear": _WEIGHT_ONLY,
    "w4a16_linear": _WEIGHT_ONLY,
}


def candidates(shape: Shape) -> tuple[Tile, ...]:
    """The tiles worth timing for a shape."""
    if shape.operator == "int8_attention":
        return tuple(Tile(*numbers) for numbers in _ATTENTION if numbers[0] < 2 * shape.m)
    if shape.operator == "int8_text_attention":
        found = [Tile(*numbers) for numbers in _TEXT_ATTENTION]
        return (
            *found,
            *(replace(tile, early=True) for tile in found if tile.block_m * tile.block_n <= _SMALL),
        )
    if shape.operator == "int8_layer_norm":
        return tuple(Tile(rows, shape.n, 1, warps, 1) for rows, warps in _ROWS_AND_WARPS)
    packed = shape.operator in ("w8a16_linear", "w4a16_linear")
    if shape.operator == "int8_group_norm" or (packed and shape.m > FEW_ROWS):
        return (default_tile(shape),)
    choice = _CHOICES.get(shape.operator, _LINEAR)
    tiles = [Tile(*numbers) for numbers in choice]
    found = [tile for tile in tiles if _fits(shape, tile) and _fills(shape, tile)]
    if packed:
        found += [one for tile in found for one in _split(shape, tile) if shape.k > _LONGEST_UNSPLIT]
        return tuple(found)
    if shape.operator == "int8_geglu":
        return (*found, *(replace(tile, early=True) for tile in found))
    found += [replace(tile, early=True) for tile in found if tile.block_m * tile.block_n <= _SMALL]
    if shape.operator in ("int8_linear", "int8_conv2d") and shape.k > _LONGEST_UNSPLIT:
        found += [tile for tile in _splits(shape) if _fits(shape, tile)]
    return tuple(found)


def _splits(shape: Shape) -> Iterator[Tile]:
    """Splits of tiles that alone leave multiprocessors idle, until they fill them about twice."""
    for numbers in _SPLIT:
        yield from _split(shape, Tile(*numbers))


def _split(shape: Shape, tile: Tile) -> Iterator[Tile]:
    programs = _programs(shape, tile)
    for splits in (2, 3, 4, 6):
        enough = programs * splits >= 0.7 * _MULTIPROCESSORS
        if programs * splits <= 2 * _MULTIPROCESSORS and enough:
            yield replace(tile, splits=splits)


def _programs(shape: Shape, tile: Tile) -> int:
    return -(-shape.m // tile.block_m) * -(-shape.n // tile.block_n)


def _fits(shape: Shape, tile: Tile) -> bool:
    rows = tile.block_m * (2 if shape.operator in ("w8a16_linear", "w4a16_linear") else 1)
    columns = tile.block_n * (2 if shape.operator == "int8_geglu" else 1)
    return (rows + columns) * tile.block_k * tile.stages <= _SHARED_BYTES


def _fills(shape: Shape, tile: Tile) -> bool:
    """Neither far too few programs, nor tiny ones for a large product, nor rows that are mostly empty."""
    programs = _programs(shape, tile)
    small = tile.block_m * tile.block_n <= _SMALL
    return (
        programs * 2 >= _MULTIPROCESSORS
        and not (small and programs > 6 * _MULTIPROCESSORS)
        and tile.block_m < 2 * shape.m
    )
