"""What a comparison found: a file for programs and tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path

from pydantic.dataclasses import dataclass
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text
from mixdq.configs.layers import ModelIdentity
from mixdq.eval.compare.tolerance import (
    CLIP_DB,
    NOT_FINITE_DB,
    PLAN_MARGIN_DB,
    SPREAD_MARGIN_DB,
    BlockFigures,
)

COMPARE_FILE = "compare.json"

RULE = (
    f"full: SQNR against full precision; it must be as planned (the simulation's in torch), within "
    f"{PLAN_MARGIN_DB:g} dB both ways. simulation: SQNR against the simulation; at least what the simulation "
    f"with FP16 kernels has, less {SPREAD_MARGIN_DB:g} dB. From {CLIP_DB:g} dB on all counts as equal."
)


class Verdict(StrEnum):
    """How the comparison of a run ended; `CHANGED`: within the bounds, and not the file that was built."""

    WITHIN = "within"
    CHANGED = "changed"
    OUTSIDE = "outside"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True, config=STRICT)
class RunFigures:
    """One run of the UNet.

    Attributes:
        name: `onnxruntime full`, `onnxruntime ort`, `onnxruntime tensorrt`, `rtx:sm89`, …
        simulation: name of the run in torch that it is compared with.
        verdict: whether every output is within its bounds.
        reason: why it failed or did not run; empty if it ran.
        file: the graph or engine, relative to the bundle; None for full precision, which is put together from
            the export and the model's weights.
        sha256: of that file.
        as_built: whether it and its weights are the files that the bundle records; None if it records none.
        seconds: of the inference alone, once, without warm-up; None where it was not measured.
        outputs: figures by the block's module path in the graph's order; the UNet's own by the empty name.
    """

    name: str
    simulation: str
    verdict: Verdict
    reason: str
    file: str | None
    sha256: str | None
    as_built: bool | None
    seconds: float | None
    outputs: Mapping[str, BlockFigures]

    @property
    def outside(self) -> tuple[str, ...]:
        """The outputs that are not within their bounds, in the graph's order, the UNet's own last."""
        names = [name for name, found in self.outputs.items() if not found.within]
        return tuple(sorted(names, key=lambda name: not name))


@dataclass(frozen=True, slots=True, config=STRICT)
class CompareReport:
    """A bundle's UNet in every back end that runs here, on the same inputs (`compare.json`).

    Attributes:
        model: the model and its digest.
        plan: the precision plan in words.
        plan_digest: `PrecisionPlan.digest`.
        ranges_digest: `RangeTable.digest`; None without ranges.
        resolution: pixels.
        batch: images at once.
        prompt: what was drawn.
        seed: of the noise.
        rule: the bounds in words; `mixdq.eval.compare.tolerance` says why.
        machine: processor, GPU, system.
        versions: the packages that did the work.
        runs: every run.
        files: Polygraphy's files, relative to this one, with their bytes.
    """

    model: ModelIdentity
    plan: str
    plan_digest: str
    ranges_digest: str | None
    resolution: int
    batch: int
    prompt: str
    seed: int
    rule: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    runs: tuple[RunFigures, ...]
    files: Mapping[str, int]

    @property
    def within(self) -> bool:
        """Whether nothing failed and everything that ran is within its bounds."""
        return all(run.verdict in (Verdict.WITHIN, Verdict.NOT_RUN) for run in self.runs)

    def write(self, folder: Path) -> None:
        """Writes `compare.json`."""
        write_text(folder / COMPARE_FILE, to_json(self))

    @classmethod
    def read(cls, folder: Path) -> CompareReport:
        """Reads `compare.json`.

        Raises:
            EvaluationError: the file has another form.
            StorageError: it can't be read.
        """
        return read_json(cls, folder / COMPARE_FILE, EvaluationError)

    def tables(self) -> Iterator[Table]:
        """One table a run."""
        for run in self.runs:
            if run.outputs:
                yield _table(run)

    def lines(self) -> Iterator[str]:
        """What the tables don't say."""
        yield RULE
        for run in self.runs:
            if run.reason:
                yield f"{run.name} {run.verdict}: {run.reason}"
            if run.as_built is False:
                yield (
                    f"{run.file}, or its weights, are not the files that the bundle records. Blocks' bounds "
                    "don't see every wrong constant: `mixdq-eval reduce` names the layer, and "
                    "`mixdq-compile run` builds the file again"
                )
            if run.outside:
                first = run.outside[0] or "the predicted noise"
                yield (
                    f"{run.name}: {len(run.outside)} of {len(run.outputs)} outputs are outside, the first is "
                    f"{first}; `mixdq-eval reduce` names the layer"
                )


def _table(run: RunFigures) -> Table:
    seconds = "" if run.seconds is None else f", {run.seconds:.2f} s"
    view = Table(title=f"{run.name}: {run.verdict}{seconds}", box=SIMPLE_HEAD)
    view.add_column("SQNR in dB", no_wrap=True)
    for heading in ("full", "planned", "simulation", "least", ""):
        view.add_column(heading, justify="right", no_wrap=True)
    for name in sorted(run.outputs, key=lambda name: not name):
        if not name:
            view.add_section()
        found = run.outputs[name]
        ratios = (found.full_db, found.bounds.planned_db, found.simulation_db, found.bounds.least_db)
        mark = "" if found.within else "outside"
        view.add_row(name or "predicted noise", *(_db(value) for value in ratios), mark)
    return view


def _db(value: float | None) -> str:
    if value is None:
        return "–"
    return "not finite" if value == NOT_FINITE_DB else f"{value:.1f}"
