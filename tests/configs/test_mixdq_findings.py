from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from mixdq.configs.errors import ModelError, PlanError
from mixdq.configs.layer_sizes import input_elements
from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.mixdq_format.bitmap import BitMap, bitmaps_of_plan, plan_of_bitmaps
from mixdq.configs.mixdq_format.findings import Claim, claim_of, mean_bits, operand_of, same_content
from mixdq.configs.mixdq_format.protected import read_protected
from mixdq.configs.mixdq_format.scores import ScoreFile
from mixdq.configs.sensitivity import Operand

_IN, _DOWN, _TO_K = (
    LayerName("conv_in"),
    LayerName("down_blocks.0.downsamplers.0.conv"),
    LayerName("attn2.to_k"),
)


def _layers() -> LayerTable:
    """At 64 pixels conv_in reads 4 x 8 x 8 values, the downsampler as many, to_k 77 tokens of 5 values."""
    return LayerTable(
        ModelIdentity("tiny", "a" * 64),
        (
            LayerSpec(_IN, Kind.CONVOLUTION, (4, 4, 3, 3), True, None, {64: 64 * 144}),
            LayerSpec(_DOWN, Kind.CONVOLUTION, (4, 4, 3, 3), True, None, {64: 16 * 144}),
            LayerSpec(_TO_K, Kind.LINEAR, (6, 5), False, None, {64: 77 * 30}),
        ),
    )


def test_a_layers_input_is_counted_from_its_work() -> None:
    table = _layers()
    assert [input_elements(layer, 64) for layer in table] == [256, 256, 385]
    with pytest.raises(ModelError, match=r"at 128 pixels is unknown.*at 64;"):
        input_elements(table[_IN], 128)


def test_means_weigh_weights_by_number_and_activations_by_size_and_leave_out_full_precision() -> None:
    table = _layers()
    bitmap = BitMap({_IN: 8, _DOWN: 16, _TO_K: 4}, prefixed=True)
    assert mean_bits(bitmap, Operand.WEIGHT, table, 64) == pytest.approx((144 * 8 + 30 * 4) / 174)
    assert mean_bits(bitmap, Operand.ACTIVATION, table, 64) == pytest.approx((256 * 8 + 385 * 4) / 641)
    nothing = BitMap({_IN: 16}, prefixed=True)
    assert math.isnan(mean_bits(nothing, Operand.WEIGHT, table, 64))


def test_a_name_that_claims_other_bits_than_the_file_holds_is_found() -> None:
    table, bitmap = _layers(), BitMap({_IN: 8, _DOWN: 8, _TO_K: 4}, prefixed=True)
    # (288 * 8 + 30 * 4) / 318 = 7.6226
    for name, expected in (("weight_7.62", True), ("weight_7.6", True), ("weight_8.00", False)):
        claim = claim_of(Path(f"{name}.yaml"), bitmap, Operand.WEIGHT, table, 64)
        assert claim is not None
        assert claim.is_true is expected
    assert claim_of(Path("weight_best.yaml"), bitmap, Operand.WEIGHT, table, 64) is None


@pytest.mark.parametrize(
    ("stated", "held", "expected"),
    [
        (4.00, 4.0064, True),
        (7.77, 7.7764, True),
        (7.78, 7.7764, True),
        (7.76, 7.7764, False),
        (8.0, 7.988, False),
    ],
)
def test_a_mean_may_be_rounded_or_cut_off(stated: float, held: float, expected: bool) -> None:
    assert Claim(stated, 2, held).is_true is expected


def test_files_of_one_content_under_several_names_are_found_whatever_their_order() -> None:
    one, other, third = Path("a.yaml"), Path("b.yaml"), Path("c.yaml")
    maps = {
        one: BitMap({_IN: 8, _DOWN: 4}, prefixed=True),
        other: BitMap({_DOWN: 4, _IN: 8}, prefixed=False),
        third: BitMap({_IN: 8, _DOWN: 8}, prefixed=True),
    }
    assert same_content(maps) == ((one, other),)


def test_the_operand_is_what_the_name_says_or_else_the_folder() -> None:
    assert operand_of(Path("act_8.00.yaml")) is Operand.ACTIVATION
    assert operand_of(Path("weight/best.yaml")) is Operand.WEIGHT
    assert operand_of(Path("act/best.yaml")) is Operand.ACTIVATION
    assert operand_of(Path("weight/act_8.00.yaml")) is Operand.ACTIVATION


def test_a_map_that_does_not_say_of_which_operand_it_is_is_refused() -> None:
    with pytest.raises(PlanError, match=r"best\.yaml does not say whether .*; name it weight_\*\.yaml "):
        operand_of(Path("maps/best.yaml"))


_RELEASED = os.environ.get("MIXDQ_RELEASED_FILES")


@pytest.mark.skipif(_RELEASED is None, reason="MIXDQ_RELEASED_FILES names no folder")
def test_the_released_files_keep_every_byte() -> None:
    root = Path(_RELEASED or "")
    for path in [*root.glob("weight/*.yaml"), *root.glob("act/*.yaml")]:
        assert BitMap.read(path).to_yaml() == path.read_text()
    for path in root.glob("sensitivity/*_s*.yaml"):
        assert ScoreFile.read(path).to_yaml() == path.read_text()
    (protected,) = (read_protected(path) for path in root.glob("act/*.pt"))
    weights, activations = (
        BitMap.read(root / "weight/weight_4.00.yaml"),
        BitMap.read(root / "act/act_7.77.yaml"),
    )
    assert set(weights.bits) - set(activations.bits) == set(protected)
    table = LayerTable(
        ModelIdentity("released", "a" * 64),
        tuple(LayerSpec(name, Kind.LINEAR, (1, 1), True, None, {}) for name in weights.bits),
    )
    plan = plan_of_bitmaps(
        weights, activations, table, model_digest=None, bos_aware=True, split_shortcuts=True
    )
    assert bitmaps_of_plan(plan) == (weights, activations)
