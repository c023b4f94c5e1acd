from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mixdq.compiler.allocate.subject import PAPER_WIDTHS, Part
from mixdq.compiler.allocate.words import (
    parse_budgets,
    parse_memory,
    parse_ratios,
    parse_widths,
    read_sensitivities,
)
from mixdq.configs.errors import PlanError
from mixdq.configs.layers import LayerTable
from mixdq.configs.sensitivity import SensitivityTable


def test_words_are_parsed() -> None:
    assert parse_budgets(["content.weight=3.36", "quality.activation=8"]) == {
        Part.CONTENT_WEIGHTS: 3.36,
        Part.QUALITY_ACTIVATIONS: 8.0,
    }
    assert parse_widths(["quality.weight=8,2,4"]) == {**PAPER_WIDTHS, Part.QUALITY_WEIGHTS: (2, 4, 8)}
    assert parse_ratios("0.5:1.5:3") == (0.5, 1.0, 1.5)
    assert parse_memory("1.5GiB") == 1.5
    assert parse_memory("512 MiB") == 0.5
    assert parse_memory("1GB") == pytest.approx(0.931322575)


@pytest.mark.parametrize(
    ("parse", "words", "said"),
    [
        (parse_budgets, ["content=3"], "no programme; write one of content.weight"),
        (parse_budgets, ["content.weight"], "names no value"),
        (parse_budgets, ["content.weight=many"], "expected a number"),
        (parse_budgets, ["content.weight=nan"], "positive, finite"),
        (parse_budgets, ["content.weight=3", "content.weight=4"], "two budgets"),
        (parse_widths, ["content.weight=2,x"], "whole numbers"),
        (parse_memory, "1.6", "a number and a unit"),
        (parse_memory, "big", "a number and a unit"),
        (parse_ratios, "1:2", "from:to:count"),
        (parse_ratios, "2:1:5", "do not ascend"),
        (parse_ratios, "1:2:1", "from:to:count"),
    ],
)
def test_words_that_mean_nothing_are_refused(
    parse: Callable[[object], object], words: object, said: str
) -> None:
    with pytest.raises(PlanError, match=said):
        parse(words)


def test_own_and_mixdqs_sensitivities_are_not_mixed(
    layers: LayerTable, sensitivity: SensitivityTable, tmp_path: Path
) -> None:
    own = tmp_path / "sensitivity.json"
    sensitivity.write(own)
    assert read_sensitivities([own], layers) == sensitivity
    with pytest.raises(PlanError, match="give it alone"):
        read_sensitivities([own, tmp_path / "weight_sqnr.yaml"], layers)
