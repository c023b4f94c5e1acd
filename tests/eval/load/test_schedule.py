"""What is sent and when."""

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.eval.load.schedule import Wish, make_schedule, warm_up
from mixdq.runtime.policy.points import make_menu, plain_points
from mixdq.runtime.policy.queue import QueueLimits
from mixdq.runtime.policy.static import Static
from mixdq.runtime.simulate.calls import Call, Clients, Gamma, Pattern, Peaks, Poisson
from mixdq.runtime.simulate.simulator import Setup, simulate
from mixdq.runtime.simulate.trace import Trace

WISH = Wish(("red apple", "blue car"), None, None)
PATTERNS = (Poisson(3.0), Gamma(3.0, 2.0), Peaks(3.0, 3.0, 0.1, 10.0))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_same_seed_gives_the_same_requests_and_another_one_others(pattern: Pattern) -> None:
    assert make_schedule(pattern, 50, 123, WISH) == make_schedule(pattern, 50, 123, WISH)
    assert make_schedule(pattern, 50, 123, WISH) != make_schedule(pattern, 50, 124, WISH)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_arrivals_are_those_that_the_simulator_draws_from_the_same_seed(pattern: Pattern) -> None:
    menu = make_menu(plain_points({512: 0.2}, {512: 1.0}, 0.1))
    setup = Setup(menu, 1, 1.0, 0.0, QueueLimits(1000, 1 << 30), 5.0, 1.0, 200, 7)
    calls = tuple(Call(one.at_s) for one in make_schedule(pattern, 200, 7, WISH).planned)
    policy = Static(menu.points[0])
    drawn, replayed = simulate(setup, policy, pattern), simulate(setup, policy, Trace("x", calls))
    assert drawn.latency_s == replayed.latency_s


def test_prompts_are_taken_in_turns_and_every_picture_has_a_seed_of_its_own() -> None:
    planned = make_schedule(Poisson(1.0), 3, 0, WISH).planned
    assert [(one.number, one.prompt, one.seed) for one in planned] == [
        (0, "red apple", 0),
        (1, "blue car", 1),
        (2, "red apple", 2),
    ]


def test_a_trace_says_size_objective_and_class_where_it_does_and_the_wish_elsewhere() -> None:
    trace = Trace("monday.csv", (Call(0.0, 768, 2.0, 1), Call(0.5)))
    schedule = make_schedule(trace, 100, 0, Wish(("red apple",), 512, 1.0))
    assert [(one.at_s, one.size, one.objective_s, one.priority) for one in schedule.planned] == [
        (0.0, 768, 2.0, 1),
        (0.5, 512, 1.0, None),
    ]
    assert (schedule.name, schedule.rate_per_s, schedule.clients) == ("trace monday.csv", 2.0, 0)


def test_a_burst_has_its_clients_and_no_times() -> None:
    schedule = make_schedule(Clients(2), 3, 0, WISH)
    assert (schedule.clients, [one.at_s for one in schedule.planned]) == (2, [0.0, 0.0, 0.0])


def test_titles_tell_rates_apart() -> None:
    assert make_schedule(Poisson(0.5), 1, 0, WISH).title == "poisson 0.5/s"
    assert make_schedule(Clients(2), 2, 0, WISH).title == "burst 2"


def test_no_deadline_refuses_what_is_sent_to_warm_up() -> None:
    planned = warm_up(3, Wish(("red apple",), 256, 0.1))
    assert [(one.number, one.size, one.objective_s) for one in planned] == [
        (0, 256, None),
        (1, 256, None),
        (2, 256, None),
    ]


def test_without_a_prompt_there_is_nothing_to_send() -> None:
    with pytest.raises(EvaluationError, match="at least one prompt; give --prompts"):
        Wish((), None, None)
