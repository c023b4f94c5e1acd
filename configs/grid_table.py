"""What every plan costs and gives at every resolution, on every back end: what a selection reads."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, parse, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text
from mixdq.configs.latency_table import WHOLE, LatencyRow
from mixdq.configs.layers import ModelIdentity
from mixdq.configs.memory_table import MemoryRow
from mixdq.configs.quality_table import Score

GRID_FILE = "grid.json"
GRID_CSV = "grid.csv"
GRID_VERSION = 1

CLIP = "CLIP"
"""How the name of a CLIP score begins."""


class CellState(StrEnum):
    """How the measurement of a cell ended."""

    MEASURED = "measured"
    OUT_OF_MEMORY = "out of memory"
    FAILED = "failed"
    GONE = "bundle gone"


@dataclass(frozen=True, slots=True, config=STRICT)
class GridPlan:
    """A row of the grid: one plan of the model, compiled.

    Attributes:
        name: of this grid alone; no two plans share it: `full`, `w5a8`, a plan file's or a bundle's name.
        words: where the plan is from: `shipped w5a8, means 4.99/8.00, …`, a file's path.
        summary: the plan in words, as the bundle has it: `W8A8 (BOS-aware, split shortcuts)`.
        weight_bits: mean over the weights of all layers.
        activation_bits: mean, each layer weighted by its number of weights.
        quantizes: whether any layer is quantized; full precision otherwise.
        plan_digest: `PrecisionPlan.digest`.
        config_digest: SHA-256 over all that decides what the pictures are: model, plan, ranges, sampler; no
            two plans of a grid have the same.
        bundle: the bundle's folder.
        bundle_sha256: of its `bundle.json`, which holds the digests of all its files.
    """

    name: str
    words: str
    summary: str
    weight_bits: float
    activation_bits: float
    quantizes: bool
    plan_digest: str
    config_digest: str
    bundle: str
    bundle_sha256: str


@dataclass(frozen=True, slots=True, config=STRICT)
class GridCell:
    """One plan at one resolution on one back end.

    Attributes:
        plan: `GridPlan.name`.
        resolution: pixels of each side.
        target: `cpu`, `rtx:sm89`, …
        device: `cpu` or `cuda`.
        batch: pictures at once.
        state: whether there are figures.
        reason: why there are none, in words; empty if there are.
        engines_sha256: SHA-256 over the contents of all files that the cell runs, whatever they are called;
            empty where the bundle is gone. No two cells of one size and back end have the same.
        times: of the stages and of the whole picture; empty without figures.
        memory: the peaks; None without figures.
        scores: of the cell's pictures, those that compare pairs against full precision at the same
            resolution; empty if quality was not measured.
        refused: metrics whose control the pictures failed, and what it gave.
        pictures_sha256: digest of the pictures' manifest; empty if there are none.
        others_busy: processors that other processes kept busy, on average, while times were measured; None if
            nobody counted.
    """

    plan: str
    resolution: int
    target: str
    device: str
    batch: int
    state: CellState
    reason: str
    engines_sha256: str
    times: tuple[LatencyRow, ...]
    memory: MemoryRow | None
    scores: tuple[Score, ...]
    refused: Mapping[str, str]
    pictures_sha256: str
    others_busy: float | None = None

    def __post_init__(self) -> None:
        """Refuses a cell that has no figures but says that it was measured, or the reverse.

        Raises:
            ValueError: says which.
        """
        whole = any(row.name == WHOLE for row in self.times) and self.memory is not None
        if whole != (self.state is CellState.MEASURED):
            raise ValueError(
                f"{self.plan} at {self.resolution}: {self.state}, and figures are there: {whole}"
            )

    @property
    def place(self) -> tuple[str, int, str, str, int]:
        """What tells it from the other cells: plan, resolution, target, device, batch."""
        return (self.plan, self.resolution, self.target, self.device, self.batch)

    @property
    def title(self) -> str:
        """For people: `w5a8 at 128 pixels, cpu on cpu`."""
        together = f", batch {self.batch}" if self.batch > 1 else ""
        return f"{self.plan} at {self.resolution} pixels, {self.target} on {self.device}{together}"

    @property
    def is_measured(self) -> bool:
        """Whether there are times and memory."""
        return self.state is CellState.MEASURED

    @property
    def picture(self) -> LatencyRow:
        """The time of a whole batch of pictures; of a measured cell."""
        return next(row for row in self.times if row.name == WHOLE)

    @property
    def p50_ms(self) -> float:
        """Median milliseconds of a batch of pictures; of a measured cell."""
        return self.picture.median_us / 1e3

    @property
    def calm_p50_ms(self) -> float:
        """The lowest of the processes' medians, in milliseconds; of a measured cell.

        What else runs only ever makes a picture slower, so of what can be read from the processes' medians
        this is moved least by it.
        """
        return self.picture.lowest_process_us / 1e3

    @property
    def p95_ms(self) -> float:
        """95 of 100 batches took no longer, in milliseconds; of a measured cell."""
        return self.picture.p95_us / 1e3

    @property
    def peak_mib(self) -> float:
        """The peak that matters where it ran; see `MemoryRow.peak_mib`. Of a measured cell."""
        assert self.memory is not None
        return self.memory.peak_mib

    def score(self, metric: str) -> Score | None:
        """The score whose name begins with `metric`, if there is one."""
        return next((score for score in self.scores if score.metric.startswith(metric)), None)


@dataclass(frozen=True, slots=True, config=STRICT)
class HeldOut:
    """A cell that a model predicts from the other cells alone."""

    plan: str
    resolution: int
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """How much too high, as a part of what was measured."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True, config=STRICT)
class PerformanceModel:
    """A figure of one back end as a function of plan and resolution, fitted to the grid.

    Attributes:
        quantity: `p50_ms` (the lowest of the processes' medians: `GridCell.calm_p50_ms`), `p95_ms` or
            `peak_mib`.
        target: of the back end.
        device: where it computes.
        batch: pictures at once.
        form: the formula's name; see `mixdq.eval.grid.forms`.
        formula: in words, for the coefficients below; `x` is millions of pixels.
        coefficients: by plan, in the formula's order.
        held_out: every cell, predicted by the same formula fitted to the others; empty if there are too few.
    """

    quantity: str
    target: str
    device: str
    batch: int
    form: str
    formula: str
    coefficients: Mapping[str, tuple[float, ...]]
    held_out: tuple[HeldOut, ...]

    @property
    def worst_error(self) -> float | None:
        """The largest error of a held-out cell, without its sign; None if none was held out."""
        return max((abs(one.error) for one in self.held_out), default=None)


@dataclass(frozen=True, slots=True, config=STRICT)
class GridTable:
    """Plans by resolutions by back ends of one model on one machine (`grid.json`).

    Attributes:
        model: whose plans.
        plans: the rows, in the order in which they were asked for.
        cells: every plan at every resolution on every back end, measured or not.
        models: figures as functions of plan and resolution.
        warnings: what must not be overlooked: other processes that ran beside, quantized cells that are
            slower or bigger than full precision.
        not_scored: metrics that could not be computed, and why.
        prompts_digest: SHA-256 over prompts and seeds of the pictures; empty if quality was not measured.
        count: pictures that each cell's quality is judged by.
        seed: of the noise of the first of them.
        steps: denoising steps.
        settings: how it was measured: warm-up, repeats, processes a cell, prompt of the times.
        machine: where.
        versions: packages, by name.
    """

    model: ModelIdentity
    plans: tuple[GridPlan, ...]
    cells: tuple[GridCell, ...]
    models: tuple[PerformanceModel, ...]
    warnings: tuple[str, ...]
    not_scored: Mapping[str, str]
    prompts_digest: str
    count: int
    seed: int
    steps: int
    settings: Mapping[str, str]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    version: int = GRID_VERSION

    def __post_init__(self) -> None:
        """Refuses two rows that are one configuration, and cells of no plan or twice.

        Raises:
            EvaluationError: names both.
        """
        names: dict[str, str] = {}
        for plan in self.plans:
            other = names.setdefault(plan.config_digest, plan.name)
            if other != plan.name:
                raise EvaluationError(
                    f"{other} and {plan.name} are the same configuration under two names (config digest "
                    f"{plan.config_digest[:12]}); leave one of them out"
                )
        known, seen = {plan.name for plan in self.plans}, set()
        for cell in self.cells:
            if cell.plan not in known or cell.place in seen:
                raise EvaluationError(f"{cell.title} is there twice, or is of no plan of the grid")
            seen.add(cell.place)

    @property
    def measured(self) -> tuple[GridCell, ...]:
        """The cells that have figures."""
        return tuple(cell for cell in self.cells if cell.is_measured)

    def plan(self, name: str) -> GridPlan:
        """A plan by its name, of those that there are."""
        return next(plan for plan in self.plans if plan.name == name)

    def full_precision(self, cell: GridCell) -> GridCell | None:
        """The measured cell of full precision at the same size on the same back end, if there is one."""
        floating = {plan.name for plan in self.plans if not plan.quantizes}
        return next(
            (one for one in self.measured if one.plan in floating and one.place[1:] == cell.place[1:]), None
        )

    def write(self, path: Path) -> None:
        """Writes the table."""
        write_text(path, to_json(self))

    @classmethod
    def read(cls, path: Path) -> GridTable:
        """Reads a table.

        Raises:
            EvaluationError: the file has another form, or is another version's.
            StorageError: there is none.
        """
        try:
            plain = read_json(dict, path, EvaluationError)
            # The version first: another one's fields may well be others.
            if (version := plain.get("version")) != GRID_VERSION:
                raise EvaluationError(f"its version is {'missing' if version is None else version}")
            return parse(cls, plain, "it", EvaluationError)
        except EvaluationError as error:
            raise EvaluationError(
                f"{path} is no grid of version {GRID_VERSION}, which `mixdq-eval grid` writes: {error}"
            ) from error
