"""Every policy under every pattern of arrivals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mixdq.runtime.policy.policy import Policy
from mixdq.runtime.simulate.calls import Clients, Pattern
from mixdq.runtime.simulate.results import Results, Row, make_row
from mixdq.runtime.simulate.simulator import Setup, simulate


def run_experiment(
    setup: Setup,
    policies: Sequence[Policy],
    patterns: Sequence[Pattern | Clients],
    settings: dict[str, str],
    watch: Callable[[int, int], None],
) -> Results:
    """A row a policy and pattern.

    Args:
        setup: what all of them share.
        policies: which.
        patterns: which.
        settings: what the results say that they depend on.
        watch: is told how many simulations are done, and of how many.
    """
    cases = [(pattern, policy) for pattern in patterns for policy in policies]
    rows: list[Row] = []
    for pattern, policy in cases:
        watch(len(rows), len(cases))
        record = simulate(setup, policy, pattern)
        rate = 0.0 if isinstance(pattern, Clients) else pattern.rate_per_s
        rows.append(make_row(pattern.name, rate, policy.name, record, setup.menu, setup.workers))
    return Results(settings, tuple(rows), tuple(str(found) for found in setup.menu.dominated))
