"""`run`: from a model to a bundle, resumable; what is up to date is not made again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.crew import execute
from mixdq.compiler.pipeline import Goal, first_stages_of, stages_of
from mixdq.compiler.recipe import Recipe
from mixdq.compiler.records import Book
from mixdq.compiler.report import REPORT_FILE, write_report
from mixdq.compiler.stages import Outcome, Watch
from mixdq.configs.bundle import BUNDLE_FILE
from mixdq.configs.errors import RequestError
from mixdq.export.source import SourceModel, open_source


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run did.

    Attributes:
        outcome: the stages' records.
        seconds: of the whole run.
    """

    outcome: Outcome
    seconds: float

    @property
    def was_up_to_date(self) -> bool:
        """Whether there was nothing to do."""
        return not self.outcome.ran


def run(
    recipe: Recipe,
    out: Path,
    *,
    work: Path | None,
    jobs: int,
    watch: Watch,
    goal: Goal = Goal.BUNDLE,
    source: SourceModel | None = None,
) -> Ran:
    """Brings a bundle's folder up to date with a recipe.

    Args:
        recipe: what to make.
        out: the bundle's folder.
        work: the folder of what every plan of the model shares; None for `out/work`.
        jobs: child processes at work at once.
        watch: told how it goes.
        goal: where to stop.
        source: the recipe's model, if it is open already.

    Raises:
        MixdqError: bad input, a full disk, or a child that was killed; the next run goes on from there.
    """
    start = time.monotonic()
    source = source or open_source(recipe.choice)
    recipe.check(source)
    out = out.resolve()
    work = (work or out / "work").resolve()
    if work == out or work in out.parents:
        raise RequestError(f"--work {work} must be another folder than --out {out}, and not around it")
    _check_apart(source, "--out", out)
    _check_apart(source, "--work", work)
    with Book.open(out, seal=out / BUNDLE_FILE) as out_book, Book.open(work) as work_book:
        first = execute(first_stages_of(recipe, source, work_book), jobs=jobs, watch=watch)
        stages = stages_of(recipe, source, work_book, out_book, goal, first.results)
        outcome = _joined(first, execute(stages, jobs=jobs, watch=watch))
        ran = Ran(outcome, time.monotonic() - start)
        if goal is Goal.BUNDLE:
            out_book.prune(stage.name for stage in stages if stage.book is out_book)
            if outcome.ran or not (out / REPORT_FILE).is_file():
                write_report(out, outcome, ran.seconds)
    return ran


def _joined(first: Outcome, rest: Outcome) -> Outcome:
    """Two parts of one run; the stages of the first are among those of the second, up to date by then."""
    ran = tuple(dict.fromkeys((*first.ran, *rest.ran)))
    return Outcome(rest.results, ran, max(first.peak_mib, rest.peak_mib))


def _check_apart(source: SourceModel, option: str, folder: Path) -> None:
    model = source.folder.resolve()
    if folder == model or model in folder.parents or folder in model.parents:
        raise RequestError(
            f"{option} {folder} must be apart from the model's folder {model}: not the same, not inside it, "
            "not around it; give another folder"
        )


def say_what_ran(out: Path, ran: Ran) -> None:
    """Prints what a run did, and where it is."""
    if ran.was_up_to_date:
        print(f"nothing to do: {out} is up to date")
        return
    count = len(ran.outcome.results)
    print(
        f"{out}: {len(ran.outcome.ran)} of {count} stages in {ran.seconds:.1f} s, the rest was up to date; "
        f"`mixdq-compile inspect {out}` shows it"
    )
