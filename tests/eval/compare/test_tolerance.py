"""The bounds by hand."""

import numpy as np
import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.eval.compare.tolerance import NOT_FINITE_DB, BlockFigures, Bounds, bounds, ratio_db


def test_the_error_of_fp16_is_added_to_the_plan_s_own() -> None:
    # Twice the energy is 3.01 dB.
    assert bounds(own_db=30.0, float_db=30.0, spread_db=20.0).planned_db == pytest.approx(26.9897)
    assert bounds(own_db=30.0, float_db=None, spread_db=20.0).planned_db == 30.0
    assert bounds(own_db=30.0, float_db=NOT_FINITE_DB, spread_db=20.0).planned_db == 30.0


def test_the_least_ratio_to_the_simulation_is_its_kernel_spread_less_three_decibels() -> None:
    assert bounds(own_db=30.0, float_db=None, spread_db=28.0).least_db == 25.0
    assert bounds(own_db=30.0, float_db=None, spread_db=130.0).least_db == 47.0


def test_where_fp16_kernels_overflow_the_spread_is_that_of_two_errors_of_the_plan_s_size() -> None:
    found = bounds(own_db=30.0, float_db=None, spread_db=NOT_FINITE_DB).least_db
    assert found == pytest.approx(30 - 3.0103 - 3)
    assert bounds(own_db=None, float_db=None, spread_db=NOT_FINITE_DB).least_db == 47.0


@pytest.mark.parametrize(("full_db", "within"), [(27.9, False), (28.1, True), (31.9, True), (32.1, False)])
def test_a_ratio_to_full_precision_that_is_too_good_is_outside_as_well(full_db: float, within: bool) -> None:
    assert BlockFigures(full_db, 40.0, Bounds(planned_db=30.0, least_db=25.0)).within is within


def test_above_fifty_decibels_all_ratios_to_full_precision_are_equal() -> None:
    assert BlockFigures(49.0, 60.0, Bounds(planned_db=120.0, least_db=47.0)).within
    assert not BlockFigures(47.9, 60.0, Bounds(planned_db=120.0, least_db=47.0)).within


@pytest.mark.parametrize("full_db", [None, 30.0])
def test_a_ratio_to_the_simulation_below_its_bound_is_outside(full_db: float | None) -> None:
    planned = None if full_db is None else 30.0
    assert BlockFigures(full_db, 25.0, Bounds(planned, least_db=25.0)).within
    assert not BlockFigures(full_db, 24.9, Bounds(planned, least_db=25.0)).within


def test_an_output_with_nan_is_outside_whatever_is_planned() -> None:
    ratio = ratio_db("", np.array([1.0, np.nan]), np.ones(2))
    assert ratio == NOT_FINITE_DB
    assert not BlockFigures(ratio, ratio, Bounds(planned_db=-100.0, least_db=-100.0)).within


def test_outputs_of_different_shapes_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"mid_block has the shape \(2,\), expected \(3,\)"):
        ratio_db("mid_block", np.ones(2), np.ones(3))
