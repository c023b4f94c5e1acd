"""Candidates with their figures: the best of them, and the table of all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.allocate.frontier import frontier
from mixdq.compiler.allocate.subject import Part
from mixdq.compiler.search.candidates import OPTIMUM, Candidate
from mixdq.configs.files import write_text
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.sensitivity import Operand
from mixdq.export.judgement import FIELDS, Fidelity, Measure


@dataclass(frozen=True, slots=True)
class Row:
    """A candidate, its plan and its figures.

    Attributes:
        candidate: how the budgets are spent.
        plan: None if they can't be kept.
        fidelity: None likewise, or if the plan is not judged.
    """

    candidate: Candidate
    plan: PrecisionPlan | None
    fidelity: Fidelity | None


def with_plans(
    candidates: Sequence[Candidate], *, bos_aware: bool, split_shortcuts: bool
) -> tuple[tuple[Candidate, PrecisionPlan | None], ...]:
    """The candidates with the plans that they come to."""
    return tuple(
        (each, None)
        if each.allocation is None
        else (each, each.allocation.plan(bos_aware=bos_aware, split_shortcuts=split_shortcuts))
        for each in candidates
    )


def best(rows: Sequence[Row], measure: Measure) -> Row:
    """The optimum that the measure prefers; of equal ones that with the higher objective, then the first."""
    judged = [row for row in rows if row.fidelity is not None and row.candidate.kind == OPTIMUM]
    return max(judged, key=lambda row: _rank(row, measure))


def measured_frontier(rows: Sequence[Row], operand: Operand, measure: Measure) -> tuple[Row, ...]:
    """The rows that no other beats in mean bits and measure at once, by ascending bits."""
    judged = [row for row in rows if row.fidelity is not None]
    points = [
        (row.candidate.allocation.mean_bits(operand), row.fidelity[measure])
        for row in judged
        if row.candidate.allocation is not None and row.fidelity is not None
    ]
    return tuple(judged[index] for index in frontier(points))


def write_rows(path: Path, rows: Sequence[Row], marked: Mapping[str, Sequence[Row]]) -> None:
    """Writes the candidates as CSV, one a line, the columns' names first.

    Args:
        path: the file.
        rows: all candidates, those that can't be kept as well.
        marked: columns of yes and no, and the rows that are marked in each.
    """
    text = io.StringIO()
    first = {row.plan.digest: number for number, row in reversed(list(enumerate(rows))) if row.plan}
    table = [
        _columns(number, row, first)
        | {name: any(row is other for other in chosen) for name, chosen in marked.items()}
        for number, row in enumerate(rows)
    ]
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_text(path, text.getvalue())


def _rank(row: Row, measure: Measure) -> tuple[float, float]:
    assert row.fidelity is not None
    return row.fidelity[measure], row.candidate.objective


def _columns(number: int, row: Row, first: Mapping[str, int]) -> dict[str, object]:
    candidate, allocation, plan = row.candidate, row.candidate.allocation, row.plan
    columns: dict[str, object] = {"number": number, "kind": candidate.kind}
    columns |= {f"{operand}_ratio": candidate.ratios.get(operand, "") for operand in Operand}
    columns |= {f"{part}_budget": candidate.budgets.get(part, "") for part in Part}
    columns |= {"feasible": allocation is not None, "reason": candidate.reason, "proven": candidate.proven}
    columns |= {
        f"mean_{operand}_bits": "" if allocation is None else allocation.mean_bits(operand)
        for operand in Operand
    }
    columns |= {
        f"{part}_score": "" if allocation is None or part not in candidate.shares else allocation.score(part)
        for part in Part
    }
    columns |= {f"{part}_share": candidate.shares.get(part, "") for part in Part}
    columns |= {
        "objective": "" if allocation is None else candidate.objective,
        "plan": "" if plan is None else plan.digest,
        "same_plan_as": "" if plan is None or first[plan.digest] == number else first[plan.digest],
    }
    return columns | {
        FIELDS[measure]: "" if row.fidelity is None else row.fidelity[measure] for measure in Measure
    }
