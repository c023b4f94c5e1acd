from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from mixdq.compiler.allocate.amounts import rounded_up
from mixdq.compiler.allocate.budgets import Split, pays_smallest, smallest_mean, split_budgets
from mixdq.compiler.allocate.subject import Part, Subject, parts_of
from mixdq.configs.errors import PlanError
from mixdq.configs.sensitivity import Operand


@pytest.mark.parametrize("operand", list(Operand))
@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.3])
def test_a_split_keeps_the_mean_and_the_ratio(subject: Subject, operand: Operand, ratio: float) -> None:
    content, quality = parts_of(operand)
    split = split_budgets(subject, operand, Split(5.0, ratio))
    assert split[content] / split[quality] == pytest.approx(ratio)
    sizes = {part: subject.total(part) for part in split}
    assert sum(split[part] * sizes[part] for part in split) / sum(sizes.values()) == pytest.approx(5.0)


def test_weights_are_weighed_by_number_and_activations_by_what_is_read(subject: Subject) -> None:
    totals = {part: subject.total(part) for part in Part}
    assert totals == {
        Part.CONTENT_WEIGHTS: 64 + 160 + 512 + 256,
        Part.QUALITY_WEIGHTS: 288 + 64 + 1152 + 288,
        Part.CONTENT_ACTIVATIONS: 16 * 8 + 77 * 20 + 16 * 8 + 16 * 32,
        Part.QUALITY_ACTIVATIONS: 16 * 8 + 64 * 16 + 64 * 8,  # conv_in is protected
    }


@pytest.mark.parametrize(
    ("mean", "ratio"), [(0.0, 1.0), (5.0, -1.0), (float("nan"), 1.0), (5.0, float("inf"))]
)
def test_a_split_of_nothing_is_refused(
    make_subject: Callable[[int], Subject], mean: float, ratio: float
) -> None:
    with pytest.raises(PlanError, match="positive, finite"):
        split_budgets(make_subject(0), Operand.WEIGHT, Split(mean, ratio))


@pytest.mark.parametrize("operand", list(Operand))
def test_the_smallest_mean_as_it_is_named_is_kept_and_none_below(subject: Subject, operand: Operand) -> None:
    draw = random.Random(1)
    for ratio in (0.25, 0.5, 1.0, 2.0, *(draw.uniform(0.1, 3) for _ in range(100))):
        needed = smallest_mean(subject, operand, ratio, parts_of(operand))
        kept = split_budgets(subject, operand, Split(float(rounded_up(needed, 6)), ratio))
        below = split_budgets(subject, operand, Split(float(needed) * (1 - 1e-9), ratio))
        assert pays_smallest(subject, kept)
        assert not pays_smallest(subject, below)


def test_without_a_part_only_the_other_decides(subject: Subject) -> None:
    """992 and 1792 weights: at equal means content's two bits are the mean."""
    assert smallest_mean(subject, Operand.WEIGHT, 1.0, [Part.CONTENT_WEIGHTS]) == 2
    assert smallest_mean(subject, Operand.WEIGHT, 1.0, parts_of(Operand.WEIGHT)) == 4
