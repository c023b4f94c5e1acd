"""How long layers and stages take: what the integer programme and the serving policy read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text

WHOLE = "picture"
"""The name of the whole of all stages."""

STAGES = ("text", "unet", "vae", "encode", WHOLE)
"""Tokenizers and text encoders; all denoising steps; the VAE decoder, to 8-bit levels; PNG; all of them."""


@dataclass(frozen=True, slots=True, config=STRICT)
class LatencyRow:
    """One measured time.

    Attributes:
        name: a stage (`text`, `unet`, `vae`, `encode`, or `picture` for the whole), a layer's module path, a
            kind of kernel (`Softmax`) of the UNet's rest, or a class of the UNet's kernels.
        kind: `stage`; `layer`, all that runs because of a layer: its kernels, and its share of the
            quantize/dequantize nodes that feed it; `rest`, the UNet's kernels that belong to no layer, by the
            kind of kernel; `class`, sums over a UNet run: `layers` (the layers' own kernels), `quantize` and
            `rest`, which like all layers and rest together are all kernels; `profiler`, what measuring them
            took, which is part of none; `unprofiled run`, the whole run without the profiler.
        precision: of a layer `W8A8`, `FP16`; of a stage the plan in words.
        plan_digest: of the plan that ran; None for the reference pipeline.
        target: `cpu`, `rtx:sm89`, `diffusers`.
        device: `cpu` or `cuda`.
        resolution: pixels.
        batch: pictures at once.
        median_us: microseconds of one run, of all pictures of the batch together.
        lower_quartile_us: a quarter of the runs took no longer.
        upper_quartile_us: a quarter of the runs took at least as long.
        p95_us: 95 of 100 runs took no longer.
        runs: how many were measured.
        source: the bundle's folder or the model, as the tables call it.
        model: the model's name.
        steps: denoising steps of a picture.
        clock: `wall` (the processor's, the GPU's work waited for), `cuda events`, `onnxruntime profile`.
        run_digest: SHA-256 over all that was run: files, prompt, seed, warm-up, repeats.
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
    source: str
    model: str
    steps: int
    clock: str
    run_digest: str

    @property
    def identity(self) -> tuple[object, ...]:
        """What was measured; a table holds it once."""
        what = (self.name, self.kind, self.source, self.model, self.precision, self.plan_digest)
        return (*what, self.target, self.device, self.resolution, self.batch, self.steps)


@dataclass(frozen=True, slots=True, config=STRICT)
class LatencyTable:
    """Measured times of one machine (`latency.json`).

    Attributes:
        rows: the times; each identity once.
        machine: what they were measured on.
        versions: packages, by name.
    """

    rows: tuple[LatencyRow, ...]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    version: int = 1

    def find(
        self,
        name: str,
        *,
        resolution: int,
        batch: int,
        precision: str | None = None,
        plan_digest: str | None = None,
        target: str | None = None,
        device: str | None = None,
        steps: int | None = None,
        source: str | None = None,
    ) -> LatencyRow:
        """The one row of a stage or layer.

        Args:
            name: a stage or a layer.
            resolution: pixels.
            batch: pictures at once.
            precision: see `LatencyRow`; None, here and below, for any.
            plan_digest: see `LatencyRow`.
            target: see `LatencyRow`.
            device: see `LatencyRow`.
            steps: see `LatencyRow`.
            source: see `LatencyRow`.

        Raises:
            EvaluationError: no such row, or several; says which there are and what tells them apart.
        """
        wanted = {
            "resolution": resolution,
            "batch": batch,
            "precision": precision,
            "plan_digest": plan_digest,
            "target": target,
            "device": device,
            "steps": steps,
            "source": source,
        }
        given = {field: value for field, value in wanted.items() if value is not None}
        named = [row for row in self.rows if row.name == name]
        found = [row for row in named if all(getattr(row, field) == value for field, value in given.items())]
        if len(found) == 1:
            return found[0]
        asked = ", ".join(f"{field} {value}" for field, value in given.items())
        if found:
            raise EvaluationError(
                f"the latency table has {len(found)} rows for {name} with {asked}; they differ in "
                f"{_differences(found, wanted)}: say which"
            )
        there = f"it has {name} with {_differences(named, wanted)}" if named else _names(self.rows)
        raise EvaluationError(
            f"the latency table has no row for {name} with {asked}; {there}. "
            "Measure it with `mixdq-eval latency`, into the same file"
        )

    def updated(self, rows: Iterable[LatencyRow]) -> LatencyTable:
        """The table with further rows; those of an identity that was measured before are replaced."""
        kept = {row.identity: row for row in self.rows} | {row.identity: row for row in rows}
        return LatencyTable(tuple(kept.values()), self.machine, self.versions)

    @classmethod
    def merge(cls, tables: Sequence[LatencyTable]) -> LatencyTable:
        """One table of several of the same machine.

        Raises:
            EvaluationError: none was given; they come from several machines or versions; or two of them
                measured the same thing to different ends.
        """
        versions = common_versions(tables)
        rows: dict[tuple[object, ...], LatencyRow] = {}
        for row in (row for table in tables for row in table.rows):
            if rows.setdefault(row.identity, row) != row:
                raise EvaluationError(
                    f"two of the tables measured {row.name} of {row.source} ({row.target} on {row.device}, "
                    f"{row.resolution} pixels, batch {row.batch}); leave one of them out"
                )
        return cls(tuple(rows.values()), tables[0].machine, versions)

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


class Measured(Protocol):
    """A table of figures of one machine."""

    @property
    def machine(self) -> Mapping[str, str]:
        """What they were measured on."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Packages, by name."""


def common_versions(tables: Sequence[Measured]) -> dict[str, str]:
    """The versions of tables that can stand in one: of the same machine and the same packages.

    Raises:
        EvaluationError: there is no table, or they come from several machines or versions.
    """
    if not tables:
        raise EvaluationError("no table was given to merge; pass at least one")
    first, versions = tables[0], dict(tables[0].versions)
    for table in tables[1:]:
        if difference := first_difference(first.machine, table.machine):
            raise EvaluationError(
                f"the tables come from different machines ({difference}), and figures of different machines "
                "are never put side by side: merge those of one machine"
            )
        shared = {name: text for name, text in table.versions.items() if name in versions}
        if difference := first_difference({name: versions[name] for name in shared}, shared):
            raise EvaluationError(
                f"the tables were measured with different versions ({difference}); measure one of them again"
            )
        versions |= table.versions
    return versions


def first_difference(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """The first entry in which two descriptions differ: `gpu: none and NVIDIA H200`; empty if they don't."""
    for name in [*one, *other]:
        if one.get(name) != other.get(name):
            return f"{name}: {one.get(name, 'none')} and {other.get(name, 'none')}"
    return ""


def _differences(rows: Sequence[LatencyRow], fields: Iterable[str]) -> str:
    """The fields in which rows differ, with the values that they have there; all fields of a single row."""
    values = {field: sorted({str(getattr(row, field)) for row in rows}) for field in fields}
    telling = {field: found for field, found in values.items() if len(found) > 1 or len(rows) == 1}
    return "; ".join(f"{field} {', '.join(found)}" for field, found in (telling or values).items())


def _names(rows: Sequence[LatencyRow]) -> str:
    stages = sorted({row.name for row in rows if row.kind == "stage"})
    layers = len({row.name for row in rows if row.kind == "layer"})
    return f"it has the stages {', '.join(stages) or '(none)'} and {layers} layers"
