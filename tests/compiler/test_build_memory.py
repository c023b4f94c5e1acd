from __future__ import annotations

import pytest

from mixdq.compiler.build_memory import memory_need_mib


@pytest.mark.parametrize(
    ("weight_bytes", "profiles", "measured_mib"),
    [
        (732_190_336, 1, 2636),
        (1_456_020_736, 1, 3895),
        (2_575_260_928, 1, 5654),
        (2_575_260_928, 3, 6039),
        (5_136_312_832, 1, 9940),
    ],
)
def test_a_builds_need_is_a_little_above_the_peak_that_was_measured(
    weight_bytes: int, profiles: int, measured_mib: float
) -> None:
    assert measured_mib < memory_need_mib(weight_bytes, profiles) < 1.15 * measured_mib


def test_each_further_resolution_of_one_engine_needs_more() -> None:
    assert memory_need_mib(10**9, profiles=3) - memory_need_mib(10**9) == pytest.approx(600)
