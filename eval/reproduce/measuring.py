"""Memory and time of rows' bundles, each in processes of its own, into tables that go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.worker import Report
from mixdq.configs.latency_table import WHOLE
from mixdq.eval.quality.found import Watch
from mixdq.eval.reproduce.result import Figure
from mixdq.eval.speed.choices import TorchPrecision
from mixdq.eval.speed.kernel_run import LAYERS, QUANTIZE, REST
from mixdq.eval.speed.latency import measure_latency
from mixdq.eval.speed.latency_run import Rounds
from mixdq.eval.speed.memory import measure_memory
from mixdq.eval.speed.reference_subject import Baseline
from mixdq.eval.speed.sources import Wanted, cases_of
from mixdq.eval.speed.subject import Case, Drawing

_PICTURES = 2
_WARMUP, _PROCESSES = 3, 3
_STAGES = {WHOLE: "picture_ms", "unet": "unet_ms"}
_CLASSES = {LAYERS: "quantizable_ms", QUANTIZE: "quantize_ms", REST: "rest_ms"}

Figures = Mapping[str, Mapping[str, Figure]]
"""By row, then by column."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What every process draws, and what ONNX Runtime computes on."""

    resolution: int
    prompt: str
    device: str


def memory_figures(bundles: Mapping[str, Path], subject: Subject, out: Path, watch: Watch) -> Figures:
    """Peak memory of each row, on the CPU beyond its imports, and what its engines take on disk.

    Raises:
        EvaluationError: the file `out` was measured on another machine.
    """
    cases = _cases(bundles, subject)
    table = measure_memory(list(cases.values()), _PICTURES, out, reporting(watch))
    found: dict[str, dict[str, Figure]] = {}
    for name, case in cases.items():
        (row,) = [row for row in table.rows if row.run_digest == case.digest("memory", _PICTURES)]
        found[name] = {"peak_mib": Figure(row.peak_mib)}
        if row.weights_mib is not None:
            found[name]["disk_mib"] = Figure(row.weights_mib)
    first = next(iter(found.values()))["peak_mib"].value
    for figures in found.values():
        figures["memory_reduction"] = Figure(first / figures["peak_mib"].value)
    return found


def latency_figures(
    bundles: Mapping[str, Path], subject: Subject, repeats: int, out: Path, watch: Watch
) -> Figures:
    """Median times of each row with the range of its processes; on the CPU the UNet's by kind of layer.

    Raises:
        EvaluationError: the file `out` was measured on another machine.
    """
    cases = _cases(bundles, subject)
    by_layer = subject.device == "cpu"
    rounds = Rounds(_WARMUP, repeats, _PROCESSES)
    table = measure_latency(list(cases.values()), rounds, out, reporting(watch), layers=by_layer)
    found: dict[str, dict[str, Figure]] = {}
    for name, case in cases.items():
        digest = case.digest("latency", rounds.warmup, rounds.repeats, rounds.processes)
        rows = {(row.kind, row.name): row for row in table.rows if row.run_digest == digest}
        found[name] = figures = {}
        for stage, key in _STAGES.items():
            row = rows["stage", stage]
            ends = (row.median_us, row.lowest_process_us, row.highest_process_us)
            figures[key] = Figure(*(us / 1e3 for us in ends))
        if by_layer:
            figures |= {key: Figure(rows["class", kind].median_us / 1e3) for kind, key in _CLASSES.items()}
    first = next(iter(found.values()))["unet_ms"].value
    for figures in found.values():
        figures["unet_speedup"] = Figure(first / figures["unet_ms"].value)
    return found


def _cases(bundles: Mapping[str, Path], subject: Subject) -> dict[str, Case]:
    wanted = Wanted(
        sources=tuple(map(str, bundles.values())),
        targets=(),
        device=subject.device,
        resolutions=(subject.resolution,),
        batches=(),
        drawing=Drawing(subject.prompt, 0, 1),
        baseline=Baseline(TorchPrecision.FLOAT32, False, False),
        vae_precision="float32",
        weights=None,
    )
    return dict(zip(bundles, cases_of(wanted), strict=True))


def reporting(watch: Watch) -> Report:
    """What measures reports to, shown as a phase."""

    def report(phase: str, done: int, total: int | None) -> None:
        watch(phase)(done, total or 0)

    return report
