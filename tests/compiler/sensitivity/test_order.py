"""Orders that no machine could carry out are refused before any work."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mixdq.compiler.sensitivity.order import SensitivityOrder, check_mixdq, parse_widths
from mixdq.configs.errors import RequestError
from mixdq.configs.sensitivity import Operand


def test_widths_are_sorted_and_either_operand_may_be_left_out() -> None:
    assert parse_widths("8,2, 4,4", "none") == {Operand.WEIGHT: (2, 4, 8)}
    assert parse_widths("None", "3") == {Operand.ACTIVATION: (3,)}


@pytest.mark.parametrize("text", ["", "1,2", "4,9", "4;8", "4.5"])
def test_what_are_no_widths_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match=r"--activation-widths .*2 to 8 bits"):
        parse_widths("8", text)


def test_both_operands_left_out_are_no_measurement() -> None:
    with pytest.raises(RequestError, match="both operands are left out"):
        parse_widths("none", "none")


def test_mixdqs_files_need_their_three_widths() -> None:
    check_mixdq({Operand.WEIGHT: (2, 3, 4, 8)})
    with pytest.raises(RequestError, match="--activation-widths lacks 2, 8"):
        check_mixdq({Operand.WEIGHT: (2, 4, 8), Operand.ACTIVATION: (3, 4)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda order: replace(order, precision="bfloat16"), "--precision is one of float32, float16"),
        (lambda order: replace(order, batch=0), "--batch 0 is out of bounds"),
        (lambda order: replace(order, sample=0), "--sample 0 is no number of layers"),
        (lambda order: replace(order, resolution=60), "resolution 60 is not a multiple"),
    ],
)
def test_bounds(
    order: SensitivityOrder, change: Callable[[SensitivityOrder], SensitivityOrder], words: str
) -> None:
    with pytest.raises(RequestError, match=words):
        change(order)


def test_what_is_kept_lies_beside_the_table(order: SensitivityOrder) -> None:
    names = {order.journal.name, order.ranges_file.name}
    assert names == {"sensitivity.json.journal", "sensitivity.ranges.json"}
    assert {order.journal.parent, order.ranges_file.parent} == {order.out.parent}
