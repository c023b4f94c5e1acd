from __future__ import annotations

import pytest

from mixdq.compiler.allocate import solved
from mixdq.compiler.allocate.programme import InfeasibleError, Programme
from mixdq.compiler.allocate.solved import solve_all
from mixdq.compiler.allocate.solver import Solution, solve
from mixdq.compiler.allocate.subject import Part, Subject

PART = Part.CONTENT_WEIGHTS


def _silent(done: int, total: int) -> None:
    assert 0 <= done < total


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The budgets that are really solved."""
    found: list[float] = []

    def counted(programme: Programme[int], *, limit_s: float) -> Solution[int]:
        found.append(programme.budgets[0].limit)
        return solve(programme, limit_s=limit_s)

    monkeypatch.setattr(solved, "solve", counted)
    return found


def test_every_answer_is_what_the_budget_alone_gives(subject: Subject) -> None:
    budgets = [2 + 6 * step / 300 for step in range(301)]
    found = solve_all(subject, [(PART, mean) for mean in budgets], _silent)
    for mean in budgets:
        answer, alone = found[PART, mean], solve(subject.programme(PART, mean))
        assert isinstance(answer, Solution)
        assert answer.score == pytest.approx(alone.score, rel=1e-12)
        assert answer.programme.fits(answer.chosen)
        assert answer.proven


def test_budgets_between_which_nothing_changes_are_solved_once(subject: Subject, calls: list[float]) -> None:
    budgets = [2 + 6 * step / 300 for step in range(301)]
    found = solve_all(subject, [(PART, mean) for mean in budgets], _silent)
    distinct = {answer.chosen for answer in found.values() if isinstance(answer, Solution)}
    assert len(distinct) <= len(calls) < 40


def test_a_smaller_budget_that_does_not_pay_the_larger_ones_optimum_is_solved(
    subject: Subject, calls: list[float]
) -> None:
    whole = solve(subject.programme(PART, 5.0))
    just_less = (whole.costs[0] - 1) / subject.total(PART)
    solve_all(subject, [(PART, just_less), (PART, 5.0)], _silent)
    assert calls == [5.0, just_less]


def test_a_budget_that_can_not_be_kept_says_why(subject: Subject) -> None:
    found = solve_all(subject, [(PART, 1.0), (PART, 4.0)], _silent)
    assert isinstance(found[PART, 1.0], InfeasibleError)
    assert isinstance(found[PART, 4.0], Solution)
