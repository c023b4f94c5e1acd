"""All that can be said of a plan: in words for people, as plain data, in plots."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import RenderableType

from mixdq.compiler.allocate.subject import PAPER_WIDTHS, Widths
from mixdq.compiler.allocate.sweep import Point
from mixdq.compiler.explain.case import Case
from mixdq.compiler.explain.claims import Claim, claims_in_words, claims_of
from mixdq.compiler.explain.comparison import Comparison, measured_with
from mixdq.compiler.explain.frontier import Frontier, frontiers_of
from mixdq.compiler.explain.marginals import Marginals, marginals_of
from mixdq.compiler.explain.protection import Protection
from mixdq.compiler.explain.ranking import Ranking, rankings_in_words, rankings_of
from mixdq.compiler.explain.takeaways import Takeaway, takeaways_in_words, takeaways_of
from mixdq.compiler.explain.totals import Totals, totals_in_words, totals_of
from mixdq.compiler.paper_stages import summary_of
from mixdq.configs.documents import to_plain
from mixdq.configs.files import write_text
from mixdq.configs.sensitivity import SensitivityTable

EXPLANATION_FILE = "explain.json"


@dataclass(frozen=True, slots=True)
class Extras:
    """What may be explained beside a plan and its sensitivities.

    Attributes:
        compare: another table of the same model, from before.
        points: of a sweep; none if there was none.
        widths: what the sweep chose from.
    """

    compare: SensitivityTable | None = None
    points: Sequence[Point] = ()
    widths: Widths = field(default_factory=lambda: PAPER_WIDTHS)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A plan, explained.

    Attributes:
        model: the model's name.
        plan_digest: of the plan's file form.
        summary: the plan in a line.
        resolution: pixels at which activations and operations are counted.
        fp8_layers: how many have E4M3 in place of integers; they are judged by the scores of 8-bit integers.
        sensitivity: what the scores were measured with, in words; None without them.
        totals: of all layers (`all`), of each group, of each role.
        protection: what stays in floating point.
        rankings: of each operand and group that has scores.
        marginals: likewise.
        takeaways: by role.
        claims: what the paper says of SDXL-Turbo's layers, held against these scores.
        comparison: with another table, if one was given.
        frontiers: of each operand of a sweep, if one was given.
    """

    model: str
    plan_digest: str
    summary: str
    resolution: int
    fp8_layers: int
    sensitivity: str | None
    totals: Mapping[str, Totals]
    protection: Protection
    rankings: tuple[Ranking, ...]
    marginals: tuple[Marginals, ...]
    takeaways: tuple[Takeaway, ...]
    claims: tuple[Claim, ...]
    comparison: Comparison | None
    frontiers: tuple[Frontier, ...]

    @classmethod
    def of(cls, case: Case, extras: Extras) -> Explanation:
        """Of a plan.

        Raises:
            PlanError: the other table can't be compared.
            DigestError: it is another model's.
        """
        table = case.sensitivity
        takeaways = takeaways_of(case)
        comparison = None if extras.compare is None else Comparison.of(case, extras.compare)
        return cls(
            model=case.table.model.name,
            plan_digest=case.plan.digest,
            summary=summary_of(case.plan, case.table),
            resolution=case.resolution,
            fp8_layers=sum(precision.floating for precision in case.plan.layers.values()),
            sensitivity=None if table is None else measured_with(table),
            totals=totals_of(case),
            protection=Protection.of(case),
            rankings=rankings_of(case),
            marginals=marginals_of(case),
            takeaways=takeaways,
            claims=claims_of(case, takeaways, comparison),
            comparison=comparison,
            frontiers=frontiers_of(case, extras.points, extras.widths),
        )

    def in_words(self, top: int) -> Iterator[RenderableType]:
        """Everything, the first `top` of what is long, by the metrics that decide."""
        deciding = {ranking.metric for ranking in self.rankings}
        scores = self.sensitivity or "none; give --sensitivity for ranks, costs and takeaways"
        yield f"plan {self.plan_digest[:12]} of {self.model}: {self.summary}"
        yield f"sensitivities: {scores}"
        if self.fp8_layers:
            yield f"layers in FP8: {self.fp8_layers}, judged by the scores of 8-bit integers"
        yield from totals_in_words(self.totals, self.resolution)
        yield from self.protection.in_words()
        yield from rankings_in_words(self.rankings, top)
        for marginals in self.marginals:
            yield from marginals.in_words(top)
        yield from takeaways_in_words(self.takeaways, deciding)
        if self.comparison is not None:
            yield from self.comparison.in_words(deciding)
        yield from claims_in_words(self.claims)
        for frontier in self.frontiers:
            yield from frontier.in_words()

    def to_json(self) -> str:
        """All figures; null where nothing is known."""
        return json.dumps(to_plain(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def write(self, folder: Path) -> Path:
        """Writes `explain.json` into a folder."""
        path = folder / EXPLANATION_FILE
        write_text(path, self.to_json())
        return path
