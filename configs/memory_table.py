"""How much memory pictures take: peaks of a process of its own for every configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text
from mixdq.configs.latency_table import common_versions


@dataclass(frozen=True, slots=True, config=STRICT)
class MemoryRow:
    """The memory of one configuration, from a fresh process that loads it and draws a few pictures.

    All figures are in MiB (1,048,576 bytes). None: not measured, as there is no such memory or no one who
    would tell.

    Attributes:
        source: the bundle's folder or the model, as the tables call it.
        model: the model's name.
        precision: the plan in words, or the reference's precision.
        plan_digest: of the plan that ran; None for the reference pipeline.
        target: `cpu`, `rtx:sm89`, `diffusers`.
        device: `cpu` or `cuda`.
        resolution: pixels.
        batch: pictures at once.
        steps: denoising steps.
        weights_mib: on disk, the files that this configuration loads: engines with their weights, or the
            model's safetensors; None for weights that are made up.
        host_baseline_mib: resident memory of the process after its imports, before anything is loaded.
        host_peak_mib: its largest resident memory from then on, the baseline included; of files that are
            mapped, the pages that were read count.
        allocator_allocated_mib: most that torch's tensors took on the GPU.
        allocator_reserved_mib: most that torch's allocator held of it.
        gpu_process_mib: most that the driver (NVML) saw this process hold on the GPU, CUDA's own included.
        gpu_before_mib: of the whole GPU, in use before; by others as well.
        gpu_peak_mib: of the whole GPU, most in use while it ran.
        gpu_after_mib: of the whole GPU, in use when everything was given back but the process had not ended.
        pictures: batches that were drawn.
        run_digest: SHA-256 over all that was run: files, prompt, seed, number of pictures.
    """

    source: str
    model: str
    precision: str
    plan_digest: str | None
    target: str
    device: str
    resolution: int
    batch: int
    steps: int
    weights_mib: float | None
    host_baseline_mib: float
    host_peak_mib: float
    allocator_allocated_mib: float | None
    allocator_reserved_mib: float | None
    gpu_process_mib: float | None
    gpu_before_mib: float | None
    gpu_peak_mib: float | None
    gpu_after_mib: float | None
    pictures: int
    run_digest: str

    @property
    def identity(self) -> tuple[object, ...]:
        """What was measured; a table holds it once."""
        what = (self.source, self.model, self.precision, self.plan_digest, self.target, self.device)
        return (*what, self.resolution, self.batch, self.steps)

    @property
    def peak_mib(self) -> float:
        """The peak that matters where it ran: the GPU's, by the best witness that there is, or the host's.

        The driver's view of the process comes first, then what the whole GPU's use grew by, then torch's
        allocator; on the CPU the process, without its imports.
        """
        if self.gpu_process_mib is not None:
            return self.gpu_process_mib
        if self.gpu_peak_mib is not None and self.gpu_before_mib is not None:
            return self.gpu_peak_mib - self.gpu_before_mib
        if self.allocator_reserved_mib is not None:
            return self.allocator_reserved_mib
        return self.host_peak_mib - self.host_baseline_mib


@dataclass(frozen=True, slots=True, config=STRICT)
class MemoryTable:
    """Measured memory of one machine (`memory.json`).

    Attributes:
        rows: one a configuration; each identity once.
        machine: what they were measured on.
        versions: packages, by name.
    """

    rows: tuple[MemoryRow, ...]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    version: int = 1

    def find(self, source: str, *, target: str, device: str, resolution: int, batch: int) -> MemoryRow:
        """The one row of a configuration.

        Raises:
            EvaluationError: no such row, or several (of several precisions or numbers of steps).
        """
        wanted = (source, target, device, resolution, batch)
        places = {row: (row.source, row.target, row.device, row.resolution, row.batch) for row in self.rows}
        found = [row for row, place in places.items() if place == wanted]
        if len(found) == 1:
            return found[0]
        what = f"{source} ({target} on {device}, {resolution} pixels, batch {batch})"
        if found:
            kinds = "; ".join(f"{row.precision}, {row.steps} steps" for row in found)
            raise EvaluationError(f"the memory table has {len(found)} rows for {what}: {kinds}; keep one")
        there = "; ".join(sorted({f"{one[0]} at {one[3]} pixels, batch {one[4]}" for one in places.values()}))
        raise EvaluationError(
            f"the memory table has no row for {what}; it has {there or 'none at all'}. "
            "Measure it with `mixdq-eval memory`, into the same file"
        )

    def updated(self, rows: Iterable[MemoryRow]) -> MemoryTable:
        """The table with further rows; those of an identity that was measured before are replaced."""
        kept = {row.identity: row for row in self.rows} | {row.identity: row for row in rows}
        return MemoryTable(tuple(kept.values()), self.machine, self.versions)

    @classmethod
    def merge(cls, tables: Sequence[MemoryTable]) -> MemoryTable:
        """One table of several of the same machine.

        Raises:
            EvaluationError: none was given; they come from several machines or versions; or two of them
                measured the same thing to different ends.
        """
        versions = common_versions(tables)
        rows: dict[tuple[object, ...], MemoryRow] = {}
        for row in (row for table in tables for row in table.rows):
            if rows.setdefault(row.identity, row) != row:
                raise EvaluationError(
                    f"two of the tables measured {row.source} ({row.target} on {row.device}, "
                    f"{row.resolution} pixels, batch {row.batch}); leave one of them out"
                )
        return cls(tuple(rows.values()), tables[0].machine, versions)

    def write(self, path: Path) -> None:
        """Writes the table."""
        write_text(path, to_json(self))

    @classmethod
    def read(cls, path: Path) -> MemoryTable:
        """Reads a table.

        Raises:
            EvaluationError: the file has another form.
            StorageError: there is none.
        """
        return read_json(cls, path, EvaluationError)
