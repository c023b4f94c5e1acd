"""The figures of a simulation, worked out by hand."""

import pytest

from mixdq.runtime.policy.points import make_menu, plain_points
from mixdq.runtime.policy.static import Static
from mixdq.runtime.simulate.calls import Call
from mixdq.runtime.simulate.results import make_row
from mixdq.runtime.simulate.simulator import simulate
from mixdq.runtime.simulate.trace import Trace

from .conftest import MakeSetup

EXACT = make_menu(plain_points({512: 0.1, 768: 0.3}, {512: 0.5, 768: 0.75}, 0.0))


def test_every_figure_of_five_requests(make_setup: MakeSetup) -> None:
    # Served at 0 (0.1 s), 0.1 (0.3 s, late), at 1 (0.1 s); the third and the fourth find a full queue.
    calls = [Call(0.0), Call(0.0, size=768), Call(0.0), Call(0.05), Call(1.0)]
    setup = make_setup(9, menu=EXACT, objective_s=0.35, count=1)
    record = simulate(setup, Static(EXACT.points[0]), Trace("by hand", tuple(calls)))
    row = make_row("by hand", 4.0, "static 512", record, EXACT, 1)
    assert (row.requests, row.refused, row.shed, row.late) == (5, 2, 0, 1)
    assert row.done_share == pytest.approx(2 / 5)
    assert row.late_share == pytest.approx(1 / 3)
    assert row.mean_utility == pytest.approx((0.5 + 0.75 + 0.5) / 3)
    assert row.value == pytest.approx((0.5 + 0.5) / 5)
    assert row.p50_ms == pytest.approx(100.0)
    # Of 100, 100 and 400 ms, nine tenths of the way from the second to the third.
    assert row.p95_ms == pytest.approx(370.0)
    assert row.mean_wait_ms == pytest.approx(100.0 / 3)
    assert row.goodput_per_s == pytest.approx(2 / 1.1)
    assert row.busy_share == pytest.approx(0.5 / 1.1)
    assert row.switches == 2
    assert row.resolution_shares == pytest.approx({512: 2 / 3, 768: 1 / 3})


def test_without_a_picture_there_are_no_times(make_setup: MakeSetup) -> None:
    setup = make_setup(9, menu=EXACT, count=0)
    record = simulate(setup, Static(EXACT.points[0]), Trace("by hand", (Call(0.0),)))
    row = make_row("by hand", 0.0, "static 512", record, EXACT, 1)
    assert (row.refused, row.p95_ms, row.mean_utility, row.mean_wait_ms) == (1, None, None, None)
    assert (row.late_share, row.goodput_per_s, row.value) == (0.0, 0.0, 0.0)
