"""How a kernel divides its work: tiles by operator and shape, from tables that were tuned for a GPU.

A table is a JSON file, `tables/GPU.json`; `python -m mixdq.compiler.cuda.kernels.tune` makes one. Tables
are looked up by the name of the GPU, and a shape that a table lacks takes the tile of the nearest that it
has. Without a table, as on another GPU, a rule chooses.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from mixdq.configs.errors import TargetError

FEW_ROWS = 128
"""Up to so many rows a product dequantizes its weights itself; above, once before it."""

# Of two or three that run side by side on each of a large GPU's 132 multiprocessors.
_ENOUGH_PROGRAMS = 200
_LONG_SUM = 2560
_MOST_SPLITS = 6


@dataclass(frozen=True, slots=True)
class Tile:
    """What one program of a kernel computes, and how.

    Attributes:
        block_m: rows of the result: tokens or pixels.
        block_n: columns of the result: output channels; in GEGLU, of either half.
        block_k: inputs a step.
        warps: warps of 32 threads a program.
        stages: steps whose operands are on their way at once.
        group: programs of neighbouring rows that follow each other, so that they find weights in the cache.
        splits: programs that share a result's sum; with more than one the sums are added afterwards.
        early: whether what ends the sums (scales, biases, residual) is read before them, into registers.
    """

    block_m: int
    block_n: int
    block_k: int
    warps: int
    stages: int
    group: int = 8
    splits: int = 1
    early: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """A kernel's work: a product of [m, k] and [k, n]; a convolution's k is taps times input channels."""

    operator: str
    m: int
    n: int
    k: int

    def distance(self, other: Shape) -> float:
        """How far apart two shapes are, in doublings summed over the sides."""
        return sum(
            abs(math.log2(mine / its))
            for mine, its in ((self.m, other.m), (self.n, other.n), (self.k, other.k))
        )


@dataclass(frozen=True, slots=True)
class TileTable:
    """The tiles that were measured to be the fastest on one GPU.

    Attributes:
        gpu: the GPU's name, as CUDA gives it.
        tiles: by shape.
    """

    gpu: str
    tiles: Mapping[Shape, Tile]

    def find(self, shape: Shape) -> Tile:
        """The tile of `shape`, or of the nearest shape of its operator; by rule if there is none."""
        found = self.tiles.get(shape)
        if found is not None:
            return found
        alike = [one for one in self.tiles if one.operator == shape.operator]
        if not alike:
            return default_tile(shape)
        return self.tiles[min(alike, key=shape.distance)]

    def to_json(self) -> str:
        """The table as it is stored: one line a shape."""
        lines = ",\n".join(
            "  " + json.dumps({**asdict(shape), "tile": asdict(tile)}) for shape, tile in self.tiles.items()
        )
        return f'{{"gpu": {json.dumps(self.gpu)}, "tiles": [\n{lines}\n]}}\n'

    @classmethod
    def parse(cls, text: str, origin: str) -> TileTable:
        """Reads what `to_json` wrote.

        Raises:
            TargetError: it is no table of tiles.
        """
        try:
            raw: Any = json.loads(text)
            tiles = {_shape(entry): Tile(**entry["tile"]) for entry in raw["tiles"]}
            return cls(str(raw["gpu"]), tiles)
        except (KeyError, TypeError, ValueError) as error:
            raise TargetError(
                f"{origin} is no table of kernels' tiles ({error}); "
                "make it again with `python -m mixdq.compiler.cuda.kernels.tune`"
            ) from error

    @classmethod
    def read(cls, path: Path) -> TileTable:
        """Reads a table's file.

        Raises:
            TargetError: it is missing, or no table.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise TargetError(f"no table of kernels' tiles can be read at {path}: {error}") from error
        return cls.parse(text, str(path))


_chosen: ContextVar[TileTable | None] = ContextVar("chosen", default=None)


@contextmanager
def tiles_of(table: TileTable) -> Iterator[None]:
    """Within this context kernels take their tiles from `table`."""
    token = _chosen.set(table)
    try:
        yield
    finally:
        _chosen.reset(token)


def configuration(operator: str, m: int, n: int, k: int) -> Tile:
    """The tile of an operator's work: from the context's table, else from this GPU's, else by rule."""
    table = _chosen.get() or shipped_table(_this_gpu())
    return table.find(Shape(operator, m, n, k))


@cache
def shipped_table(gpu: str) -> TileTable:
    """The table that ships for a GPU; an empty one if there is none."""
    file = files(__package__) / "tables" / f"{gpu.replace(' ', '_')}.json"
    if not file.is_file():
        return TileTable(gpu, {})
    return TileTable.parse(file.read_text(encoding="utf-8"), str(file))


def default_tile(shape: Shape) -> Tile:
    """A tile by rule: on an H200 3 % slower than what tuning finds, over SDXL-Turbo's UNet."""
    rule = {
        "int8_attention": _attention_tile,
        "int8_geglu": _geglu_tile,
        "int8_text_attention": _text_attention_tile,
        "int8_layer_norm": _layer_norm_tile,
        "w8a16_linear": _weight_only_tile,
        "w4a16_linear": _weight_only_tile,
    }
    return rule.get(shape.operator, _product_tile)(shape)


def _product_tile(shape: Shape) -> Tile:
    """The largest of which there are enough; long sums are split where there are few."""
    block_k = _block_k(shape)
    for block_m, block_n in ((128, 128), (64, 128)):
        if _programs(shape, block_m, block_n) >= _ENOUGH_PROGRAMS:
            return Tile(block_m, block_n, block_k, 4, 3)
    few = _programs(shape, 64, 64) <= _ENOUGH_PROGRAMS
    if few and shape.k >= _LONG_SUM and shape.operator in ("int8_linear", "int8_conv2d"):
        splits = round(1.2 * _ENOUGH_PROGRAMS / _programs(shape, 64, 128))
        return Tile(64, 128, block_k, 4, 4, splits=min(max(splits, 2), _MOST_SPLITS))
    return Tile(64, 64, block_k, 4, 4, early=True)


def _geglu_tile(shape: Shape) -> Tile:
    if _programs(shape, 128, 64) >= 2.4 * _ENOUGH_PROGRAMS:
        return Tile(128, 64, _block_k(shape), 4, 3, early=True)
    return Tile(64, 64, _block_k(shape), 4, 3)


def _attention_tile(shape: Shape) -> Tile:
    """Blocks of queries and keys; k counts the keys, of which a text's few fit into one block."""
    if shape.k <= 128:
        return Tile(64, 128 if shape.m <= 512 else 64, 64, 4, 2)
    return Tile(64, 64, 64, 4, 3)


def _text_attention_tile(shape: Shape) -> Tile:
    """Rows of one head: the columns are its width."""
    return Tile(64, 64, _block_k(shape), 4, 3, early=True)


def _layer_norm_tile(shape: Shape) -> Tile:
    """Whole rows: as many threads as read one in two or three steps."""
    return Tile(1, shape.n, 1, 2 if shape.m > _ENOUGH_PROGRAMS * 2 else 4, 1)


def _weight_only_tile(shape: Shape) -> Tile:
    """Weights are the product's first operand, whose blocks Hopper's instructions take by 64 rows."""
    programs = _programs(shape, 64, 64)
    if shape.m <= FEW_ROWS and shape.k >= _LONG_SUM and programs <= _ENOUGH_PROGRAMS / 2:
        return Tile(64, 64, 128, 4, 3, splits=min(round(_ENOUGH_PROGRAMS / programs), _MOST_SPLITS))
    if _programs(shape, 128, 64) >= _ENOUGH_PROGRAMS / 2:
        return Tile(128, 64, _block_k(shape), 4, 2)
    return Tile(64, 64, _block_k(shape), 4, 3)


def _programs(shape: Shape, block_m: int, block_n: int) -> int:
    return math.ceil(shape.m / block_m) * math.ceil(shape.n / block_n)


def _block_k(shape: Shape) -> int:
    return 128 if shape.k % 128 == 0 or shape.k >= _LONG_SUM else 64


@cache
def _this_gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"


def _shape(entry: Mapping[str, Any]) -> Shape:
    return Shape(str(entry["operator"]), int(entry["m"]), int(entry["n"]), int(entry["k"]))
