"""What the policies are worth: one GPU, 5 % noise, an objective of one second.

The bounds are those of `docs/serving.md` at 20,000 requests a point; 6,000 here, with the same seed for all
policies.
"""

from random import Random

import pytest

from mixdq.runtime.policy.deadline import Deadline
from mixdq.runtime.policy.points import Menu, make_menu, plain_points
from mixdq.runtime.policy.prices import Problem
from mixdq.runtime.policy.request import Outcome
from mixdq.runtime.policy.static import Static
from mixdq.runtime.policy.thresholds import Thresholds
from mixdq.runtime.simulate.calls import Call, Gamma, Pattern, Peaks, Poisson
from mixdq.runtime.simulate.results import Row, make_row
from mixdq.runtime.simulate.simulator import simulate
from mixdq.runtime.simulate.trace import Trace

from .conftest import SERVICE_S, UTILITIES, MakeSetup


def _deadline(menu: Menu, workers: int = 1) -> Deadline:
    return Deadline(Problem(menu, 1.0, workers, 2.0), 0.001, 0.05)


@pytest.mark.parametrize(
    ("rate", "share", "utility"),
    [(1.0, 0.999, 0.99), (3.0, 0.995, 0.90), (6.0, 0.98, 0.75), (8.0, 0.95, 0.70), (10.0, 0.85, 0.70)],
)
def test_the_deadline_policy_is_in_time_and_gives_the_utility_there_is(
    menu: Menu, make_setup: MakeSetup, rate: float, share: float, utility: float
) -> None:
    record = simulate(make_setup(6000), _deadline(menu), Poisson(rate))
    row = make_row("poisson", rate, "deadline", record, menu, 1)
    assert row.done_share >= share
    assert row.mean_utility is not None
    assert row.mean_utility >= utility - 1e-9
    assert row.late_share < 0.001


def test_thresholds_miss_the_objective_where_the_deadline_policy_keeps_it(
    menu: Menu, make_setup: MakeSetup
) -> None:
    for rate, most in ((3.0, 0.8), (6.0, 0.6), (10.0, 0.01)):
        thresholds, deadline = (
            simulate(make_setup(6000), policy, Poisson(rate))
            for policy in (Thresholds(menu.points, (2, 5), 1), _deadline(menu))
        )
        rows = [make_row("", rate, "", record, menu, 1) for record in (thresholds, deadline)]
        assert rows[0].done_share < most < rows[1].done_share


def test_ten_times_too_many_are_survived_and_over_within_two_objectives(
    menu: Menu, make_setup: MakeSetup
) -> None:
    def calls(rate: float, start_s: float, end_s: float) -> list[Call]:
        random, found, now_s = Random(0), [], start_s
        while (now_s := now_s + random.expovariate(rate)) < end_s:
            found.append(Call(now_s))
        return found

    before, after = calls(3.0, 0.0, 20.0) + calls(88.0, 20.0, 80.0), calls(3.0, 80.0, 110.0)
    until = [sum(call.at_s < end_s for call in after) for end_s in (82.0, 110.0)]
    tallies = []
    for count in until:
        trace = Trace("by hand", tuple(before + after[:count]))
        tallies.append(simulate(make_setup(10**6), _deadline(menu), trace).tally)
    early, late = tallies
    # As many were served as one GPU can make, none of them late, and after two objectives all that came.
    assert early.outcomes.get(Outcome.LATE, 0) == late.outcomes.get(Outcome.LATE, 0) == 0
    assert early.accepted > 0.97 * 60 / 0.1135
    assert late.arrived - early.arrived == until[1] - until[0] > 50
    assert late.outcomes[Outcome.DONE] - early.outcomes[Outcome.DONE] == until[1] - until[0]


def test_under_overload_thresholds_reach_the_smallest_resolution(menu: Menu, make_setup: MakeSetup) -> None:
    record = simulate(make_setup(3000), Thresholds(menu.points, (2, 5), 1), Poisson(10.0))
    assert record.by_resolution[512] > 0.95 * 3000


def _value(menu: Menu, make_setup: MakeSetup, pattern: Pattern, size: int | None) -> Row:
    policy = _deadline(menu) if size is None else Static(menu.find(size))
    return make_row("", 0.0, "", simulate(make_setup(3000), policy, pattern), menu, 1)


@pytest.mark.parametrize(
    "pattern",
    [
        Gamma(2.0, 2.0),
        Gamma(5.0, 2.0),
        Gamma(6.0, 0.5),
        Peaks(3.0, 3.0, 0.1, 10.0),
        Peaks(6.0, 2.0, 0.2, 5.0),
    ],
)
def test_no_single_resolution_makes_more_of_uneven_arrivals(
    menu: Menu, make_setup: MakeSetup, pattern: Pattern
) -> None:
    adaptive = _value(menu, make_setup, pattern, None)
    assert adaptive.late_share < 0.005
    for size in menu.resolutions:
        assert adaptive.value > _value(menu, make_setup, pattern, size).value


def test_four_gpus_do_better_at_four_times_the_rate(menu: Menu, make_setup: MakeSetup) -> None:
    one, four = (
        make_row(
            "",
            0.0,
            "",
            simulate(make_setup(6000, workers=count), _deadline(menu, count), Poisson(6.0 * count)),
            menu,
            count,
        )
        for count in (1, 4)
    )
    assert four.done_share > one.done_share
    assert four.value > one.value
    assert four.late_share < 0.001


@pytest.mark.parametrize(("slowdown", "rate"), [(1.3, 3.0), (2.0, 4.0), (0.7, 6.0)])
def test_a_machine_of_another_speed_than_was_measured_is_learned(
    menu: Menu, make_setup: MakeSetup, slowdown: float, rate: float
) -> None:
    record = simulate(make_setup(4000, slowdown=slowdown), _deadline(menu), Poisson(rate))
    row = make_row("", rate, "", record, menu, 1)
    assert row.done_share > 0.9
    assert row.late_share < 0.003
    # As much as a policy makes of it that was told.
    known = make_menu(
        plain_points({size: slowdown * time for size, time in SERVICE_S.items()}, UTILITIES, 0.05)
    )
    told = simulate(make_setup(4000, menu=known), _deadline(known), Poisson(rate))
    assert row.value > 0.97 * make_row("", rate, "", told, known, 1).value


def test_changes_of_resolution_cost_no_more_than_their_share(menu: Menu, make_setup: MakeSetup) -> None:
    setup = make_setup(3000, switch_s=0.1)
    record = simulate(setup, _deadline(menu), Poisson(5.0))
    free = simulate(make_setup(3000), _deadline(menu), Poisson(5.0))
    # Each change to a slower point, 5 % at most, is followed by at most as many back.
    assert record.switches * 0.1 <= 2 * 0.05 * record.end_s + 0.1
    assert record.switches < free.switches / 2
    row = make_row("", 5.0, "", record, menu, 1)
    assert row.done_share > 0.95
    assert row.late_share < 0.001
