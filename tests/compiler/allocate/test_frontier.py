from __future__ import annotations

import random

import pytest

from mixdq.compiler.allocate.frontier import frontier


def _dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@pytest.mark.parametrize("seed", range(20))
def test_no_point_of_the_frontier_is_dominated_and_every_other_one_is_or_is_a_copy(seed: int) -> None:
    draw = random.Random(seed)
    points = [(float(draw.randint(0, 9)), float(draw.randint(0, 9))) for _ in range(40)]
    found = frontier(points)
    chosen = [points[index] for index in found]
    assert not any(_dominates(other, point) for point in chosen for other in points)
    for number, point in enumerate(points):
        if number not in found:
            assert point in chosen or any(_dominates(other, point) for other in chosen)
    assert len(set(chosen)) == len(chosen)
    assert chosen == sorted(chosen)


def test_of_equal_points_the_first_is_taken() -> None:
    assert frontier([(2.0, 1.0), (1.0, 1.0), (1.0, 1.0), (3.0, 5.0)]) == (1, 3)


def test_no_points_have_no_frontier() -> None:
    assert frontier([]) == ()
