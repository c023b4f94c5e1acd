"""Statistics of the text embedding, worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from mixdq.compiler.text_statistics import TextStatistics


def _statistics() -> TextStatistics:
    embeddings = np.zeros((2, 3, 4), dtype=np.float32)
    embeddings[:, 0] = [800.0, 1.0, -1.0, 0.5]
    embeddings[0, 1] = [1.0, -2.0, 1.0, 0.5]
    embeddings[1, 2] = [4.0, 0.5, 1.0, 0.0]
    return TextStatistics.of(embeddings, ["a", "b"])


def test_maxima_are_means_over_the_prompts() -> None:
    statistics = _statistics()
    assert statistics.token_maxima == (800.0, 1.0, 2.0)
    assert statistics.bos_ratio == 400.0


def test_channel_ratio_is_largest_over_median() -> None:
    statistics = _statistics()
    assert statistics.bos.channel_ratio == 800.0
    # The channels' absolute maxima are 4, 2, 1 and 0.5, their median is 1.5.
    assert statistics.others.channel_ratio == pytest.approx(4 / 1.5)
    assert [(r.minimum, r.maximum) for r in statistics.others.channels] == [
        (0, 4),
        (-2, 0.5),
        (0, 1),
        (0, 0.5),
    ]


def test_histograms_count_every_value_once() -> None:
    statistics = _statistics()
    assert sum(statistics.bos.histogram) == 2 * 4
    assert sum(statistics.others.histogram) == 2 * 2 * 4
    assert len(statistics.edges) == len(statistics.bos.histogram) + 1
    assert statistics.edges[0] == 0
    assert statistics.edges[-1] >= 800
    # 0.5 and the zeros lie below 1; 1 is an edge, and belongs to the bin above it.
    one = next(index for index, edge in enumerate(statistics.edges) if edge == pytest.approx(1.0))
    assert sum(statistics.bos.histogram[:one]) == 2


def test_the_file_holds_all_of_it(tmp_path: Path) -> None:
    _statistics().write(tmp_path / "text.json")
    written = json.loads((tmp_path / "text.json").read_text())
    assert written["bos_ratio"] == 400.0
    assert written["prompts"] == ["a", "b"]
    assert len(written["others"]["channels"]) == 4


def test_the_words_name_the_outlier() -> None:
    assert "token 0 reaches 400.0 times the largest of the others (2.00)" in _statistics().in_words()
