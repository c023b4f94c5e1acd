"""How long layers and stages take: what the integer programme and the serving policy read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field as field_of
from pathlib import Path
from typing import Protocol

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, parse, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text

LATENCY_VERSION = 2

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
        precision: of a layer what the plan gives it (`W8A8`, `FP16`); of a stage the plan in words, with what
            it ran in where that is something else (`FP16 plan, FP32 in ONNX Runtime`).
        plan_digest: of the plan that ran; None for the reference pipeline.
        target: `cpu`, `rtx:sm89`, `diffusers`.
        device: `cpu` or `cuda`.
        resolution: pixels.
        batch: pictures at once.
        median_us: microseconds of one run, of all pictures of the batch together.
        lower_quartile_us: a quarter of the runs took no longer.
        upper_quartile_us: a quarter of the runs took at least as long.
        p95_us: 95 of 100 runs took no longer.
        runs: how many were measured, in all processes together.
        processes: fresh processes that they were measured in.
        lowest_process_us: the lowest of the processes' medians.
        highest_process_us: the highest of them; what two rows are apart by less says nothing.
        source: the bundle's folder or the model, as the tables call it.
        model: the model's name.
        steps: denoising steps of a picture.
        clock: `wall` (the processor's, the GPU's work waited for), `cuda events`, `onnxruntime profile`.
        run_digest: SHA-256 over all that was run: files, prompt, seed, warm-up, repeats, processes; in words
            in `LatencyTable.runs`.
        sm_mhz: the clock rate of the GPU's multiprocessors meanwhile, the median of what its driver said;
            None without a GPU, or where nobody asked.
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
    processes: int
    lowest_process_us: float
    highest_process_us: float
    source: str
    model: str
    steps: int
    clock: str
    run_digest: str
    sm_mhz: int | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """What was measured; a table holds it once."""
        what = (self.name, self.kind, self.source, self.model, self.precision, self.plan_digest)
        return (*what, self.target, self.device, self.resolution, self.batch, self.steps)


@dataclass(frozen=True, slots=True, config=STRICT)
class LatencyRun:
    """What rows of one `run_digest` came from.

    Attributes:
        prompt: what was drawn.
        seed: of the noise of a batch's first picture.
        warmup: pictures that each process drew before.
        repeats: pictures that each process measured.
        model_digest: of the model that the engines were made of, or of the reference.
        engines: by stage, SHA-256 of each file that its engines are made of, stored weights included, by its
            path in the bundle; empty for the reference.
    """

    prompt: str
    seed: int
    warmup: int
    repeats: int
    model_digest: str
    engines: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, config=STRICT)
class LatencyTable:
    """Measured times of one machine (`latency.json`).

    Attributes:
        rows: the times; each identity once.
        machine: what they were measured on.
        versions: packages, by name.
        runs: what the rows came from, by `LatencyRow.run_digest`.
    """

    rows: tuple[LatencyRow, ...]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    runs: Mapping[str, LatencyRun] = field_of(default_factory=dict)
    version: int = LATENCY_VERSION

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

    def updated(
        self, rows: Iterable[LatencyRow], runs: Mapping[str, LatencyRun] | None = None
    ) -> LatencyTable:
        """The table with further rows and what they came from.

        Rows of an identity that was measured before are replaced; runs that no row came from are left out.
        """
        kept = {row.identity: row for row in self.rows} | {row.identity: row for row in rows}
        return _table(kept.values(), self.machine, self.versions, {**self.runs, **(runs or {})})

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
        runs = {digest: run for table in tables for digest, run in table.runs.items()}
        return _table(rows.values(), tables[0].machine, versions, runs)

    def write(self, path: Path) -> None:
        """Writes the table."""
        write_text(path, to_json(self))

    @classmethod
    def read(cls, path: Path) -> LatencyTable:
        """Reads a table.

        Raises:
            EvaluationError: the file has another form, or is another version's.
            StorageError: there is none.
        """
        try:
            plain = read_json(dict, path, EvaluationError)
            # The version first: another one's fields may well be others.
            if (version := plain.get("version")) != LATENCY_VERSION:
                raise EvaluationError(f"its version is {'missing' if version is None else version}")
            return parse(cls, plain, "it", EvaluationError)
        except EvaluationError as error:
            raise EvaluationError(
                f"{path} is no latency table of version {LATENCY_VERSION}, which `mixdq-eval latency` writes"
                f": {error}"
            ) from error


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


def _table(
    rows: Iterable[LatencyRow],
    machine: Mapping[str, str],
    versions: Mapping[str, str],
    runs: Mapping[str, LatencyRun],
) -> LatencyTable:
    """A table without runs that no row came from."""
    rows = tuple(rows)
    used = {row.run_digest for row in rows}
    return LatencyTable(rows, machine, versions, {name: run for name, run in runs.items() if name in used})


def _differences(rows: Sequence[LatencyRow], fields: Iterable[str]) -> str:
    """The fields in which rows differ, with the values that they have there; all fields of a single row."""
    values = {field: sorted({str(getattr(row, field)) for row in rows}) for field in fields}
    telling = {field: found for field, found in values.items() if len(found) > 1 or len(rows) == 1}
    return "; ".join(f"{field} {', '.join(found)}" for field, found in (telling or values).items())


def _names(rows: Sequence[LatencyRow]) -> str:
    stages = sorted({row.name for row in rows if row.kind == "stage"})
    layers = len({row.name for row in rows if row.kind == "layer"})
    return f"it has the stages {', '.join(stages) or '(none)'} and {layers} layers"
