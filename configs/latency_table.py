"""How long layers and stages take: what the integer programme and the serving policy read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text

WHOLE = "picture"
"""The name of the whole of all stages."""


@dataclass(frozen=True, slots=True, config=STRICT)
class LatencyRow:
    """One measured time.

    Attributes:
        name: a stage (`text`, `unet`, `vae`, `encode`, or `picture` for the whole), or a layer's module path.
        kind: `stage` or `layer`.
        precision: of a layer `W8A8`, `FP16`; of a stage the plan in words.
        plan_digest: of the plan that ran; None for the reference pipeline.
        target: `cpu`, `rtx:sm89`, `diffusers`.
        device: `cpu` or `cuda`.
        resolution: pixels.
        batch: pictures at once.
        median_us: microseconds of one run.
        lower_quartile_us: a quarter of the runs took no longer.
        upper_quartile_us: a quarter of the runs took at least as long.
        p95_us: 95 of 100 runs took no longer.
        runs: how many were measured.
    """

    name: str
    kind: str
    precision: str
    plan_digest: str | None
    target: str
    device: str
    resolution: int
    batch: int
    median_us: float
    lower_quartile_us: float
    upper_quartile_us: float
    p95_us: float
    runs: int


@dataclass(frozen=True, slots=True, config=STRICT)
class LatencyTable:
    """Measured times of one machine (`latency.json`).

    Attributes:
        rows: the times.
        machine: what they were measured on.
        versions: packages, by name.
    """

    rows: tuple[LatencyRow, ...]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    version: int = 1

    def write(self, path: Path) -> None:
        """Writes the table."""
        write_text(path, to_json(self))

    @classmethod
    def read(cls, path: Path) -> LatencyTable:
        """Reads a table.

        Raises:
            EvaluationError: the file has another form.
            StorageError: there is none.
        """
        return read_json(cls, path, EvaluationError)
