"""What a self-test found: a file for programs and a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from pydantic.dataclasses import dataclass
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mixdq.configs.bundle import Component
from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.files import write_text

AGREEMENT_FLOOR_DB = 6.0
"""An engine whose error is more than half as large as its output computes something else than it should. An
engine that is right reaches about 20 dB and more, but integers round differently in each back end."""

FLAT_LEVELS = 2.0
"""A picture whose levels (0 to 255) deviate less from their mean is of one colour: black, as a rule."""


class Outcome(StrEnum):
    """How the self-test of a target ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True, config=STRICT)
class EngineFigures:
    """One engine at one resolution.

    Attributes:
        component: the network.
        resolution: pixels; None for one that serves every resolution.
        median_ms: of one run, copies to and from the GPU included.
        sqnr_db: its outputs, the worst of them, against those of ONNX Runtime on the CPU for the same inputs;
            None where there is nothing to compare with.
    """

    component: Component
    resolution: int | None
    median_ms: float
    sqnr_db: float | None


@dataclass(frozen=True, slots=True, config=STRICT)
class PictureFigures:
    """One picture.

    Attributes:
        resolution: pixels of each side.
        median_ms: of the whole pipeline.
        deviation: standard deviation of its levels, 0 to 255.
        psnr_db: against the picture that ONNX Runtime draws on the CPU; None where there is none.
    """

    resolution: int
    median_ms: float
    deviation: float
    psnr_db: float | None


@dataclass(frozen=True, slots=True, config=STRICT)
class TargetFigures:
    """What was measured of a target.

    Attributes:
        files: how many engine files had the digests of the bundle.
        engines: every engine at every resolution.
        pictures: one a resolution.
        host_mib: peak memory of the process.
        gpu_mib: memory of the GPU that everything held at the end; None where nothing was on a GPU.
    """

    files: int
    engines: tuple[EngineFigures, ...]
    pictures: tuple[PictureFigures, ...]
    host_mib: float
    gpu_mib: float | None

    def faults(self) -> str:
        """What is wrong with the figures; empty if nothing is."""
        flat = [
            f"the picture of {picture.resolution} pixels is of one colour (its levels deviate by "
            f"{picture.deviation:.1f})"
            for picture in self.pictures
            if picture.deviation < FLAT_LEVELS
        ]
        apart = [
            f"{engine.component} at {engine.resolution or 'all'} pixels agrees with ONNX Runtime to "
            f"{engine.sqnr_db:.1f} dB only, expected {AGREEMENT_FLOOR_DB:.0f}"
            for engine in self.engines
            if engine.sqnr_db is not None and engine.sqnr_db < AGREEMENT_FLOOR_DB
        ]
        return "; ".join(flat + apart)


@dataclass(frozen=True, slots=True, config=STRICT)
class TargetResult:
    """One target of the bundle on one device.

    Attributes:
        target: `cpu`, `rtx:sm89`, …
        device: where it computed: `cpu` or `cuda`.
        outcome: how it ended.
        reason: why it failed or did not run; empty if it passed.
        figures: None unless it ran to its end.
    """

    target: str
    device: str
    outcome: Outcome
    reason: str
    figures: TargetFigures | None

    @property
    def name(self) -> str:
        """Target and, where it isn't obvious, device: `cpu on cuda`."""
        return f"{self.target} on {self.device}" if self.target == "cpu" else self.target


@dataclass(frozen=True, slots=True, config=STRICT)
class SelftestReport:
    """A bundle on this machine (`selftest.json`).

    Attributes:
        model: the model's name.
        model_digest: `ModelIdentity.digest`.
        plan: its precision plan in words.
        plan_digest: `PrecisionPlan.digest`.
        bundle_sha256: of `bundle.json`, which names every engine and tokenizer by its own digest.
        prompt: what was drawn, with `seed`, in one step.
        seed: the noise.
        rounds: measured runs of each engine.
        machine: system, processor, GPU.
        versions: the packages that did the work.
        results: every target of the bundle.
    """

    model: str
    model_digest: str
    plan: str
    plan_digest: str
    bundle_sha256: str
    prompt: str
    seed: int
    rounds: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    results: tuple[TargetResult, ...]

    @property
    def passed(self) -> bool:
        """Whether something ran and all that ran passed."""
        outcomes = {result.outcome for result in self.results}
        return Outcome.PASSED in outcomes and Outcome.FAILED not in outcomes

    def write(self, path: Path) -> None:
        """Writes `selftest.json`."""
        write_text(path, to_json(self))

    def reasons(self) -> tuple[str, ...]:
        """A line for each target that failed or did not run."""
        return tuple(
            f"{found.name} {found.outcome}: {found.reason}" for found in self.results if found.reason
        )

    def table(self) -> Table:
        """All figures at a glance."""
        table = Table(
            title=f"{self.model}, {self.plan}",
            caption=self._caption(),
            caption_justify="left",
            box=SIMPLE_HEAD,
        )
        table.add_column("target", no_wrap=True)
        table.add_column("what", no_wrap=True)
        for heading in ("pixels", "ms", "SQNR dB", "PSNR dB"):
            table.add_column(heading, justify="right", no_wrap=True)
        for result in self.results:
            _add(table, result)
            table.add_section()
        return table

    def _caption(self) -> str:
        return (
            f"ms: median of {self.rounds}. SQNR: each engine's outputs against ONNX Runtime on the CPU, same "
            "inputs; PSNR: whole pictures against its pictures. "
            + ", ".join([*self.machine.values(), *(f"{name} {text}" for name, text in self.versions.items())])
        )


def _add(table: Table, result: TargetResult) -> None:
    table.add_row(result.name, str(result.outcome))
    if (found := result.figures) is None:
        return
    for engine in found.engines:
        pixels = "all" if engine.resolution is None else str(engine.resolution)
        table.add_row("", str(engine.component), pixels, f"{engine.median_ms:.1f}", _db(engine.sqnr_db))
    for picture in found.pictures:
        cells = (str(picture.resolution), f"{picture.median_ms:.1f}", "", _db(picture.psnr_db))
        table.add_row("", "picture", *cells)
    memory = {"memory, host": found.host_mib, "memory, GPU": found.gpu_mib}
    for what, mib in memory.items():
        if mib is not None:
            table.add_row("", what, "", f"{mib:.0f} MiB")


def _db(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
