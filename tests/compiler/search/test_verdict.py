from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mixdq.compiler.allocate.subject import Subject
from mixdq.compiler.search.candidates import Candidate, candidates
from mixdq.compiler.search.verdict import Row, best, measured_frontier, with_plans, write_rows
from mixdq.configs.sensitivity import Operand
from mixdq.export.judgement import Fidelity, Measure

MakeFidelity = Callable[[float], Fidelity]
# Quality's four bits are not kept by the last; the first two are the same plan.
RATIOS = {Operand.WEIGHT: (1.0, 1.0001, 0.6, 3.0), Operand.ACTIVATION: (1.0,)}


def _rows(subject: Subject, figures: tuple[Fidelity, ...]) -> list[Row]:
    found = candidates(subject, 4.6, 8.0, RATIOS, lambda done, total: None)
    pairs = with_plans(found, bos_aware=True, split_shortcuts=True)
    assert [plan is None for _, plan in pairs] == [False, False, False, True]
    return [
        Row(candidate, plan, figure if plan else None)
        for (candidate, plan), figure in zip(pairs, (*figures, figures[0]), strict=True)
    ]


def test_the_best_is_by_the_measure_asked_for(subject: Subject) -> None:
    one = Fidelity(sqnr_db=30, x0_sqnr_db=1, psnr_db=20, ssim=0.5, windowed_ssim=0.5)
    two = Fidelity(sqnr_db=20, x0_sqnr_db=1, psnr_db=30, ssim=0.5, windowed_ssim=0.5)
    rows = _rows(subject, (one, one, two))
    assert best(rows, Measure.SQNR).fidelity == one
    assert best(rows, Measure.PSNR).fidelity == two


def test_of_equal_figures_the_objective_decides_then_the_order(
    subject: Subject, make_fidelity: MakeFidelity
) -> None:
    rows = _rows(subject, (make_fidelity(1.0),) * 3)
    most = max(row.candidate.objective for row in rows)
    found = best(rows, Measure.PSNR)
    assert found is next(row for row in rows if row.candidate.objective == most)


def test_a_baseline_is_never_chosen(subject: Subject, make_fidelity: MakeFidelity) -> None:
    rows = _rows(subject, (make_fidelity(1.0),) * 3)
    other = Row(replace(rows[0].candidate, kind="random 0"), rows[0].plan, make_fidelity(9.0))
    assert best([other, *rows], Measure.PSNR).candidate.kind == "optimum"


def test_the_measured_frontier_is_by_what_was_measured(subject: Subject, make_fidelity: MakeFidelity) -> None:
    def bits(row: Row) -> float:
        assert row.candidate.allocation is not None
        return row.candidate.allocation.mean_bits(Operand.WEIGHT)

    found = candidates(
        subject, 7.0, 8.0, {**RATIOS, Operand.WEIGHT: (1.0,)}, lambda done, total: None
    ) + candidates(subject, 4.6, 8.0, {**RATIOS, Operand.WEIGHT: (1.0,)}, lambda done, total: None)
    pairs = with_plans(found, bos_aware=True, split_shortcuts=True)
    dear, cheap = (Row(candidate, plan, make_fidelity(1.0)) for candidate, plan in pairs)
    assert bits(cheap) < bits(dear)
    assert measured_frontier([dear, cheap], Operand.WEIGHT, Measure.SSIM) == (cheap,)
    better = replace(dear, fidelity=make_fidelity(2.0))
    assert measured_frontier([better, cheap], Operand.WEIGHT, Measure.SSIM) == (cheap, better)


def test_all_candidates_are_listed_with_what_became_of_them(
    subject: Subject, make_fidelity: MakeFidelity, tmp_path: Path
) -> None:
    rows = _rows(subject, (make_fidelity(1.0), make_fidelity(1.0), make_fidelity(2.0)))
    chosen = best(rows, Measure.PSNR)
    write_rows(tmp_path / "all.csv", rows, {"chosen": [chosen]})
    with (tmp_path / "all.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert [row["feasible"] for row in listed] == ["True", "True", "True", "False"]
    assert [row["chosen"] for row in listed] == ["False", "False", "True", "False"]
    assert [row["same_plan_as"] for row in listed] == ["", "0", "", ""]
    assert [row["weight_ratio"] for row in listed] == ["1.0", "1.0001", "0.6", "3.0"]
    assert [row["psnr_db"] for row in listed] == ["1.0", "1.0", "2.0", ""]
    assert "can't be kept" in listed[3]["reason"]
    assert float(listed[0]["objective"]) == rows[0].candidate.objective


def test_an_infeasible_candidate_has_no_plan(subject: Subject) -> None:
    nothing = Candidate("optimum", {}, {}, None, {}, reason="too small")
    assert with_plans([nothing], bos_aware=True, split_shortcuts=True) == ((nothing, None),)
