from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mixdq.configs.errors import DigestError, PlanError
from mixdq.configs.layers import LayerName, LayerTable, ModelIdentity
from mixdq.configs.plan import PrecisionPlan, uniform_plan
from mixdq.configs.precision import FP8, FP16, Precision
from mixdq.configs.quantizing import Activations, Clipping

_TO_K = LayerName("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k")
_TO_Q = LayerName("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q")
_FF = LayerName("down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2")
_SHORTCUT = LayerName("up_blocks.0.resnets.0.conv_shortcut")
_CONV_IN = LayerName("conv_in")
_W8A8 = Precision(8, 8)

_FILE = f"""\
layers_digest: {{digest}}
model_digest: null
bos_aware: true
split_shortcuts: true
layers:
  conv_in: W4A16
  {_TO_K}: W4A8
  {_FF}: W4A8
  {_TO_Q}: W4A8
  {_SHORTCUT}: FP16
version: 1
"""


def _plan(
    table: LayerTable,
    precision: Precision = _W8A8,
    *,
    keep: tuple[LayerName, ...] = (),
    protect: tuple[LayerName, ...] = (),
    bos_aware: bool = True,
    split_shortcuts: bool = True,
) -> PrecisionPlan:
    return uniform_plan(
        table,
        precision,
        keep=keep,
        protect=protect,
        bos_aware=bos_aware,
        split_shortcuts=split_shortcuts,
    )


def _mixed(table: LayerTable) -> PrecisionPlan:
    return _plan(table, Precision(4, 8), keep=(_SHORTCUT,), protect=(_CONV_IN,))


def test_a_uniform_plan_is_total_in_the_models_order_and_fits_it(table: LayerTable) -> None:
    plan = _plan(table)
    assert list(plan.layers) == [layer.name for layer in table]
    assert set(plan.layers.values()) == {Precision(8, 8)}
    plan.check(table)


def test_kept_layers_stay_in_floating_point_and_protected_ones_keep_their_activation(
    table: LayerTable,
) -> None:
    plan = _mixed(table)
    assert plan[_SHORTCUT] == FP16
    assert plan[_CONV_IN] == Precision(4, 16)
    assert plan[_TO_Q] == Precision(4, 8)


def test_to_keep_a_layer_outweighs_to_protect_it(table: LayerTable) -> None:
    assert _plan(table, keep=(_CONV_IN,), protect=(_CONV_IN,))[_CONV_IN] == FP16


def test_protected_layers_of_a_floating_point_plan_stay_so(table: LayerTable) -> None:
    assert set(_plan(table, FP16, protect=(_CONV_IN,)).layers.values()) == {FP16}


def test_unknown_layers_to_keep_or_protect_are_refused_by_name(table: LayerTable) -> None:
    with pytest.raises(PlanError) as refused:
        _plan(table, keep=(LayerName("b.conv"),), protect=(LayerName("a.conv"), _CONV_IN))
    assert str(refused.value) == (
        "a.conv, b.conv: no such layer in tiny; `mixdq-compile layers tiny` lists its layers"
    )


def test_missing_layers_are_refused_by_name(table: LayerTable) -> None:
    plan = _plan(table)
    rest = {name: bits for name, bits in plan.layers.items() if name not in (_TO_K, _CONV_IN)}
    with pytest.raises(PlanError, match=f"no entry for {_CONV_IN}, {_TO_K} of tiny; add them"):
        replace(plan, layers=rest).check(table)


def test_unknown_layers_are_refused_by_name(table: LayerTable) -> None:
    plan = _plan(table)
    more = {**plan.layers, LayerName("conv_middle"): FP16}
    with pytest.raises(PlanError, match="names conv_middle, which tiny does not have; `mixdq-compile layers"):
        replace(plan, layers=more).check(table)


def test_ten_names_are_listed_and_the_rest_counted(table: LayerTable) -> None:
    names = [LayerName(f"layer_{number:02}") for number in range(13)]
    with pytest.raises(PlanError, match=r"layer_08, layer_09 and 3 more: no such layer"):
        _plan(table, keep=tuple(names))
    with pytest.raises(PlanError, match=r"layer_08, layer_09: no such layer"):
        _plan(table, keep=tuple(names[:10]))


def test_a_plan_for_other_shapes_is_refused(table: LayerTable) -> None:
    first, *rest = table.layers
    wider = replace(table, layers=(replace(first, weight_shape=(2, 4, 3, 3)), *rest))
    with pytest.raises(DigestError, match=f"another architecture .*{wider.digest[:12]}.*make the plan again"):
        _plan(table).check(wider)


def test_a_plan_serves_all_weights_unless_it_was_searched_on_some(table: LayerTable) -> None:
    retrained = replace(table, model=ModelIdentity("retrained", "b" * 64))
    plan = _plan(table)
    plan.check(retrained)
    searched = replace(plan, model_digest=table.model.digest)
    searched.check(table)
    with pytest.raises(DigestError, match=r"searched on other weights .*retrained .*search again"):
        searched.check(retrained)


def test_mean_bits_are_weighted_by_the_number_of_weights(table: LayerTable) -> None:
    weight, activation = _mixed(table).mean_bits(table)
    # 126 of the 150 weights have 4 bits, 24 have 16; 36 + 24 have activations of 16 bits, 90 of 8.
    assert weight == (126 * 4 + 24 * 16) / 150
    assert activation == (60 * 16 + 90 * 8) / 150
    assert _plan(table, Precision(3, 8)).mean_bits(table) == (3, 8)


Switch = Callable[[LayerTable, Precision, bool], bool]


def _takes_bos_out(table: LayerTable, precision: Precision, on: bool) -> bool:
    return _plan(table, precision, bos_aware=on).takes_bos_out(table[_TO_K])


def _splits(table: LayerTable, precision: Precision, on: bool) -> bool:
    return _plan(table, precision, split_shortcuts=on).splits(table[_SHORTCUT])


@pytest.mark.parametrize("switch", [_takes_bos_out, _splits])
def test_bos_and_shortcuts_are_treated_where_asked_for_and_quantized(
    table: LayerTable, switch: Switch
) -> None:
    assert switch(table, Precision(8, 8), True)
    assert switch(table, Precision(4, 16), True)
    assert not switch(table, Precision(8, 8), False)
    assert not switch(table, FP16, True)


def test_no_other_layer_loses_its_bos_or_is_split(table: LayerTable) -> None:
    plan = _plan(table)
    assert [layer.name for layer in table if plan.takes_bos_out(layer)] == [_TO_K]
    assert [layer.name for layer in table if plan.splits(layer)] == [_SHORTCUT]


def test_a_plans_file_reads_as_it_is_documented(table: LayerTable) -> None:
    assert _mixed(table).to_yaml() == _FILE.format(digest=table.digest)


def test_what_a_plan_chooses_beside_bits_is_in_its_file_and_digest(table: LayerTable, tmp_path: Path) -> None:
    plan = _mixed(table)
    chosen = replace(plan, weight_clipping=Clipping.MSE, activations=Activations.CENTERED)
    more = "weight_clipping: mse\nactivations: centered\n"
    assert chosen.to_yaml() == _FILE.format(digest=table.digest) + more
    assert chosen.digest != plan.digest
    chosen.write(tmp_path / "plan.yaml")
    assert PrecisionPlan.read(tmp_path / "plan.yaml") == chosen


def test_an_unknown_clipping_is_refused(table: LayerTable, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(_FILE.format(digest=table.digest) + "weight_clipping: percentile\n")
    with pytest.raises(PlanError, match=r"weight_clipping.*'minmax' or 'mse'"):
        PrecisionPlan.read(path)


def test_quantized_inputs_are_centered_where_that_is_exact_and_elsewhere_if_asked_for(
    table: LayerTable,
) -> None:
    plan = _plan(table, keep=(_TO_Q,))
    assert not any(plan.centers(layer) for layer in table)
    centered = replace(plan, activations=Activations.CENTERED)
    assert [layer.name for layer in table if centered.centers(layer)] == [_TO_K, _FF, _SHORTCUT]
    padded = replace(plan, activations=Activations.CENTERED_PADDED)
    assert [layer.name for layer in table if padded.centers(layer)] == [_CONV_IN, _TO_K, _FF, _SHORTCUT]
    floats = replace(_plan(table, FP8), activations=Activations.CENTERED)
    assert not any(floats.centers(layer) for layer in table)


def test_a_plan_survives_its_file_byte_for_byte(table: LayerTable, tmp_path: Path) -> None:
    plan = replace(_mixed(table), model_digest="c" * 64)
    plan.write(tmp_path / "plan.yaml")
    again = PrecisionPlan.read(tmp_path / "plan.yaml")
    assert again == plan
    assert again.digest == plan.digest
    again.write(tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_bytes() == (tmp_path / "plan.yaml").read_bytes()


def test_the_digest_changes_with_every_decision(table: LayerTable) -> None:
    plan = _mixed(table)
    others = [
        replace(plan, bos_aware=False),
        replace(plan, split_shortcuts=False),
        replace(plan, model_digest="c" * 64),
        replace(plan, layers={**plan.layers, _TO_Q: Precision(4, 16)}),
    ]
    assert len({plan.digest, *(other.digest for other in others)}) == 5
    assert _mixed(table).digest == plan.digest


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("  conv_in: W4A16\n", "  conv_in: W4A16\n  conv_in: W8A8\n", "the key 'conv_in' occurs twice"),
        ("W4A16", "W9A16", "layers.conv_in: .*9 is no weight width"),
        ("W4A16", "[W4A16]", "layers.conv_in: .*is no precision"),
        ("  conv_in: W4A16\n", "  3: W4A16\n", "layers.3.*: Input should be a valid string"),
        ("bos_aware: true\n", "", "bos_aware: Field required"),
        ("bos_aware: true", "bos_aware: perhaps", "bos_aware: Input should be a valid boolean"),
        ("version: 1", "version: 2", "version: "),
        ("version: 1", "colour: red", "colour: "),
        ("layers:\n", "layers: {}\nothers:\n", "layers: .* at least 1 item"),
    ],
)
def test_a_malformed_file_is_refused(
    table: LayerTable, tmp_path: Path, old: str, new: str, fault: str
) -> None:
    path = tmp_path / "plan.yaml"
    text = _FILE.format(digest=table.digest)
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(PlanError, match=rf"plan\.yaml is not .*{fault}"):
        PrecisionPlan.read(path)
