"""What is sent and when: drawn before the first request, so that no answer has a say in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from random import Random

from mixdq.configs.errors import EvaluationError
from mixdq.runtime.simulate.calls import Call, Clients, Pattern


@dataclass(frozen=True, slots=True)
class Planned:
    """One request.

    Attributes:
        number: from 0, in the order of sending.
        at_s: when it is to be sent, after the beginning; 0 for clients that wait for their answers.
        prompt: what to draw.
        seed: of the picture's noise.
        size: pixels; None for `auto`.
        objective_s: what it asks for as `slo_ms`; None to ask for nothing, which means the server's.
        priority: its class; None to ask for none.
    """

    number: int
    at_s: float
    prompt: str
    seed: int
    size: int | None
    objective_s: float | None
    priority: int | None


@dataclass(frozen=True, slots=True)
class Wish:
    """What every request asks for, where a trace doesn't say otherwise.

    Attributes:
        prompts: taken in turns.
        size: pixels; None for `auto`.
        objective_s: None for the server's.
    """

    prompts: tuple[str, ...]
    size: int | None
    objective_s: float | None

    def __post_init__(self) -> None:
        """Checks that there is something to draw."""
        if not self.prompts:
            raise EvaluationError("a load test needs at least one prompt; give --prompts a file that has one")


@dataclass(frozen=True, slots=True)
class Schedule:
    """A whole run.

    Attributes:
        name: the pattern's, as tables call it.
        rate_per_s: the pattern's mean; 0 for clients that wait for their answers.
        clients: how many send at once; 0 for arrivals that don't wait for answers.
        planned: in the order of sending.
    """

    name: str
    rate_per_s: float
    clients: int
    planned: tuple[Planned, ...]

    @property
    def title(self) -> str:
        """See `title_of`."""
        return title_of(self.name, self.rate_per_s)


def make_schedule(pattern: Pattern | Clients, requests: int, seed: int, wish: Wish) -> Schedule:
    """The requests of one pattern: the arrivals of `mixdq-serve simulate` with the same seed.

    Args:
        pattern: of arrivals.
        requests: how many; fewer if a trace is shorter.
        seed: of the arrivals; the picture of request i has the seed i.
        wish: what they ask for.
    """
    if isinstance(pattern, Clients):
        calls: Sequence[Call] = [Call(0.0)] * requests
        clients, rate_per_s = pattern.concurrency, 0.0
    else:
        # The words are the simulator's.
        calls = list(islice(pattern.calls(Random(f"arrivals {seed}")), requests))
        clients, rate_per_s = 0, pattern.rate_per_s
    planned = tuple(_plan(number, call, wish) for number, call in enumerate(calls))
    return Schedule(pattern.name, rate_per_s, clients, planned)


def title_of(name: str, rate_per_s: float) -> str:
    """`poisson 2/s`, `burst 2`."""
    return f"{name} {rate_per_s:g}/s" if rate_per_s else name


def warm_up(count: int, wish: Wish) -> tuple[Planned, ...]:
    """Requests to send one after another before a run; no deadline refuses them."""
    call = Call(0.0)
    return tuple(replace(_plan(number, call, wish), objective_s=None) for number in range(count))


def _plan(number: int, call: Call, wish: Wish) -> Planned:
    return Planned(
        number,
        call.at_s,
        wish.prompts[number % len(wish.prompts)],
        number,
        wish.size if call.size is None else call.size,
        wish.objective_s if call.objective_s is None else call.objective_s,
        call.priority or None,
    )
