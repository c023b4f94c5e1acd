from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.errors import DigestError, ModelError
from mixdq.configs.layers import LayerName, LayerTable, ModelIdentity
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.ranges import BOS_TOLERANCE, CalibrationRun, Range, RangeTable

_TO_K = LayerName("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k")
_TO_Q = LayerName("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q")
_SHORTCUT = LayerName("up_blocks.0.resnets.0.conv_shortcut")
_W8A8 = Precision(8, 8)


@pytest.fixture
def ranges(table: LayerTable) -> RangeTable:
    layers: dict[LayerName, tuple[Range, ...]] = {layer.name: (Range(-1, 2),) for layer in table}
    layers[_SHORTCUT] = (Range(-8, 1), Range(-0.5, 3))
    return RangeTable(
        model=table.model,
        layers_digest=table.digest,
        calibration=CalibrationRun(4, "d" * 64, 7, (64, 128)),
        bos=(0.0, 800.0, -3.0, 0.0, 1.0),
        bos_change=0.0,
        bos_range=Range(-3, 800),
        layers=layers,
    )


def _plan(
    table: LayerTable, precision: Precision = _W8A8, *, bos_aware: bool = True, split: bool = True
) -> PrecisionPlan:
    return uniform_plan(table, precision, keep=(), protect=(), bos_aware=bos_aware, split_shortcuts=split)


def test_two_ranges_together_span_both() -> None:
    assert Range(-1, 2) | Range(0, 5) == Range(-1, 5)
    assert Range(0, 5) | Range(-1, 2) == Range(-1, 5)
    assert Range(-9, 9) | Range(0, 1) == Range(-9, 9)


def test_a_split_shortcut_has_a_range_for_each_half(table: LayerTable, ranges: RangeTable) -> None:
    halves = ranges.input_ranges(table[_SHORTCUT], _plan(table))
    assert halves == (Range(-8, 1), Range(-0.5, 3))


@pytest.mark.parametrize(("precision", "split"), [(Precision(8, 8), False), (FP16, True)])
def test_a_shortcut_that_is_not_split_spans_both_halves(
    table: LayerTable, ranges: RangeTable, precision: Precision, split: bool
) -> None:
    plan = _plan(table, precision, split=split)
    assert ranges.input_ranges(table[_SHORTCUT], plan) == (Range(-8, 3),)


def test_bos_is_out_of_the_range_where_the_plan_takes_it_out(table: LayerTable, ranges: RangeTable) -> None:
    assert ranges.input_ranges(table[_TO_K], _plan(table)) == (Range(-1, 2),)


def test_bos_is_in_the_range_where_the_plan_leaves_it_in(table: LayerTable, ranges: RangeTable) -> None:
    assert ranges.input_ranges(table[_TO_K], _plan(table, bos_aware=False)) == (Range(-3, 800),)


@pytest.mark.parametrize("bos_aware", [True, False])
def test_bos_is_in_no_range_of_a_layer_that_does_not_read_text(
    table: LayerTable, ranges: RangeTable, bos_aware: bool
) -> None:
    plan = _plan(table, bos_aware=bos_aware)
    assert ranges.input_ranges(table[_TO_Q], plan) == (Range(-1, 2),)


@pytest.mark.parametrize("change", [0.0, BOS_TOLERANCE])
def test_a_bos_row_that_hardly_changes_is_constant(ranges: RangeTable, change: float) -> None:
    assert replace(ranges, bos_change=change).constant_bos() == (0.0, 800.0, -3.0, 0.0, 1.0)


def test_a_bos_row_that_changes_is_refused(ranges: RangeTable) -> None:
    with pytest.raises(ModelError) as refused:
        replace(ranges, bos_change=0.0123).constant_bos()
    message = str(refused.value)
    assert message.startswith("row 0 of tiny's text embedding changes with the prompt (by 0.012 of its max")
    assert message.endswith("use --no-bos-aware")


def test_ranges_fit_the_model_that_they_were_measured_on(table: LayerTable, ranges: RangeTable) -> None:
    ranges.check(table)
    # A renamed folder is still the same model.
    ranges.check(replace(table, model=ModelIdentity("renamed", table.model.digest)))


def test_ranges_of_other_weights_are_refused(table: LayerTable, ranges: RangeTable) -> None:
    retrained = replace(table, model=ModelIdentity("retrained", "b" * 64))
    with pytest.raises(
        DigestError, match=r"on tiny \(aaaaaaaaaaaa\), not on retrained \(bbbbbbbbbbbb\); run `mixdq-compile"
    ):
        ranges.check(retrained)


def test_ranges_of_another_architecture_are_refused(table: LayerTable, ranges: RangeTable) -> None:
    with pytest.raises(DigestError, match="run `mixdq-compile calibrate` on this model"):
        ranges.check(replace(table, layers=table.layers[:-1]))


def test_ranges_that_lack_layers_are_refused_with_the_first_and_their_number(
    table: LayerTable, ranges: RangeTable
) -> None:
    some = {name: both for name, both in ranges.layers.items() if name not in (_TO_K, _TO_Q)}
    with pytest.raises(DigestError, match=rf"the ranges lack {_TO_K} \(of 2 layers\); run"):
        replace(ranges, layers=some).check(table)


@pytest.mark.parametrize(
    ("name", "measured"),
    [(_SHORTCUT, (Range(0, 1),)), (_TO_K, ()), (_TO_K, (Range(0, 1), Range(0, 1)))],
    ids=["half a shortcut", "nothing", "two for one input"],
)
def test_ranges_with_too_few_or_too_many_for_a_layer_are_refused(
    table: LayerTable, ranges: RangeTable, name: LayerName, measured: tuple[Range, ...]
) -> None:
    with pytest.raises(DigestError, match=rf"{name}.*run `mixdq-compile calibrate`"):
        replace(ranges, layers={**ranges.layers, name: measured}).check(table)


def test_ranges_survive_their_file(ranges: RangeTable, tmp_path: Path) -> None:
    uneven = replace(ranges, bos=(0.1, 1 / 3, 1e-30, -2.5e30, 5e-324))
    uneven.write(tmp_path / "ranges.json")
    again = RangeTable.read(tmp_path / "ranges.json")
    assert again == uneven
    assert again.digest == uneven.digest
    assert again.digest != ranges.digest


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"minimum": -8.0', '"minimum": NaN', "minimum: Input should be a finite number"),
        ('"maximum": 800.0', '"maximum": Infinity', "bos_range.maximum: Input should be a finite number"),
        ('"version": 1', '"version": 2', "version: "),
        ('"seed": 7', '"seed": "seven"', "calibration.seed: "),
        ('"seed": 7', '"seed": 7, "mood": "good"', "calibration.mood: "),
        ('"layers": {', '"layers": {}, "others": {', "layers: .* at least 1 item"),
        ('"bos": [', '"bos": [], "others": [', "bos: .* at least 1 item"),
    ],
)
def test_a_malformed_file_is_refused(
    ranges: RangeTable, tmp_path: Path, old: str, new: str, fault: str
) -> None:
    path = tmp_path / "ranges.json"
    ranges.write(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ModelError, match=rf"ranges\.json is not a valid range table: .*{fault}"):
        RangeTable.read(path)
