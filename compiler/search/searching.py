"""The search itself: candidates are judged, the best is written, and all of them are listed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console, RenderableType
from rich.table import Table

from mixdq.compiler.allocate.baselines import Baseline, baseline
from mixdq.compiler.allocate.frontier import frontier
from mixdq.compiler.allocate.programme import InfeasibleError
from mixdq.compiler.search.candidates import Candidate, of_allocation
from mixdq.compiler.search.journal import judged_plans
from mixdq.compiler.search.judging import Judgements, JudgeOrder, judge_plans
from mixdq.compiler.search.verdict import Row, best, measured_frontier, with_plans, write_rows
from mixdq.compiler.sensitivity.watch import watching
from mixdq.compiler.worker import Finished, run_in_child
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.sensitivity import Operand
from mixdq.export.judgement import FIELDS, Measure

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Forms:
    """How all candidates are quantized; see `PrecisionPlan`."""

    bos_aware: bool
    split_shortcuts: bool

    def plans(self, candidates: Sequence[Candidate]) -> tuple[tuple[Candidate, PrecisionPlan | None], ...]:
        """The candidates with their plans."""
        return with_plans(candidates, bos_aware=self.bos_aware, split_shortcuts=self.split_shortcuts)


def candidates_file(out: Path) -> Path:
    """Where a search's candidates are listed."""
    return out.with_name(f"{out.stem}.candidates.csv")


def run_search(
    order: JudgeOrder, candidates: Sequence[Candidate], forms: Forms, measure: Measure, seeds: int | None
) -> Iterator[RenderableType]:
    """Judges the optima, writes the best one and the list; says what was found.

    Args:
        order: on what to judge; its `out` is the plan to write.
        candidates: optima, not all of them feasible.
        forms: of the plans.
        measure: what decides.
        seeds: how many random baselines of each kind to judge beside, in the budgets of the best; None for
            no baselines.
    """
    pairs = forms.plans(candidates)
    done = judge(order, [plan for _, plan in pairs if plan is not None])
    rows = _rows(pairs, done.value)
    chosen = best(rows, measure)
    assert chosen.plan is not None
    yield _pace(done)
    others: list[Row] = []
    if seeds is not None:
        beside = forms.plans(baselines(chosen.candidate, seeds))
        again = replace(order, restart=False)
        judged = judge(again, [plan for _, plan in beside if plan is not None])
        others = list(_rows(beside, judged.value))
    write_rows(candidates_file(order.out), [*rows, *others], {"chosen": [chosen]})
    chosen.plan.write(order.out)
    distinct = list({row.plan.digest: row for row in reversed(rows) if row.plan is not None}.values())
    infeasible = sum(row.plan is None for row in rows)
    yield (
        f"{len(rows)} splits: {infeasible} can't be kept, {len(rows) - infeasible - len(distinct)} give a "
        f"plan that another gives, {len(distinct)} plans judged by {measure} on {len(order.prompts)} prompts"
    )
    yield _table(sorted(distinct, key=lambda row: -_figure(row, measure))[:_SHOWN], chosen)
    if others:
        yield _table([chosen, *others], chosen)
    yield f"written: {order.out}"
    yield f"written: {candidates_file(order.out)}"


def run_grid(
    order: JudgeOrder, candidates: Sequence[Candidate], forms: Forms, measure: Measure
) -> Iterator[RenderableType]:
    """Judges the points of a grid that the objective puts on its frontier; writes the measured one.

    Args:
        order: on what to judge; its `out` is the CSV to write.
        candidates: optima of all budgets.
        forms: of the plans.
        measure: what decides.
    """
    pairs = forms.plans(candidates)
    feasible = [number for number, (_, plan) in enumerate(pairs) if plan is not None]
    points = [
        (each.allocation.mean_bits(Operand.WEIGHT), each.objective)
        for each, _ in pairs
        if each.allocation is not None
    ]
    predicted = {feasible[index] for index in frontier(points)}
    done = judge(order, [plan for number, (_, plan) in enumerate(pairs) if plan and number in predicted])
    rows = [
        row if number in predicted else Row(row.candidate, row.plan, None)
        for number, row in enumerate(_rows(pairs, done.value))
    ]
    measured = measured_frontier(rows, Operand.WEIGHT, measure)
    marked = {
        "on_predicted_frontier": [rows[number] for number in sorted(predicted)],
        "on_measured_frontier": measured,
    }
    write_rows(order.out, rows, marked)
    yield _pace(done)
    yield (
        f"{len(rows)} pairs of budgets, {len(feasible)} can be kept, {len(predicted)} on the predicted "
        f"frontier and judged, {len(measured)} of them on the measured one ({measure})"
    )
    yield _table(measured, None)
    yield f"written: {order.out}"


def judge(order: JudgeOrder, plans: Sequence[PrecisionPlan]) -> Finished[Judgements]:
    """The figures of plans, judged in a child process whose progress is shown on stderr."""
    try:
        with watching("judge", Console(stderr=True)) as report:
            return run_in_child(judge_plans, order, tuple(plans), report=report)
    except KeyboardInterrupt:
        print(f"{judged_plans(order.journal)} plans are judged: {order.journal}", file=sys.stderr)
        raise


def baselines(chosen: Candidate, seeds: int) -> tuple[Candidate, ...]:
    """Other ways to spend a candidate's budgets; the random kinds once a seed."""
    assert chosen.allocation is not None
    subject, found = chosen.allocation.subject, []
    for kind in Baseline:
        drawn = kind in (Baseline.RANDOM, Baseline.PERTURBED)
        for seed in range(seeds if drawn else 1):
            name = f"{kind} {seed}" if drawn else str(kind)
            try:
                made = baseline(subject, chosen.budgets, kind, seed)
            except InfeasibleError as error:
                found.append(Candidate(name, {}, chosen.budgets, None, {}, reason=str(error)))
            else:
                found.append(of_allocation(name, chosen.budgets, made))
    return tuple(found)


def _rows(pairs: Sequence[tuple[Candidate, PrecisionPlan | None]], done: Judgements) -> tuple[Row, ...]:
    return tuple(
        Row(candidate, plan, None if plan is None else done.fidelities.get(plan.digest))
        for candidate, plan in pairs
    )


def _pace(done: Finished[Judgements]) -> str:
    found = done.value
    earlier = len(found.fidelities) - found.now
    pace = f", {found.judging_s / found.now:.2f} s a plan" if found.now else ""
    return (
        f"{len(found.fidelities)} plans, {earlier} of them judged before, on {found.conditions.device}: "
        f"{found.opening_s:.1f} s to open, {found.judging_s:.1f} s to judge{pace}; peak "
        f"{done.peak_mib:.0f} MiB"
    )


def _figure(row: Row, measure: Measure) -> float:
    assert row.fidelity is not None
    return row.fidelity[measure]


def _table(rows: Sequence[Row], chosen: Row | None) -> Table:
    names = [FIELDS[measure] for measure in Measure]
    view = Table("kind", "ratios", "weights", "activations", "objective", *names, box=None)
    for column in view.columns[1:]:
        column.justify = "right"
    for row in rows:
        allocation = row.candidate.allocation
        if allocation is None:
            view.add_row(row.candidate.kind, "can't be kept")
            continue
        figures = ["" if row.fidelity is None else f"{row.fidelity[measure]:.4f}" for measure in Measure]
        view.add_row(
            f"{row.candidate.kind}{' (chosen)' if row is chosen else ''}",
            " ".join(f"{ratio:.4f}" for ratio in row.candidate.ratios.values()),
            *(f"{allocation.mean_bits(operand):.4f}" for operand in Operand),
            f"{row.candidate.objective:.5f}",
            *figures,
        )
    return view
