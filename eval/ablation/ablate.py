"""The ablation: row by row plan, pictures and scores; then the tables and the contact sheet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mixdq.compiler.saved_recipe import RANGES_FILE
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.quality_table import QualityTable
from mixdq.configs.ranges import RangeTable
from mixdq.eval.ablation.by_role import measure_by_role
from mixdq.eval.ablation.cases import FULL, Case, previous
from mixdq.eval.ablation.costs import costs_of
from mixdq.eval.ablation.header import Header, claim, in_words
from mixdq.eval.ablation.markdown import write_markdown
from mixdq.eval.ablation.plans import PlanMaker, RowPlan
from mixdq.eval.ablation.report import Ablation, AblationRow, Comparison
from mixdq.eval.ablation.role_rows import ByRole
from mixdq.eval.ablation.rows import Studio
from mixdq.eval.ablation.scores import FullScores, Scorer
from mixdq.eval.ablation.sheet import write_sheet
from mixdq.eval.ablation.training import Training
from mixdq.eval.images.order import order_digest
from mixdq.eval.quality.bootstrap import Bootstrap
from mixdq.eval.quality.pictures import DrawnSet

_FID = "FID"
_AT_ONCE_S = 3.0
"""A row that takes less was there already, and says nothing of how long the others will take."""

_PACKAGES = ("mixdq", "numpy", "onnxruntime", "ortools", "pillow", "scikit-image", "torch", "torchmetrics")


@dataclass(frozen=True, slots=True)
class Request:
    """An ablation as it is asked for.

    Attributes:
        cases: the rows, full precision first.
        plans: of the rows.
        studio: what draws.
        training: what the model was trained on; None if it is not at hand.
        header: what all rows share.
        bootstrap: of the intervals.
        role_prompts: how many prompts each role is judged on; 0 for no such table.
        columns: prompts on the contact sheet.
        command: as it was given.
    """

    cases: Sequence[Case]
    plans: PlanMaker
    studio: Studio
    training: Training | None
    header: Header
    bootstrap: Bootstrap
    role_prompts: int
    columns: int
    command: str


def header_of(plans: PlanMaker, studio: Studio, seed: int) -> Header:
    """What identifies the ablation."""
    return Header(
        model=plans.table.model,
        layers_digest=plans.table.digest,
        sensitivity_digest=plans.sensitivity.digest,
        prompts_digest=order_digest(studio.pictures),
        count=len(studio.pictures),
        seed=seed,
        resolution=studio.resolution,
        calibration=studio.calibration_run,
        ratio=plans.ratio,
        plans={row: given.plan.digest for row, given in plans.given.items()},
    )


def ablate(request: Request, say: Callable[[str], None]) -> Ablation:
    """Makes what is missing of an ablation's folder.

    Writes `header.json`, `plans/`, `pictures/`, `scores/`, and at the end `ablation.json`, `ablation.md` and
    `samples.png`. A run that was stopped goes on: a row that is whole is not compiled, drawn or scored again.

    Args:
        request: what to do.
        say: told each row's outcome.

    Raises:
        MixdqError: a folder of another ablation, plans that can't be made, whatever compiling, drawing and
            scoring refuse.
    """
    out = request.studio.out
    claim(out, request.header)
    # All plans before the first picture: a budget that can't be kept is no surprise after ten minutes.
    plans = {case: _plan(request.plans, case, out / "plans") for case in request.cases}
    made, times = _Made({}, {}, {}), _Times(len(plans))
    for case, plan in plans.items():
        start = time.monotonic()
        _make_row(request, case, plan, made)
        words = times.after(time.monotonic() - start)
        say(f"{len(made.rows):2} of {len(plans)}  {_in_words(made.rows[case])}  {words}")
    found = _report(request, made, _by_role(request))
    found.write(out)
    write_markdown(found, out)
    psnr_db = {case: scores.psnr_db for case, scores in made.scores.items()}
    write_sheet(made.drawn, psnr_db, request.columns, out)
    return found


@dataclass(frozen=True, slots=True)
class _Made:
    """The rows so far: pictures, scores, and what is reported of them."""

    drawn: dict[Case, DrawnSet]
    scores: dict[Case, FullScores]
    rows: dict[Case, AblationRow]


class _Times:
    """How long the remaining rows will take, by those that were not there already."""

    def __init__(self, total: int) -> None:
        self._left = total
        self._fresh: list[float] = []

    def after(self, seconds: float) -> str:
        """In words, after a row that took so long."""
        self._left -= 1
        if seconds < _AT_ONCE_S:
            return "was there"
        self._fresh.append(seconds)
        left = self._left * sum(self._fresh) / len(self._fresh)
        return f"{seconds:.0f} s, {left / 60:.0f} min left"


def _plan(maker: PlanMaker, case: Case, folder: Path) -> RowPlan:
    """A row's plan; one that was made before is read, because a solver may break ties otherwise."""
    path, how = folder / f"{case.name}.yaml", folder / f"{case.name}.txt"
    if path.is_file() and how.is_file():
        plan = PrecisionPlan.read(path)
        plan.check(maker.table)
        return RowPlan(plan, how.read_text(encoding="utf-8").strip())
    made = maker.make(case)
    made.plan.check(maker.table)
    made.plan.write(path)
    write_text(how, made.how + "\n")
    return made


def _make_row(request: Request, case: Case, plan: RowPlan, made: _Made) -> None:
    """Draws and scores a row."""
    studio = request.studio
    drawn = made.drawn[case] = studio.draw(case, plan.plan)
    folder = studio.out / "scores"
    scorer = Scorer(folder, made.drawn[FULL], request.training, request.bootstrap, studio.watch)
    scores = made.scores[case] = scorer.against_full(case.name, drawn)
    quality, before = scores.table.rows[0], previous(case)
    step = None
    if before is not None and before in made.scores:
        step = scorer.step((case.name, before.name), (scores, made.scores[before]))
    row = AblationRow(
        name=case.name,
        label=case.label,
        plan=drawn.manifest.painter.plan,
        plan_digest=plan.plan.digest,
        how=plan.how,
        costs=costs_of(plan.plan, request.plans.table, studio.resolution),
        manifest_sha256=drawn.sha256,
        quality=quality.scores,
        refused=quality.refused,
        training=scorer.against_training(case.name, drawn),
        step=step,
        paper_fid=case.paper_fid,
        comparison=None,
    )
    made.rows[case] = replace(row, comparison=_comparison(case, row, made.rows))


def _comparison(case: Case, row: AblationRow, earlier: Mapping[Case, AblationRow]) -> Comparison | None:
    """With the nearest step before in the same budget that the paper has, else with full precision."""
    before: Case | None = previous(case)
    while before is not None and (before.paper_fid is None or before not in earlier):
        before = previous(before)
    before = before or FULL
    if case is FULL or case.paper_fid is None or before.paper_fid is None:
        return None
    training = bool(row.training)
    ours, theirs = row.score(_FID, training=training), earlier[before].score(_FID, training=training)
    if ours is None or theirs is None or not theirs.value > 0 or (before is FULL and not training):
        return None
    metric = f"{ours.metric} to {'training pictures' if training else 'full precision'}"
    return Comparison.of(
        before.name, (case.paper_fid[0], before.paper_fid[0]), (ours.value, theirs.value), metric
    )


def _by_role(request: Request) -> ByRole | None:
    if not request.role_prompts:
        return None
    studio, header = request.studio, request.header
    return measure_by_role(
        studio.source,
        request.plans.table,
        _ranges(studio.work / RANGES_FILE, header),
        [picture.prompt for picture in studio.pictures[: request.role_prompts]],
        seed=header.seed,
        resolution=studio.resolution,
        header_digest=header.digest,
        path=studio.out / "by-role.json",
        watch=studio.watch,
    )


def _ranges(path: Path, header: Header) -> RangeTable:
    """The rows' ranges; rows that were whole did not measure any, so another run may have left these."""
    ranges = RangeTable.read(path)
    if ranges.calibration != header.calibration:
        raise EvaluationError(
            f"{path} was measured on {in_words(ranges.calibration)}, and the rows on "
            f"{in_words(header.calibration)}; give --work the folder that the rows were made with"
        )
    return ranges


def _report(request: Request, made: _Made, by_role: ByRole | None) -> Ablation:
    tables, training = [scores.table for scores in made.scores.values()], request.training
    return Ablation(
        header=request.header,
        rows=tuple(made.rows.values()),
        by_role=by_role,
        training_sha256=training.sha256 if training else None,
        training_count=len(training.photographs.files) if training else 0,
        not_scored=dict(pair for table in tables for pair in table.not_scored.items()),
        failed_controls=tuple(_failed_controls(tables)),
        command=request.command,
        machine=describe_machine(),
        versions=installed_versions(*_PACKAGES),
    )


def _failed_controls(tables: Sequence[QualityTable]) -> Iterator[str]:
    for control in (control for table in tables for control in table.controls if not control.passed):
        place = Path(control.pictures).name
        yield f"control failed: {control.metric} of {place}, {control.name}: {control.means}"


def _in_words(row: AblationRow) -> str:
    names = ("FID", "PSNR dB", "emoji alignment")
    found = [score for score in map(row.score, names) if score is not None]
    return f"{row.name:<13} " + ", ".join(f"{score.metric} {score.value:.4g}" for score in found)
