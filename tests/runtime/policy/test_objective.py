"""The best resolution within an objective."""

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.runtime.policy.objective import best_resolution_for_objective

P95_MS = {512: 133.0, 768: 223.3, 1024: 371.2}


@pytest.mark.parametrize(
    ("objective_ms", "expected"), [(1000, 1024), (371.2, 1024), (300, 768), (223.2, 512), (100, 512)]
)
def test_it_is_the_highest_within_it_or_the_smallest(objective_ms: float, expected: int) -> None:
    assert best_resolution_for_objective(P95_MS, objective_ms) == expected


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no resolution was measured"):
        best_resolution_for_objective({}, 1000)
