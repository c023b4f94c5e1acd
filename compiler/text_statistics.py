"""How the text embedding's values are spread: the BOS row against the others (paper, figures 4 and 10)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.files import write_text
from mixdq.configs.ranges import Range

_SHOWN = 8
_BINS_A_DECADE = 4


@dataclass(frozen=True, slots=True, config=STRICT)
class Spread:
    """The values of some rows of the text embedding.

    Attributes:
        histogram: how many magnitudes fall between neighbouring `TextStatistics.edges`.
        channels: the range of each channel.
        channel_ratio: the largest of the channels' absolute maxima over their median: 1 if all are alike.
    """

    histogram: tuple[int, ...]
    channels: tuple[Range, ...]
    channel_ratio: float


@dataclass(frozen=True, slots=True, config=STRICT)
class TextStatistics:
    """The text embedding over some prompts.

    Attributes:
        prompts: what was encoded.
        token_maxima: the absolute maximum of each token, mean over the prompts.
        bos_ratio: that of token 0 over the largest of the others'.
        edges: magnitudes between which the histograms count, four a decade; the first is 0.
        bos: row 0.
        others: rows 1 to 76.
    """

    prompts: tuple[str, ...]
    token_maxima: tuple[float, ...]
    bos_ratio: float
    edges: tuple[float, ...]
    bos: Spread
    others: Spread

    @classmethod
    def of(cls, embeddings: npt.NDArray[np.floating[Any]], prompts: Sequence[str]) -> TextStatistics:
        """The statistics of embeddings `[prompts, tokens, channels]`."""
        magnitudes = np.abs(embeddings).astype(np.float64)
        maxima = magnitudes.max(axis=-1).mean(axis=0)
        edges = _edges(float(magnitudes.max()))
        return cls(
            prompts=tuple(prompts),
            token_maxima=tuple(maxima.tolist()),
            bos_ratio=float(maxima[0] / maxima[1:].max()),
            edges=tuple(edges.tolist()),
            bos=_spread(embeddings[:, :1], edges),
            others=_spread(embeddings[:, 1:], edges),
        )

    def in_words(self) -> str:
        """The maxima of the first tokens, how far token 0 stands out, and how unlike the channels are."""
        first = ", ".join(f"{value:.2f}" for value in self.token_maxima[:_SHOWN])
        return (
            f"text embedding, absolute maximum of each token, mean over {len(self.prompts)} prompts: "
            f"{first}, …; token 0 reaches {self.bos_ratio:.1f} times the largest of the others "
            f"({max(self.token_maxima[1:]):.2f}); largest channel over the median channel: "
            f"{self.bos.channel_ratio:.1f} in token 0, {self.others.channel_ratio:.1f} in the others"
        )

    def write(self, path: Path) -> None:
        """Writes the statistics as JSON."""
        write_text(path, to_json(self))


def _spread(rows: npt.NDArray[np.floating[Any]], edges: npt.NDArray[np.float64]) -> Spread:
    counts, _ = np.histogram(np.abs(rows), bins=edges)
    low, high = rows.min(axis=(0, 1)), rows.max(axis=(0, 1))
    absmax = np.maximum(np.abs(low), np.abs(high))
    return Spread(
        histogram=tuple(counts.tolist()),
        channels=tuple(Range(float(a), float(b)) for a, b in zip(low, high, strict=True)),
        channel_ratio=float(absmax.max() / np.median(absmax)),
    )


def _edges(largest: float) -> npt.NDArray[np.float64]:
    """0, then four magnitudes a decade from 0.001 to above the largest value."""
    decades = np.ceil(np.log10(largest) * _BINS_A_DECADE) / _BINS_A_DECADE
    steps = np.arange(-3 * _BINS_A_DECADE, decades * _BINS_A_DECADE + 1)
    edges: npt.NDArray[np.float64] = np.concatenate([[0.0], 10 ** (steps / _BINS_A_DECADE)])
    edges[-1] = max(edges[-1], largest)
    return edges
