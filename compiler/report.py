"""The figures of a run (`report.json`): seconds, memory, bytes, versions, machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.compiler.builders import installed_version
from mixdq.compiler.memory import peak_mib
from mixdq.compiler.records import StageRecord
from mixdq.compiler.stages import Outcome
from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import BundleError
from mixdq.configs.files import write_text
from mixdq.configs.machine import describe_machine

REPORT_FILE = "report.json"
_PACKAGES = (
    "mixdq",
    "torch",
    "diffusers",
    "transformers",
    "onnx",
    "onnx-ir",
    "onnxscript",
    "onnxruntime",
    "tensorrt-rtx-cu13",
    "numpy",
)


@dataclass(frozen=True, slots=True, config=STRICT)
class StageFigures:
    """One stage: when it last ran, how long, and with how much memory (None: in the main process)."""

    name: str
    seconds: float
    peak_mib: float | None
    ran_now: bool


@dataclass(frozen=True, slots=True, config=STRICT)
class EngineFigures:
    """One engine: its bytes, and those of the weights that it loads beside itself."""

    component: str
    target: str
    resolution: int | None
    bytes: int
    weight_bytes: int


@dataclass(frozen=True, slots=True, config=STRICT)
class StoredWeights:
    """The UNet's stored weights of one kind of graph against two bytes for each of its parameters."""

    dialect: str
    bytes: int
    fp16_bytes: int
    ratio: float


@dataclass(frozen=True, slots=True, config=STRICT)
class RunReport:
    """The figures of the last run that made something.

    Attributes:
        seconds: of the run, from its start to its end.
        peak_mib: an upper bound on the memory of all its processes together.
        stages: every stage; those that were up to date with the figures of the run that made them.
        weights: stored weight bytes of the UNet.
        engines: every engine's bytes.
        versions: the packages that did the work.
        machine: processor, cores, system.
    """

    seconds: float
    peak_mib: float
    stages: tuple[StageFigures, ...]
    weights: tuple[StoredWeights, ...]
    engines: tuple[EngineFigures, ...]
    versions: tuple[str, ...]
    machine: Mapping[str, str]
    version: int = 1

    @classmethod
    def read(cls, root: Path) -> RunReport:
        """Reads a bundle's report.

        Raises:
            BundleError: the file has another form.
            StorageError: there is none.
        """
        return read_json(cls, root / REPORT_FILE, BundleError)


def write_report(out: Path, outcome: Outcome, seconds: float) -> None:
    """Writes the report of a finished run into the bundle's folder."""
    report = RunReport(
        seconds=round(seconds, 2),
        peak_mib=round(outcome.peak_mib + peak_mib(), 1),
        stages=tuple(_figures(record, outcome) for record in outcome.results.values()),
        weights=_stored_weights(out, fp16_bytes=2 * outcome.results["weights"].value[Component.UNET]),
        engines=_engines(Bundle.read(out)),
        versions=tuple(installed_version(name) for name in _PACKAGES),
        machine=describe_machine(),
    )
    write_text(out / REPORT_FILE, to_json(report))


def _figures(record: StageRecord, outcome: Outcome) -> StageFigures:
    peak = None if record.peak_mib is None else round(record.peak_mib, 1)
    return StageFigures(record.name, record.seconds, peak, record.name in outcome.ran)


def _stored_weights(out: Path, *, fp16_bytes: int) -> tuple[StoredWeights, ...]:
    stored = []
    graphs = out / "onnx"  # none if all targets are compiled from modules
    for folder in sorted(graphs.iterdir()) if graphs.is_dir() else ():
        size = sum(path.stat().st_size for path in folder.glob(f"{Component.UNET}*.weights"))
        stored.append(StoredWeights(folder.name, size, fp16_bytes, round(size / fp16_bytes, 4)))
    return tuple(stored)


def _engines(bundle: Bundle) -> tuple[EngineFigures, ...]:
    return tuple(
        EngineFigures(
            engine.component,
            engine.target,
            engine.resolution,
            engine.file.bytes,
            sum(file.bytes for file in engine.weights),
        )
        for engine in bundle.engines
    )
