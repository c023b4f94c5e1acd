from __future__ import annotations

from collections.abc import Callable

import pytest

from mixdq.compiler.allocate.budgets import Split, split_budgets
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
