from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.errors import DigestError, PlanError
from mixdq.configs.layers import Group, LayerName, LayerTable, ModelIdentity
from mixdq.configs.sensitivity import Measurement, Metric, Operand, SensitivityTable, first_ten

_WIDTHS = (2, 4, 8)


def _sensitivity(table: LayerTable, without: tuple[str, ...] = ()) -> SensitivityTable:
    """SQNR 6 dB a bit, SSIM 1 - 2 ** -bits, of every layer but those named."""
    layers = [layer for layer in table if layer.name not in without]
    sqnr = {layer.name: tuple(6.0 * bits for bits in _WIDTHS) for layer in layers}
    ssim = {
        layer.name: tuple(1 - 2.0**-bits for bits in _WIDTHS)
        for layer in layers
        if layer.group is Group.CONTENT
    }
    return SensitivityTable(
        model=table.model,
        layers_digest=table.digest,
        measurement=Measurement(32, "d" * 64, 0, 512, 1, True),
        widths=dict.fromkeys(Operand, _WIDTHS),
        scores={operand: {Metric.SQNR: sqnr, Metric.SSIM: ssim} for operand in Operand},
    )


def test_a_table_survives_its_file(table: LayerTable, tmp_path: Path) -> None:
    made = _sensitivity(table)
    made.check(table)
    made.write(tmp_path / "sensitivity.json")
    read = SensitivityTable.read(tmp_path / "sensitivity.json")
    assert read == made
    assert read.digest == made.digest
    assert read.score(Operand.WEIGHT, Metric.SQNR, LayerName("conv_in"), 4) == 24.0


def test_missing_layers_are_named(table: LayerTable) -> None:
    with pytest.raises(PlanError, match=r"no weight sqnr_db for conv_in of tiny, 1 of 5 layers"):
        _sensitivity(table, without=("conv_in",)).check(table)


def test_a_content_layer_without_ssim_is_missing(table: LayerTable) -> None:
    full = _sensitivity(table)
    sqnr = {Metric.SQNR: full.scores[Operand.WEIGHT][Metric.SQNR]}
    with pytest.raises(PlanError, match=r"no weight ssim for down_blocks.*2 of 2 layers"):
        replace(full, scores=dict.fromkeys(Operand, sqnr)).check(table)


def test_unknown_layers_are_named(table: LayerTable) -> None:
    smaller = LayerTable(table.model, table.layers[1:])
    with pytest.raises(PlanError, match="names conv_in, which tiny does not have"):
        _sensitivity(table).check(smaller)


def test_a_table_of_other_weights_or_another_architecture_is_refused(table: LayerTable) -> None:
    made = _sensitivity(table)
    other = LayerTable(ModelIdentity("other", "b" * 64), table.layers)
    with pytest.raises(DigestError, match=r"measured on tiny .*not on other"):
        made.check(other)
    wider = (replace(table.layers[0], weight_shape=(2, 4, 3, 3)), *table.layers[1:])
    with pytest.raises(DigestError, match="another architecture"):
        made.check(LayerTable(table.model, wider))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_no_finite_number_is_refused(table: LayerTable, tmp_path: Path, bad: float) -> None:
    path = tmp_path / "sensitivity.json"
    _sensitivity(table).write(path)
    data = json.loads(path.read_text())
    data["scores"]["weight"]["sqnr_db"]["conv_in"][1] = bad
    path.write_text(json.dumps(data))
    with pytest.raises(PlanError, match=r"conv_in.*finite number"):
        SensitivityTable.read(path)


@pytest.mark.parametrize(
    ("widths", "said"), [([2, 4], "3 scores"), ([4, 2, 8], "ascending"), ([2, 4, 9], "2 to 8")]
)
def test_other_widths_than_the_scores_are_refused(
    table: LayerTable, tmp_path: Path, widths: list[int], said: str
) -> None:
    path = tmp_path / "sensitivity.json"
    _sensitivity(table).write(path)
    data = json.loads(path.read_text())
    data["widths"]["weight"] = widths
    path.write_text(json.dumps(data))
    with pytest.raises(PlanError, match=said):
        SensitivityTable.read(path)


def test_ten_names_are_enough() -> None:
    names = [LayerName(f"layer{number:02}") for number in range(12)]
    assert first_ten(names).endswith("layer09 and 2 more")
