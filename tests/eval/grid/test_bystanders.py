from __future__ import annotations

import pytest

from mixdq.eval.grid.bystanders import Processors, busy_seconds, others_between

STAT = "cpu  100 20 30 4000 500 6 7 8 0 0\ncpu0 50 10 15 2000 250 3 3 4 0 0\n"


def test_busy_are_all_columns_but_idle_and_waiting() -> None:
    # By hand: 100 + 20 + 30 + 6 + 7 + 8 = 171 ticks.
    assert busy_seconds(STAT, 100) == pytest.approx(1.71)


def test_others_are_what_was_busy_without_one_s_own_work() -> None:
    before, after = Processors(10.0, 100.0, 5.0), Processors(14.0, 107.0, 8.0)
    assert others_between(before, after) == pytest.approx((7 - 3) / 4)


def test_counters_that_lag_behind_one_s_own_give_nobody() -> None:
    assert others_between(Processors(0.0, 0.0, 0.0), Processors(1.0, 0.99, 1.0)) == 0


def test_without_counters_nobody_counted() -> None:
    assert others_between(None, Processors(1.0, 1.0, 1.0)) is None
    assert others_between(Processors(1.0, 1.0, 1.0), None) is None


@pytest.mark.skipif(Processors.now() is None, reason="there is no /proc/stat")
def test_the_system_s_counters_grow() -> None:
    before, after = Processors.now(), Processors.now()
    assert before is not None
    assert after is not None
    assert after.busy_s >= before.busy_s > 0
    assert after.own_s >= before.own_s > 0
