from __future__ import annotations

from itertools import product

import pytest

from mixdq.compiler.allocate.allocation import allocate
from mixdq.compiler.allocate.baselines import Baseline, baseline
from mixdq.compiler.allocate.programme import InfeasibleError
from mixdq.compiler.allocate.subject import Part, Subject
from mixdq.compiler.search.candidates import OPTIMUM, candidates, grid, of_allocation
from mixdq.configs.errors import PlanError
from mixdq.configs.sensitivity import Operand

RATIOS = {Operand.WEIGHT: (0.5, 0.8, 1.0, 1.3), Operand.ACTIVATION: (0.94, 1.0, 1.09)}


def _silent(done: int, total: int) -> None:
    assert 0 <= done < total


def test_there_is_a_candidate_for_every_pair_of_ratios(subject: Subject) -> None:
    found = candidates(subject, 5.0, 6.0, RATIOS, _silent)
    wanted = list(product(RATIOS[Operand.WEIGHT], RATIOS[Operand.ACTIVATION]))
    assert [tuple(each.ratios.values()) for each in found] == wanted
    assert all(each.kind == OPTIMUM for each in found)


def test_the_groups_budgets_of_every_split_average_to_the_whole(subject: Subject) -> None:
    for each in candidates(subject, 5.0, 6.0, RATIOS, _silent):
        for operand, mean in ((Operand.WEIGHT, 5.0), (Operand.ACTIVATION, 6.0)):
            parts = [part for part in Part if part.operand is operand]
            total = sum(subject.total(part) for part in parts)
            found = sum(each.budgets[part] * subject.total(part) for part in parts) / total
            assert found == pytest.approx(mean)
            assert each.budgets[parts[0]] / each.budgets[parts[1]] == pytest.approx(each.ratios[operand])


def test_each_candidate_is_the_optimum_of_its_budgets(subject: Subject) -> None:
    for each in candidates(subject, 5.0, 6.0, RATIOS, _silent):
        if each.allocation is None:
            continue
        alone, solutions = allocate(subject, each.budgets)
        for part in Part:
            assert each.allocation.score(part) == pytest.approx(alone.score(part))
        assert each.proven
        assert each.allocation.mean_bits(Operand.WEIGHT) <= 5
        assert all(solution.proven for solution in solutions.values())


def test_activations_at_their_largest_width_or_in_float_are_not_split(subject: Subject) -> None:
    for bits, parts in ((8.0, 4), (16.0, 2)):
        found = candidates(subject, 5.0, bits, RATIOS, _silent)
        assert [each.ratios for each in found] == [{Operand.WEIGHT: k} for k in RATIOS[Operand.WEIGHT]]
        assert all(len(each.budgets) == parts for each in found)
        assert all(len(each.shares) == parts for each in found if each.allocation)
        assert all(
            set(each.allocation.activations.values()) == ({8} if bits == 8 else set())
            for each in found
            if each.allocation
        )


def test_splits_that_can_not_be_kept_say_why(subject: Subject) -> None:
    found = candidates(subject, 4.1, 8.0, {**RATIOS, Operand.WEIGHT: (0.5, 2.0)}, _silent)
    assert [each.allocation is None for each in found] == [False, True]
    assert "quality group can't be kept" in found[1].reason
    assert found[1].objective == 0


def test_with_no_split_that_can_be_kept_there_is_no_search(subject: Subject) -> None:
    said = (
        r"--weight-bits 2.2 can't be kept at any split .* at a ratio of 0.5; .* is --weight-bits ([0-9.]+)$"
    )
    with pytest.raises(InfeasibleError, match=said) as raised:
        candidates(subject, 2.2, 8.0, RATIOS, _silent)
    nearest = float(str(raised.value).split()[-1])
    assert [each.allocation is not None for each in candidates(subject, nearest, 8.0, RATIOS, _silent)] == [
        True,
        False,
        False,
        False,
    ]
    with pytest.raises(InfeasibleError, match=r"--activation-bits 3 can't .* is --activation-bits 4$"):
        candidates(subject, 5.0, 3.0, RATIOS, _silent)
    with pytest.raises(InfeasibleError, match=r"no mean up to 8 is enough"):
        candidates(subject, 5.0, 8.0, {**RATIOS, Operand.WEIGHT: (1000.0,)}, _silent)


def test_more_bits_than_any_width_are_refused(subject: Subject) -> None:
    with pytest.raises(PlanError, match="9 weight bits is more than any width"):
        candidates(subject, 9.0, 8.0, RATIOS, _silent)
    with pytest.raises(PlanError, match=r"10 activation bits is more than any width.*16 for FP16"):
        candidates(subject, 5.0, 10.0, RATIOS, _silent)


def test_a_grid_has_every_pair_of_budgets(subject: Subject) -> None:
    found = grid(subject, 3, 8.0, 1.0, _silent)
    pairs = [(each.budgets[Part.CONTENT_WEIGHTS], each.budgets[Part.QUALITY_WEIGHTS]) for each in found]
    assert pairs == list(product((2.0, 5.0, 8.0), (4.0, 6.0, 8.0)))
    assert found[-1].objective == pytest.approx(4)  # everything that there is to gain


def test_a_grid_of_one_budget_is_none(subject: Subject) -> None:
    with pytest.raises(PlanError, match="at least 2"):
        grid(subject, 1, 8.0, 1.0, _silent)


def test_no_other_way_to_spend_the_budgets_has_more_objective(subject: Subject) -> None:
    for best in candidates(subject, 5.0, 6.0, RATIOS, _silent):
        if best.allocation is None:
            continue
        for kind in (Baseline.RANDOM, Baseline.PERTURBED, Baseline.SORTED, Baseline.UNIFORM):
            other = of_allocation(str(kind), best.budgets, baseline(subject, best.budgets, kind, 1))
            assert other.objective <= best.objective + 1e-9
