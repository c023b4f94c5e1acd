from __future__ import annotations

from math import comb

import numpy as np
import pytest

from mixdq.compiler.tune.paired import ERROR, Paired, least_runs, summed


def test_the_interval_lies_between_the_sorted_differences_that_the_sign_test_names() -> None:
    full = [100.0] * 10
    candidate = [100.0 + step for step in range(10)]
    # Of ten differences two tails of one each have 2 * (1 + 10) / 1024 = 0.021, of two each 0.109.
    found = Paired.of(full, candidate, 1)
    assert (found.low_us, found.difference_us, found.high_us) == (1.0, 4.5, 8.0)
    assert found.slower


def test_more_comparisons_at_once_widen_the_interval() -> None:
    full, candidate = [100.0] * 30, [100.0 + step for step in range(30)]
    few, many = Paired.of(full, candidate, 1), Paired.of(full, candidate, 794)
    assert few.low_us > many.low_us
    assert few.high_us < many.high_us


def test_drift_that_both_engines_share_is_no_difference() -> None:
    full = [100.0 + 50 * step for step in range(30)]
    candidate = [value + 1.0 for value in full]
    found = Paired.of(full, candidate, 794)
    assert (found.low_us, found.difference_us, found.high_us) == (1.0, 1.0, 1.0)


def test_a_few_disturbed_runs_make_nothing_slower() -> None:
    full = [100.0] * 30
    candidate = [99.0] * 26 + [5000.0] * 4
    assert not Paired.of(full, candidate, 1).slower


def test_equal_engines_are_called_slower_no_oftener_than_promised() -> None:
    random = np.random.default_rng(0)
    layers, measurements = 40, 200
    wrong = sum(
        any(
            Paired.of(list(random.gamma(2, 10, 30)), list(random.gamma(2, 10, 30)), layers).slower
            for _ in range(layers)
        )
        for _ in range(measurements)
    )
    assert wrong / measurements <= ERROR


@pytest.mark.parametrize("comparisons", [1, 264, 794])
def test_the_least_runs_are_just_enough(comparisons: int) -> None:
    runs = least_runs(comparisons)
    assert 2 * comb(runs, 0) / 2**runs <= ERROR / comparisons < 2 * comb(runs, 0) / 2 ** (runs - 1)
    assert Paired.of([1.0] * runs, [2.0] * runs, comparisons).slower


def test_differences_of_several_resolutions_add_up() -> None:
    parts = [Paired.of([10.0] * 20, [12.0] * 20, 1), Paired.of([10.0] * 20, [9.0] * 20, 1)]
    assert summed(parts) == (1.0, 1.0)
