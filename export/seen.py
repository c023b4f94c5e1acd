"""What a calibration saw in its first batches: enough for the others to be run later."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT
from mixdq.configs.layers import LayerName
from mixdq.configs.ranges import Range


@dataclass(frozen=True, slots=True, config=STRICT)
class Seen:
    """Extremes over all batches up to one.

    Attributes:
        batches: how many.
        bos: row 0 of the text embedding of the first prompt.
        bos_distance: the most that a value of row 0 differed from the first prompt's.
        bos_range: what row 0 ranged over.
        layers: per layer one range, or two for a shortcut that can be split.
    """

    batches: int
    bos: tuple[float, ...]
    bos_distance: float
    bos_range: Range
    layers: Mapping[LayerName, tuple[Range, ...]]
