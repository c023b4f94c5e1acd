from __future__ import annotations

import csv
from itertools import product
from pathlib import Path

import pytest

from mixdq.compiler.allocate.allocation import allocate
from mixdq.compiler.allocate.subject import Part, Subject
from mixdq.compiler.allocate.sweep import Point, grid, ratio_sweep, write_points
from mixdq.configs.errors import PlanError
from mixdq.configs.sensitivity import Operand


def _silent(done: int, total: int) -> None:
    assert 0 <= done < total


def _grid(subject: Subject, count: int = 4) -> tuple[Point, ...]:
    return grid(subject, Operand.WEIGHT, count, _silent)


def test_a_grid_has_every_pair_of_budgets_from_the_smallest_width_to_the_largest(subject: Subject) -> None:
    points = _grid(subject)
    pairs = [(point.content_budget, point.quality_budget) for point in points]
    assert pairs == list(product([2.0, 4.0, 6.0, 8.0], [4.0, 4 + 4 / 3, 4 + 8 / 3, 8.0]))
    assert all(point.feasible and point.proven for point in points)


def test_each_point_is_what_the_programmes_give_alone(subject: Subject) -> None:
    for point in _grid(subject)[3::4]:
        found, _ = allocate(
            subject,
            {Part.CONTENT_WEIGHTS: point.content_budget, Part.QUALITY_WEIGHTS: point.quality_budget},
        )
        assert point.mean_bits == pytest.approx(found.mean_bits(Operand.WEIGHT))
        assert point.content_score == pytest.approx(found.score(Part.CONTENT_WEIGHTS))
        assert point.quality_score == pytest.approx(found.score(Part.QUALITY_WEIGHTS))


def test_every_budget_is_solved_once(subject: Subject) -> None:
    totals: list[int] = []
    grid(subject, Operand.ACTIVATION, 5, lambda done, total: totals.append(total))
    assert totals == [10] * 10


def test_no_point_of_the_frontier_is_dominated(subject: Subject) -> None:
    points = _grid(subject, 6)
    best = [point for point in points if point.on_frontier]
    assert 1 < len(best) < len(points)
    for one, other in product(best, points):
        better = other.mean_bits <= one.mean_bits and other.objective >= one.objective
        assert not better or (other.mean_bits, other.objective) == (one.mean_bits, one.objective)


def test_a_sweep_of_ratios_marks_what_can_not_be_kept(subject: Subject) -> None:
    points = ratio_sweep(subject, Operand.WEIGHT, 4.2, (0.5, 1.0, 1.5), _silent)
    assert [point.ratio for point in points] == pytest.approx([0.5, 1.0, 1.5])
    assert [point.feasible for point in points] == [True, True, False]  # quality below 4 bits
    assert not points[2].on_frontier
    assert all(point.mean_bits <= 4.2 for point in points[:2])


def test_a_sweep_is_written_a_point_a_line(subject: Subject, tmp_path: Path) -> None:
    points = _grid(subject)
    write_points(tmp_path / "grid.csv", points)
    with (tmp_path / "grid.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert float(rows[5]["objective"]) == points[5].objective
    assert rows[0]["operand"] == "weight"


def test_a_grid_of_one_budget_is_none(subject: Subject) -> None:
    with pytest.raises(PlanError, match="at least 2"):
        _grid(subject, 1)
