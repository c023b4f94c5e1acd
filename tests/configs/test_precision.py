from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from mixdq.configs.errors import PlanError
from mixdq.configs.precision import FP8, FP16, Precision

LEGAL = [f"W{weight}A{activation}" for weight in range(2, 9) for activation in (*range(2, 9), 16)]


@pytest.mark.parametrize("text", [*LEGAL, "FP16", "FP8"])
def test_every_precision_prints_as_it_parses(text: str) -> None:
    assert str(Precision.parse(text)) == text


def test_every_precision_is_another() -> None:
    assert len({Precision.parse(text) for text in [*LEGAL, "FP16", "FP8"]}) == 7 * 8 + 2


def test_sixteen_bits_are_floating_point() -> None:
    assert Precision.parse("W16A16") == FP16 == Precision(16, 16)
    assert str(FP16) == "FP16"


def test_fp8_is_not_w8a8() -> None:
    assert Precision(8, 8) != FP8
    assert str(Precision(8, 8)) == "W8A8"


@pytest.mark.parametrize(
    ("text", "weight", "activation"),
    [("W8A8", True, True), ("W4A16", True, False), ("FP16", False, False), ("FP8", True, True)],
)
def test_a_precision_knows_what_it_quantizes(text: str, weight: bool, activation: bool) -> None:
    precision = Precision.parse(text)
    assert (precision.quantizes_weight, precision.quantizes_activation) == (weight, activation)


@pytest.mark.parametrize(
    "text", ["", "W8", "A8", "w8a8", "W8A8 ", "W8A8\n", "W8A-8", "W8.0A8", "INT8", "FP32", "fp16"]
)
def test_a_text_that_names_no_precision_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="is no precision: write W8A8, W4A16, FP16 or FP8"):
        Precision.parse(text)


@pytest.mark.parametrize("bits", [-8, 0, 1, 9, 15, 17, 32])
def test_a_width_that_does_not_exist_is_refused_for_either_operand(bits: int) -> None:
    with pytest.raises(PlanError, match=f"{bits} is no weight width: use 2 to 8 bits, or 16"):
        Precision(bits, 16)
    with pytest.raises(PlanError, match=f"{bits} is no activation width: use 2 to 8 bits, or 16"):
        Precision(8, bits)


@pytest.mark.parametrize("text", ["W16A8", "W16A2"])
def test_a_quantized_activation_without_a_quantized_weight_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match=f"{text} is no precision: a quantized activation needs"):
        Precision.parse(text)


@pytest.mark.parametrize("bits", [(4, 4), (8, 16), (16, 16), (4, 8)])
def test_floating_point_of_other_widths_is_refused(bits: tuple[int, int]) -> None:
    with pytest.raises(PlanError, match="floating-point precision is FP8"):
        Precision(*bits, floating=True)


def test_a_document_holds_a_precision_as_its_text() -> None:
    adapter = TypeAdapter(Precision)
    assert adapter.dump_python(Precision(4, 8), mode="json") == "W4A8"
    assert adapter.validate_python("W4A8") == Precision(4, 8)
    assert adapter.validate_python(FP8) is FP8


@pytest.mark.parametrize("data", [8, None, ["W8A8"], "W9A8"])
def test_a_document_with_another_precision_is_refused(data: object) -> None:
    with pytest.raises(ValidationError, match=r"no precision|no weight width"):
        TypeAdapter(Precision).validate_python(data)
