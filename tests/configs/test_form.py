from __future__ import annotations

from dataclasses import replace

import pytest

from mixdq.configs.errors import PlanError
from mixdq.configs.form import Form
from mixdq.configs.layers import Kind, LayerName, LayerSpec
from mixdq.configs.precision import FP8, FP16, Precision

LINEAR = LayerSpec(LayerName("to_q"), Kind.LINEAR, (8, 96), has_bias=True, split=None, macs={})
SHORTCUT = LayerSpec(LayerName("s"), Kind.CONVOLUTION, (4, 6, 3, 3), has_bias=True, split=4, macs={})


@pytest.mark.parametrize(
    ("text", "precision", "multiplied"),
    [
        ("float/float", FP16, 16),
        ("int8:channel/int8", Precision(8, 8), 8),
        ("int8:channel/uint8", Precision(8, 8), 8),
        ("int8:tensor/float", Precision(8, 16), 16),
        ("int4:block128/float", Precision(4, 16), 16),
        ("int4:channel/int8", Precision(4, 8), 8),
        ("int2:channel/float", Precision(2, 16), 16),
        ("fp8:tensor/fp8", FP8, 8),
    ],
)
def test_a_form_prints_as_it_parses_and_answers_one_precision(
    text: str, precision: Precision, multiplied: int
) -> None:
    form = Form.parse(text)
    assert str(form) == text
    assert form.precision == precision
    assert form.multiplied_bits == multiplied


@pytest.mark.parametrize(
    "text",
    [
        *("", "int8", "int8/int8", "float:channel/float", "float/int8", "int8:channel/fp8"),
        *("fp8:tensor/float", "int3:channel/int8", "int8:block17/int8", "int8:channel/int4"),
    ],
)
def test_what_is_no_form_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="is no form"):
        Form.parse(text)


def test_bytes_are_those_of_the_weight_and_of_its_scales() -> None:
    # 8 x 96 = 768 weights; scales of two bytes: one, 8, 8 x 2 and 8 x 3.
    expected = {
        "float/float": 1536,
        "int8:tensor/int8": 768 + 2,
        "int8:channel/int8": 768 + 16,
        "int4:channel/float": 384 + 16,
        "int4:block64/float": 384 + 32,
        "int4:block32/float": 384 + 48,
        "int2:channel/float": 192 + 16,
    }
    found = {text: Form.parse(text).bytes(LINEAR, float_bytes=2) for text in expected}
    assert found == expected


def test_an_odd_number_of_packed_weights_takes_a_byte_more() -> None:
    odd = LayerSpec(LayerName("odd"), Kind.LINEAR, (3, 5), has_bias=False, split=None, macs={})
    assert Form.parse("int4:channel/float").bytes(odd, float_bytes=2) == 8 + 6


def test_the_halves_of_a_split_shortcut_have_scales_of_their_own_in_the_targets_type() -> None:
    # 4 x 6 x 9 = 216 weights, four channels twice.
    assert Form.parse("int8:channel/uint8").bytes(SHORTCUT, float_bytes=4, parts=2) == 216 + 32
    assert Form.parse("int8:channel/uint8").bytes(SHORTCUT, float_bytes=4) == 216 + 16
    assert Form.parse("float/float").bytes(SHORTCUT, float_bytes=4, parts=2) == 864


def test_blocks_fit_layers_whose_inputs_they_divide() -> None:
    assert Form.parse("int4:block32/float").fits(LINEAR)
    assert not Form.parse("int4:block64/float").fits(LINEAR)
    assert Form.parse("int4:channel/float").fits(LINEAR)
    assert Form.parse("int4:block32/float").fits(replace(LINEAR, split=64))
    assert not Form.parse("int4:block32/float").fits(replace(LINEAR, split=48))


def test_packed_weights_fill_whole_bytes_in_both_halves_of_a_split_shortcut() -> None:
    odd = LayerSpec(LayerName("odd"), Kind.LINEAR, (3, 5), has_bias=False, split=None, macs={})
    assert not Form.parse("int4:channel/float").fits(odd)
    assert Form.parse("int8:channel/float").fits(odd)
    even = replace(odd, weight_shape=(3, 6))
    assert Form.parse("int4:channel/float").fits(even)
    assert not Form.parse("int2:channel/float").fits(even)
    assert not Form.parse("int4:channel/float").fits(replace(even, split=3))
