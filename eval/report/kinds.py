"""The kinds of documents that a report knows: how each is recognized and read."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixdq.configs.documents import read_json
from mixdq.configs.errors import EvaluationError


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of document.

    Attributes:
        attribute: its place in `Found`.
        file: the name that it has unless the user chose another; such a file must be readable as this kind.
            Empty: any.
        tells: keys that together no other kind has; `rows.median_us` is a key of the first of `rows`. Of a
            table, its columns. Empty: recognized by name alone.
        read: reads it; raises a `MixdqError` that names the file.
    """

    attribute: str
    file: str
    tells: frozenset[str]
    read: Callable[[Path], Any]


def kind_of(path: Path) -> Kind | None:
    """The kind of a file, by its name or else by what it holds; None if it is none.

    Raises:
        EvaluationError: it has the name of a kind and is no JSON, YAML or CSV at all.
    """
    keys = _keys(path)
    by_content = [kind for kind in _KINDS if kind.tells and kind.tells <= keys]
    if by_content:
        return by_content[0]
    return next((kind for kind in _KINDS if kind.file == path.name and path.name not in _SHARED), None)


def _keys(path: Path) -> Set[str]:
    """What a file's content may be recognized by; empty if it can't be read as what its suffix says."""
    try:
        if path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8") as file:
                return set(next(csv.reader(file), ()))
        if path.suffix == ".json":
            return _keys_of_json(json.loads(path.read_text(encoding="utf-8")))
        lines = path.read_text(encoding="utf-8").splitlines()
        return {line.partition(":")[0] for line in lines if line[:1].isalpha()}
    except (OSError, ValueError, RecursionError, csv.Error):
        return set()


def _keys_of_json(plain: object) -> Set[str]:
    if not isinstance(plain, dict):
        return set()
    keys = set(plain)
    for name, value in plain.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            keys |= {f"{name}.{key}" for key in value[0]}
    return keys


def _bundle(path: Path) -> object:
    from mixdq.configs.bundle import Bundle

    return Bundle.read(path.parent)


def _compilation(path: Path) -> object:
    from mixdq.compiler.report import RunReport

    return read_json(RunReport, path, EvaluationError)


def _plan(path: Path) -> object:
    from mixdq.configs.plan import PrecisionPlan

    return PrecisionPlan.read(path)


def _layers(path: Path) -> object:
    from mixdq.configs.layers import LayerTable

    return LayerTable.read(path)


def _sensitivity(path: Path) -> object:
    from mixdq.configs.sensitivity import SensitivityTable

    return SensitivityTable.read(path)


def _image_set(path: Path) -> object:
    from mixdq.eval.image_set import ImageSet

    return read_json(ImageSet, path, EvaluationError)


def _quality(path: Path) -> object:
    from mixdq.configs.quality_table import QualityTable

    return QualityTable.read(path)


def _latency(path: Path) -> object:
    from mixdq.configs.latency_table import LatencyTable

    return LatencyTable.read(path)


def _memory(path: Path) -> object:
    from mixdq.configs.memory_table import MemoryTable

    return MemoryTable.read(path)


def _grid(path: Path) -> object:
    from mixdq.configs.grid_table import GridTable

    return GridTable.read(path)


def _ablation(path: Path) -> object:
    from mixdq.eval.ablation.report import Ablation

    return read_json(Ablation, path, EvaluationError)


def _prediction(path: Path) -> object:
    from mixdq.eval.prediction.report import PredictionReport

    return read_json(PredictionReport, path, EvaluationError)


def _load(path: Path) -> object:
    from mixdq.eval.load.report import LoadReport

    return read_json(LoadReport, path, EvaluationError)


def _matrix(path: Path) -> object:
    from mixdq.eval.load.matrix import read_cells

    return read_cells(path)


def _replay(path: Path) -> object:
    from mixdq.eval.load.replay_report import ReplayReport

    return read_json(ReplayReport, path, EvaluationError)


def _overload(path: Path) -> object:
    from mixdq.eval.load.surge import SurgeReport

    return read_json(SurgeReport, path, EvaluationError)


def _comparison(path: Path) -> object:
    from mixdq.eval.compare.report import CompareReport

    return read_json(CompareReport, path, EvaluationError)


def _selftest(path: Path) -> object:
    from mixdq.eval.selftest_report import SelftestReport

    return read_json(SelftestReport, path, EvaluationError)


def _deployment(path: Path) -> object:
    from mixdq.eval.deployed_report import DeployedReport

    return read_json(DeployedReport, path, EvaluationError)


def _text_embed(path: Path) -> object:
    from mixdq.eval.text_embed_report import TextEmbedReport

    return read_json(TextEmbedReport, path, EvaluationError)


def _forms(path: Path) -> object:
    from mixdq.eval.form_report import FormReport

    return read_json(FormReport, path, EvaluationError)


def _reproduction(path: Path) -> object:
    from mixdq.eval.reproduce.result import Reproduction

    return Reproduction.read(path)


def _structure(path: Path) -> object:
    from mixdq.eval.report.claims_structure import StructureTable

    return StructureTable.read(path)


def _gpu_trial(path: Path) -> object:
    from mixdq.eval.report.gpu_files import read_gpu_trial

    return read_gpu_trial(path)


def _kernels(path: Path) -> object:
    from mixdq.eval.report.gpu_files import KernelBenchmark

    return read_json(KernelBenchmark, path, EvaluationError)


_SHARED = {"report.json", "layers.json", "manifest.json"}
"""Names that other tools and other documents of ours have, too: content decides."""

_MATRIX = ("pattern", "wbits", "policy", "conc", "lam", "p95_ms", "p99_ms")

_KINDS = (
    Kind("bundles", "bundle.json", frozenset({"plan_digest", "plan_summary", "engines"}), _bundle),
    Kind("compilations", "report.json", frozenset({"stages.peak_mib", "seconds"}), _compilation),
    Kind("plans", "plan.yaml", frozenset({"layers_digest", "bos_aware", "layers"}), _plan),
    Kind("layers", "layers.json", frozenset({"model", "layers.weight_shape"}), _layers),
    Kind("sensitivities", "sensitivity.json", frozenset({"layers_digest", "widths", "scores"}), _sensitivity),
    Kind("image_sets", "manifest.json", frozenset({"painter", "prompts_digest"}), _image_set),
    Kind("qualities", "quality.json", frozenset({"reference_sha256", "not_scored", "rows"}), _quality),
    Kind("latencies", "latency.json", frozenset({"rows.median_us", "versions"}), _latency),
    Kind("memories", "memory.json", frozenset({"rows.host_peak_mib", "versions"}), _memory),
    Kind("grids", "grid.json", frozenset({"cells", "plans", "models"}), _grid),
    Kind("ablations", "ablation.json", frozenset({"header", "by_role", "rows"}), _ablation),
    Kind("predictions", "prediction.json", frozenset({"relations", "contests"}), _prediction),
    Kind("loads", "load.json", frozenset({"settings", "rows.lag_p99_ms", "memory"}), _load),
    Kind("matrices", "mixdq_queue_results.csv", frozenset(_MATRIX), _matrix),
    Kind("replays", "replay.json", frozenset({"within", "rows.simulated"}), _replay),
    Kind("overloads", "overload.json", frozenset({"surge_requests", "recovered_ms"}), _overload),
    Kind("comparisons", "compare.json", frozenset({"runs.verdict"}), _comparison),
    Kind("selftests", "selftest.json", frozenset({"bundle_sha256", "results"}), _selftest),
    Kind("deployments", "deployed.json", frozenset({"deployed", "not_deployed"}), _deployment),
    Kind("text_embeds", "text-embed.json", frozenset({"ranges_digest", "rows.way"}), _text_embed),
    Kind("forms", "forms.json", frozenset({"target", "forms.fidelity"}), _forms),
    Kind("reproductions", "", frozenset({"recipe", "cites", "rows.paper"}), _reproduction),
    Kind("structures", "structure.json", frozenset({"sources", "figures.value"}), _structure),
    Kind("gpu_trials", "unet.csv", frozenset({"way", "resolution", "ms", "ms_q1", "db"}), _gpu_trial),
    Kind("kernels", "kernels.json", frozenset({"gpu", "triton", "rows.kernel", "rows.half"}), _kernels),
)
