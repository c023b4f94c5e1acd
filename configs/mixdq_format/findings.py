"""What MixDQ's files say wrongly about themselves: mean bits in a name, one content under two names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mixdq.configs.errors import PlanError
from mixdq.configs.layer_sizes import input_elements
from mixdq.configs.layers import LayerSpec, LayerTable
from mixdq.configs.mixdq_format.bitmap import BitMap
from mixdq.configs.precision import FLOAT_BITS
from mixdq.configs.sensitivity import Operand

_BITS_IN_NAME = re.compile(r"(?:^|_)(\d+)\.(\d+)$")


@dataclass(frozen=True, slots=True)
class Claim:
    """Mean bits as a file's name states them, and as the file holds them.

    Attributes:
        stated: of `act_7.77.yaml` 7.77.
        decimals: how many the name gives.
        held: the mean over the quantized layers; see `mean_bits`.
    """

    stated: float
    decimals: int
    held: float

    @property
    def is_true(self) -> bool:
        """Whether the mean, rounded or cut off to as many decimals, is what the name says.

        Both occur: of the released maps one holds 4.0064 bits and is called 4.00, one 7.7764 and 7.77.
        """
        scaled = self.held * 10**self.decimals
        wanted = round(self.stated * 10**self.decimals)
        return wanted in (round(scaled), int(scaled + 1e-9))


def claim_of(
    path: Path, bitmap: BitMap, operand: Operand, table: LayerTable, resolution: int
) -> Claim | None:
    """What a file's name claims; None if it claims nothing."""
    match = _BITS_IN_NAME.search(path.stem)
    if match is None:
        return None
    held = mean_bits(bitmap, operand, table, resolution)
    return Claim(float(f"{match[1]}.{match[2]}"), len(match[2]), held)


def mean_bits(bitmap: BitMap, operand: Operand, table: LayerTable, resolution: int) -> float:
    """Mean over the layers that the map quantizes; NaN if there are none.

    Weights count by their number, activations by the values that the layer reads at a resolution: so the
    released `act_7.77.yaml` holds 7.776 bits (by the number of weights it would be 7.815).
    """
    quantized = [table[name] for name, bits in bitmap.bits.items() if bits != FLOAT_BITS]
    sizes = {layer.name: _size(layer, operand, resolution) for layer in quantized}
    total = sum(sizes.values())
    return sum(size * bitmap.bits[name] for name, size in sizes.items()) / total if total else float("nan")


def operand_of(path: Path) -> Operand:
    """Which operand's bits a map holds, as its name says, or else its folder's: the file itself does not.

    Raises:
        PlanError: neither says.
    """
    words = {"weight": Operand.WEIGHT, "act": Operand.ACTIVATION}
    for word, operand in words.items():
        if path.stem.lower().startswith(word):
            return operand
    folder = path.absolute().parent.name.lower()
    if folder not in words:
        raise PlanError(
            f"{path} does not say whether its bits are of weights or of activations; name it weight_*.yaml "
            "or act_*.yaml, or put it into a folder weight/ or act/"
        )
    return words[folder]


def same_content(maps: Mapping[Path, BitMap]) -> tuple[tuple[Path, ...], ...]:
    """The files that say the same of every layer, in whatever order, two or more together."""
    groups: dict[frozenset[tuple[str, int]], list[Path]] = {}
    for path, bitmap in maps.items():
        groups.setdefault(frozenset(bitmap.bits.items()), []).append(path)
    return tuple(tuple(paths) for paths in groups.values() if len(paths) > 1)


def _size(layer: LayerSpec, operand: Operand, resolution: int) -> int:
    return layer.weights if operand is Operand.WEIGHT else input_elements(layer, resolution)
