import numpy as np
import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.eval.quality.bootstrap import Bootstrap, mean_interval


def test_the_interval_is_as_wide_as_the_standard_error_says() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    found = mean_interval(values, Bootstrap(4000, 0))
    error = values.std() / 400**0.5
    assert found.mean == values.mean()
    assert found.low == pytest.approx(found.mean - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(found.mean + 1.96 * error, abs=0.1 * error)


def test_the_same_seed_gives_the_same_digits_and_another_one_others() -> None:
    values = np.random.default_rng(1).normal(size=100)
    first = mean_interval(values, Bootstrap(500, 7))
    assert first == mean_interval(values, Bootstrap(500, 7))
    assert first.low != mean_interval(values, Bootstrap(500, 8)).low


def test_equal_values_have_an_interval_of_no_width() -> None:
    found = mean_interval(np.full(9, 0.25), Bootstrap(100, 0))
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_values_without_a_mean_are_refused(values: list[float]) -> None:
    with pytest.raises(EvaluationError, match="should be finite"):
        mean_interval(np.array(values), Bootstrap(100, 0))
