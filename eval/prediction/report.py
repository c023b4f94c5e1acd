"""What was found about predictions: a document, a table for spreadsheets, words for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from pydantic.dataclasses import dataclass
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table

from mixdq.compiler.search.journal import Conditions
from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.files import write_text
from mixdq.eval.prediction.contest import Contest
from mixdq.eval.prediction.drawing import NOISE, OBJECTIVE
from mixdq.eval.prediction.judged import JudgedPlan
from mixdq.eval.prediction.relation import Relation
from mixdq.export.judgement import FIELDS, Measure

STRONG = 0.8
"""A rank correlation from which on a predictor can be trusted to choose."""


@dataclass(frozen=True, slots=True, config=STRICT)
class PredictionReport:
    """Everything that was measured (`prediction.json`).

    Attributes:
        model: name.
        sensitivity_digest: of the table that foretold.
        conditions: under which plans were judged.
        plans: one by one.
        relations: correlations, over all plans and within each budget.
        contests: the optimum against each baseline.
    """

    model: str
    sensitivity_digest: str
    conditions: Conditions
    plans: tuple[JudgedPlan, ...]
    relations: tuple[Relation, ...]
    contests: tuple[Contest, ...]
    version: int = 1

    def write(self, path: Path) -> None:
        """Writes the JSON document."""
        write_text(path, to_json(self))

    def write_csv(self, path: Path) -> None:
        """Writes the plans, one a line."""
        text = io.StringIO()
        rows = [_columns(plan) for plan in self.plans]
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, text.getvalue())

    def overall(self, predictor: str, measure: Measure) -> Relation | None:
        """The correlation over all plans; None if some plans lack the predictor."""
        return next((each for each in self._of(predictor, measure) if each.budget is None), None)

    def within(self, predictor: str, measure: Measure) -> list[float]:
        """The correlations within the budgets."""
        found = self._of(predictor, measure)
        return [each.rho for each in found if each.budget is not None and each.rho is not None]

    def in_words(self) -> Iterator[RenderableType]:
        """Tables, and what they come to."""
        budgets = len({plan.budget for plan in self.plans})
        yield (
            f"{len(self.plans)} plans of {self.model} in {budgets} budgets, each judged on "
            f"{self.conditions.prompts} prompts at {self.conditions.resolution} pixels"
        )
        yield self._correlations()
        yield self._contests(budgets)
        yield from self._verdicts()

    def _of(self, predictor: str, measure: Measure) -> Sequence[Relation]:
        return [each for each in self.relations if (each.predictor, each.measure) == (predictor, measure)]

    def _correlations(self) -> Table:
        title = "Spearman's rho over all plans (p), and the median within a budget"
        view = Table("predictor", *(FIELDS[measure] for measure in Measure), title=title, box=SIMPLE_HEAD)
        for predictor in dict.fromkeys(each.predictor for each in self.relations):
            view.add_row(predictor, *(self._cell(predictor, measure) for measure in Measure))
        return view

    def _cell(self, predictor: str, measure: Measure) -> str:
        whole, parts = self.overall(predictor, measure), self.within(predictor, measure)
        shown = "-"
        if whole is not None and whole.rho is not None:
            shown = f"{whole.rho:+.3f} ({whole.p_value:.0e})"
        return f"{shown}; {median(parts):+.2f}" if parts else shown

    def _contests(self, budgets: int) -> Table:
        title = f"The optimum against other plans of its {budgets} budgets: no worse in how many; mean gain"
        names = [FIELDS[measure] for measure in Measure]
        view = Table("against", OBJECTIVE, *names, title=title, box=SIMPLE_HEAD)
        for each in self.contests:
            cells = [f"{each.no_worse[one]}/{each.budgets}; {each.gain[one]:+.3f}" for one in Measure]
            view.add_row(each.kind, f"{each.no_less_objective}/{each.budgets}", *cells)
        return view

    def _verdicts(self) -> Iterator[str]:
        for measure in (Measure.SQNR, Measure.PSNR, Measure.SSIM):
            found = self.overall(OBJECTIVE, measure)
            if found is None or found.rho is None:
                yield f"the objective's correlation with {measure} is not defined: one of them never changes"
                continue
            other = self.overall(NOISE, measure)
            beside = f"; of added noise {other.rho:+.3f}" if other and other.rho is not None else ""
            yield (
                f"the objective and {measure}: rho {found.rho:+.3f} over {found.plans} plans, "
                f"{'at least' if found.rho >= STRONG else 'BELOW'} {STRONG}{beside}"
            )


def _columns(plan: JudgedPlan) -> dict[str, object]:
    columns: dict[str, object] = {
        "kind": plan.kind,
        "budget": plan.budget,
        "mean_weight_bits": plan.weight_bits,
        "mean_activation_bits": plan.activation_bits,
        "plan": plan.plan,
    }
    columns |= plan.expected
    return columns | {FIELDS[measure]: plan.fidelity[measure] for measure in Measure}
