"""What is served, and what a request may be given."""

import pytest

from mixdq.configs.errors import EvaluationError, RequestError
from mixdq.runtime.policy.points import Menu, Point, make_menu, plain_points


def _menu(*points: tuple[int, float, float]) -> Menu:
    return make_menu(Point(size, utility, (seconds,), (0.0,)) for size, seconds, utility in points)


def test_points_stand_by_their_time() -> None:
    menu = _menu((1024, 0.4, 1.0), (512, 0.1, 0.7), (768, 0.2, 0.85))
    assert [point.resolution for point in menu.points] == [512, 768, 1024]
    assert menu.dominated == ()


def test_a_slower_point_that_is_not_better_is_named() -> None:
    menu = _menu((512, 0.1, 0.7), (640, 0.15, 0.7), (768, 0.2, 0.85), (896, 0.3, 0.8))
    assert [point.resolution for point in menu.points] == [512, 768]
    assert [(found.point.resolution, found.by.resolution) for found in menu.dominated] == [
        (640, 512),
        (896, 768),
    ]
    assert str(menu.dominated[1]) == (
        "896 pixels (300.0 ms, utility 0.8) is no faster and no better than 768 (200.0 ms, utility 0.85): "
        "served only where it is asked for by its size"
    )


def test_a_better_point_of_the_same_time_dominates() -> None:
    menu = _menu((512, 0.1, 0.7), (640, 0.1, 0.8))
    assert [point.resolution for point in menu.points] == [640]


def test_only_auto_adapts() -> None:
    menu = _menu((512, 0.1, 0.7), (640, 0.15, 0.6), (768, 0.2, 0.85), (1024, 0.4, 1.0))

    def sizes(size: int | None, *, downgrade: bool) -> list[int]:
        return [point.resolution for point in menu.allowed(size, downgrade=downgrade)]

    assert sizes(None, downgrade=False) == [512, 768, 1024]
    assert sizes(768, downgrade=False) == [768]
    assert sizes(640, downgrade=False) == [640]
    assert sizes(768, downgrade=True) == [512, 768]
    assert sizes(640, downgrade=True) == [512, 640]
    assert sizes(512, downgrade=True) == [512]


def test_a_size_that_is_not_served_is_refused() -> None:
    with pytest.raises(RequestError, match=r"700 pixels are not served, but 512, 768"):
        _menu((512, 0.1, 0.7), (768, 0.2, 0.85)).allowed(700, downgrade=True)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "no resolution to serve"),
        ([(512, 0.1, 0.7), (512, 0.2, 0.8)], "occurs twice among 512, 512"),
        ([(512, 0.0, 0.7)], "milliseconds above 0, not 0"),
        ([(512, float("nan"), 0.7)], "milliseconds above 0, not nan"),
        ([(512, 0.1, 0.0)], "utility is a number above 0, not 0"),
        ([(0, 0.1, 0.7)], "positive number of pixels, not 0"),
    ],
)
def test_impossible_points_are_refused(points: list[tuple[int, float, float]], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        _menu(*points)


def test_times_and_utilities_are_of_the_same_resolutions() -> None:
    with pytest.raises(EvaluationError, match="768 pixels: a service time is known and no utility"):
        plain_points({512: 0.1, 768: 0.2}, {512: 0.7}, 0.0)
    with pytest.raises(EvaluationError, match="768 pixels: a utility is known and no service time"):
        plain_points({512: 0.1}, {512: 0.7, 768: 0.8}, 0.0)


def test_noise_is_a_share_of_the_time() -> None:
    (point,) = plain_points({512: 0.2}, {512: 0.7}, 0.05)
    assert point.variance_s2[0] == pytest.approx(0.01**2)
