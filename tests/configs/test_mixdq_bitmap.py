from __future__ import annotations

from pathlib import Path

import pytest

from mixdq.configs.errors import PlanError
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.mixdq_format.bitmap import BitMap, bitmaps_of_plan, plan_of_bitmaps
from mixdq.configs.plan import uniform_plan
from mixdq.configs.precision import FP8, FP16, Precision

_BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
_WEIGHTS = f"""\
model.conv_in: 8
model.{_BLOCK}.attn1.to_q: 4
model.{_BLOCK}.attn2.to_k: 2
model.{_BLOCK}.ff.net.2: 4
model.up_blocks.0.resnets.0.conv_shortcut: 8
"""
_ACTIVATIONS = f"""\
model.{_BLOCK}.attn1.to_q: 8
model.{_BLOCK}.attn2.to_k: 8
model.{_BLOCK}.ff.net.2: 4
"""


def _read(tmp_path: Path, text: str) -> BitMap:
    path = tmp_path / "map.yaml"
    path.write_text(text)
    return BitMap.read(path)


@pytest.mark.parametrize("text", [_WEIGHTS, _WEIGHTS.replace("model.", ""), "b: 4\na: 8\n"])
def test_a_map_that_is_read_and_written_keeps_every_byte(tmp_path: Path, text: str) -> None:
    made = _read(tmp_path, text)
    made.write(tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_text() == text
    assert made.prefixed == text.startswith("model.")


def test_a_pair_of_maps_becomes_a_plan_and_the_same_bytes_again(tmp_path: Path, table: LayerTable) -> None:
    weights, activations = _read(tmp_path, _WEIGHTS), _read(tmp_path, _ACTIVATIONS)
    plan = plan_of_bitmaps(
        weights, activations, table, model_digest=None, bos_aware=True, split_shortcuts=False
    )
    plan.check(table)
    assert plan[LayerName("conv_in")] == Precision(8, 16)
    assert plan[LayerName(f"{_BLOCK}.ff.net.2")] == Precision(4, 4)
    assert (plan.bos_aware, plan.split_shortcuts) == (True, False)
    assert tuple(bitmap.to_yaml() for bitmap in bitmaps_of_plan(plan)) == (_WEIGHTS, _ACTIVATIONS)
    bare, _ = bitmaps_of_plan(plan, prefixed=False)
    assert bare.to_yaml() == _WEIGHTS.replace("model.", "")


def test_a_layer_in_full_precision_is_named_with_16_bits_and_comes_back(
    tmp_path: Path, table: LayerTable
) -> None:
    plan = uniform_plan(
        table,
        Precision(8, 8),
        keep=(LayerName("conv_in"),),
        protect=(),
        bos_aware=True,
        split_shortcuts=True,
    )
    weights, activations = bitmaps_of_plan(plan)
    assert weights.bits[LayerName("conv_in")] == 16
    assert LayerName("conv_in") not in activations.bits
    again = plan_of_bitmaps(
        weights, activations, table, model_digest=None, bos_aware=True, split_shortcuts=True
    )
    assert again == plan
    assert again[LayerName("conv_in")] == FP16


def test_maps_have_no_word_for_fp8(table: LayerTable) -> None:
    plan = uniform_plan(table, FP8, keep=(), protect=(), bos_aware=True, split_shortcuts=True)
    with pytest.raises(PlanError, match="FP8 to conv_in"):
        bitmaps_of_plan(plan)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model.conv_in: 9\n", "9 bits"),
        ("model.conv_in: yes\n", "True bits"),
        ("model.conv_in: 8.0\n", r"8\.0 bits"),
        ("model.conv_in: [2, 4]\n", r"\[2, 4\] bits"),
        ("model.conv_in: 8\nconv_out: 8\n", "before 1 of 2 names, but not before conv_out"),
        ("model.conv_in: 8\nmodel.conv_in: 4\n", "occurs twice"),
        ("{}\n", "names no layer"),
        ("- conv_in\n", "not a valid"),
    ],
)
def test_a_malformed_map_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        _read(tmp_path, text)


@pytest.mark.parametrize(
    ("weights", "activations", "said"),
    [
        (_WEIGHTS.replace("model.conv_in: 8\n", ""), _ACTIVATIONS, "no bits for conv_in"),
        (_WEIGHTS + "model.conv_out: 8\n", _ACTIVATIONS, "weights names conv_out"),
        (_WEIGHTS, _ACTIVATIONS + "model.conv_out: 8\n", "activations names conv_out"),
        (_WEIGHTS.replace("to_q: 4", "to_q: 16"), _ACTIVATIONS, "keep .*to_q's weight in FP16"),
    ],
)
def test_maps_that_do_not_make_a_plan_are_refused(
    tmp_path: Path, table: LayerTable, weights: str, activations: str, said: str
) -> None:
    with pytest.raises(PlanError, match=said):
        plan_of_bitmaps(
            _read(tmp_path, weights),
            _read(tmp_path, activations),
            table,
            model_digest=None,
            bos_aware=True,
            split_shortcuts=True,
        )
