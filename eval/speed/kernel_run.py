"""The UNet's kernels in ONNX Runtime on the CPU: how long each layer takes, and all the rest."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from mixdq.compiler.tune.kernel_owners import QUANTIZE_OPS, KernelOwners
from mixdq.compiler.tune.ort_profile import KERNEL, kernels_by_run, recording_us
from mixdq.compiler.worker import Report
from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.errors import EvaluationError
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.target import ORT_DISABLED_OPTIMIZERS, ORT_EXACT_PRODUCTS, ORT_NO_SPINNING
from mixdq.eval.speed.bundle_subject import BundleSubject
from mixdq.eval.speed.subject import Case, Subject
from mixdq.eval.timing import Spread, noise_for

PROFILE = "onnxruntime profile"
LAYERS, QUANTIZE, REST = "layers", "quantize", "rest"
PROFILER, UNPROFILED = "profiler", "unprofiled run"
_ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True)
class KernelTimes:
    """Microseconds of one UNet run.

    Attributes:
        layers: by layer: its own kernels and its share of the quantization that feeds it.
        rest: of what belongs to no layer, by the kind of kernel.
        classes: `layers` (own kernels alone), `quantize` and `rest`: all kernels together; `profiler`, what
            recording them took, which is left out of all others; and `unprofiled run`, a whole run without
            the profiler, in turns with those it was on for.
    """

    layers: Mapping[LayerName, Spread]
    rest: Mapping[str, Spread]
    classes: Mapping[str, Spread]


def require_profile(subject: Subject) -> None:
    """Refuses what has no kernels that can be told apart by their layers.

    Raises:
        EvaluationError: it is no bundle, or does not run in ONNX Runtime on the CPU.
    """
    label = subject.label
    if not isinstance(subject, BundleSubject) or (label.target, label.device) != ("cpu", "cpu"):
        raise EvaluationError(
            f"--layers reads the profile of ONNX Runtime on the CPU, and {label.source} runs as "
            f"{label.target} on {label.device}; leave --layers out, or measure a bundle "
            "with --target cpu --device cpu"
        )


def measure_kernels(report: Report, case: Case, warmup: int, repeats: int) -> KernelTimes:
    """Runs the UNet of a case with ONNX Runtime's profiler, in turns with runs without it.

    Two sessions are open at the same time: the UNet is in memory twice.

    Raises:
        EvaluationError: see `require_profile`; or a layer ran no kernel that has its name.
    """
    from mixdq.runtime import load

    subject = case.subject
    require_profile(subject)
    assert isinstance(subject, BundleSubject)
    table = LayerTable.read(subject.root / "layers.json")
    record = Bundle.read(subject.root).find(Component.UNET, subject.label.target, case.resolution)
    graph = subject.root / record.file.path
    plain_us: list[float] = []
    with tempfile.TemporaryDirectory(prefix="mixdq-profile-") as folder:
        profiled = _profiled_session(graph, Path(folder) / "unet")
        with load(subject.root) as pipeline:
            engine = pipeline.engine(Component.UNET, case.resolution)
            inputs = noise_for(engine, case.drawing.seed)
            for done in range(warmup + repeats):
                report("profiling", done, warmup + repeats)
                start = perf_counter()
                engine.run(inputs)
                plain_us.append((perf_counter() - start) * 1e6)
                profiled.run(None, inputs)
        events = json.loads(Path(profiled.end_profiling()).read_text())
    owners = _owners(graph, table)
    runs = [_Run.of(kernels, owners) for kernels in kernels_by_run(events)[warmup:]]
    return _summed(runs, table, plain_us[warmup:])


@dataclass(frozen=True, slots=True)
class _Run:
    """One run's microseconds, by layer, by kind of what remains, by class."""

    layers: Mapping[LayerName, float]
    rest: Mapping[str, float]
    classes: Mapping[str, float]

    @classmethod
    def of(cls, kernels: Sequence[Mapping[str, Any]], owners: KernelOwners) -> _Run:
        layers: defaultdict[LayerName, float] = defaultdict(float)
        rest: defaultdict[str, float] = defaultdict(float)
        classes = dict.fromkeys((LAYERS, QUANTIZE, REST, PROFILER), 0.0)
        recording = recording_us(kernels)
        for event in kernels:
            kind, spent = event["args"]["op_name"], max(event["dur"] - recording, 0.0)
            classes[PROFILER] += event["dur"] - spent
            found = owners(event["name"].removesuffix(KERNEL), kind)
            for layer in found:
                layers[layer] += spent / len(found)
            if not found:
                rest[kind] += spent
            classes[QUANTIZE if kind in QUANTIZE_OPS else LAYERS if found else REST] += spent
        return cls(layers, rest, classes)


def _summed(runs: Sequence[_Run], table: LayerTable, plain_us: Sequence[float]) -> KernelTimes:
    if lost := [layer.name for layer in table if layer.name not in runs[0].layers]:
        raise EvaluationError(
            f"ONNX Runtime's profile names no kernel of {lost[0]} (of {len(lost)} layers): it fused them "
            "into others under new names, so that layers can't be told apart; leave --layers out"
        )
    names = [layer.name for layer in table]
    kinds = sorted({kind for run in runs for kind in run.rest})
    classes = {name: Spread.of([run.classes[name] for run in runs]) for name in runs[0].classes}
    return KernelTimes(
        layers={name: Spread.of([run.layers[name] for run in runs]) for name in names},
        rest={kind: Spread.of([run.rest.get(kind, 0.0) for run in runs]) for kind in kinds},
        classes=classes | {UNPROFILED: Spread.of(plain_us)},
    )


def _profiled_session(graph: Path, prefix: Path) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.add_session_config_entry(*ORT_NO_SPINNING)
    options.add_session_config_entry(*ORT_EXACT_PRODUCTS)
    options.log_severity_level = _ERRORS_ONLY
    options.enable_profiling = True
    options.profile_file_prefix = str(prefix)
    return ort.InferenceSession(
        graph,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=list(ORT_DISABLED_OPTIMIZERS),
    )


def _owners(graph: Path, table: LayerTable) -> KernelOwners:
    import onnx

    return KernelOwners(onnx.load(graph, load_external_data=False).graph, list(table.by_name))


def all_kernels(times: KernelTimes) -> Iterator[tuple[str, str, Spread]]:
    """Kind, name and time of everything, as rows of a latency table."""
    yield from (("layer", name, spread) for name, spread in times.layers.items())
    yield from (("rest", name, spread) for name, spread in times.rest.items())
    yield from (("class", name, spread) for name, spread in times.classes.items())
