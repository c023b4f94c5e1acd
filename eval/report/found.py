"""What folders hold: every document that is known, read by its own reader, with its path and digest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mixdq.configs.errors import EvaluationError, MixdqError
from mixdq.configs.files import sha256_of_file
from mixdq.eval.report.kinds import Kind, kind_of
from mixdq.eval.report.walk import Candidate, candidates

if TYPE_CHECKING:
    from mixdq.compiler.report import RunReport
    from mixdq.configs.bundle import Bundle
    from mixdq.configs.grid_table import GridTable
    from mixdq.configs.latency_table import LatencyTable
    from mixdq.configs.layers import LayerTable
    from mixdq.configs.memory_table import MemoryTable
    from mixdq.configs.plan import PrecisionPlan
    from mixdq.configs.quality_table import QualityTable
    from mixdq.configs.sensitivity import SensitivityTable
    from mixdq.eval.ablation.report import Ablation
    from mixdq.eval.compare.report import CompareReport
    from mixdq.eval.deployed_report import DeployedReport
    from mixdq.eval.form_report import FormReport
    from mixdq.eval.image_set import ImageSet
    from mixdq.eval.load.matrix import Drawn
    from mixdq.eval.load.replay_report import ReplayReport
    from mixdq.eval.load.report import LoadReport
    from mixdq.eval.load.surge import SurgeReport
    from mixdq.eval.prediction.report import PredictionReport
    from mixdq.eval.report.claims_structure import StructureTable
    from mixdq.eval.report.gpu_files import GpuTrial, KernelBenchmark
    from mixdq.eval.reproduce.result import Reproduction
    from mixdq.eval.selftest_report import SelftestReport
    from mixdq.eval.text_embed_report import TextEmbedReport

_NAMED = 3
"""At most so many broken documents are named in one error."""

_OF_THEIR_FOLDERS = {"bundles", "compilations", "plans", "image_sets", "latencies", "replays", "gpu_trials"}
"""Kinds that speak of the files beside them, or that these change: equal ones in two folders are two."""

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Document(Generic[T_co]):
    """One document.

    Attributes:
        path: the file.
        name: its path below what was given, with that folder's own name: `mixdq/bundle.json`.
        sha256: of the file.
        content: what it says.
        copies: the names of equal files elsewhere.
    """

    path: Path
    name: str
    sha256: str
    content: T_co
    copies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """All known documents of some folders; each kind in the order in which they were met.

    Attributes:
        bundles: `bundle.json`.
        compilations: `report.json` beside it: times, memory and bytes of the compilation.
        plans: `plan.yaml`, and plans under other names.
        layers: `layers.json`; a plan's is the one with `PrecisionPlan.layers_digest`.
        sensitivities: `sensitivity.json`.
        image_sets: `manifest.json` of folders of pictures.
        qualities: `quality.json`.
        latencies: `latency.json`.
        memories: `memory.json`.
        grids: `grid.json`.
        ablations: `ablation.json`.
        predictions: `prediction.json`.
        loads: what `mixdq-eval load --json` writes.
        matrices: `mixdq_queue_results.csv`.
        replays: `replay.json`.
        overloads: `overload.json`.
        comparisons: `compare.json`.
        selftests: `selftest.json`.
        deployments: `deployed.json`.
        text_embeds: `text-embed.json`.
        forms: `forms.json`.
        reproductions: what `mixdq-eval reproduce` writes: `table1.json`, `fig7.json`, ….
        structures: `structure.json`, what the claims need of layers, released maps and programmes.
        gpu_trials: `unet.csv` with the `machine.json` beside it.
        kernels: what the kernels' benchmark writes.
    """

    bundles: tuple[Document[Bundle], ...] = ()
    compilations: tuple[Document[RunReport], ...] = ()
    plans: tuple[Document[PrecisionPlan], ...] = ()
    layers: tuple[Document[LayerTable], ...] = ()
    sensitivities: tuple[Document[SensitivityTable], ...] = ()
    image_sets: tuple[Document[ImageSet], ...] = ()
    qualities: tuple[Document[QualityTable], ...] = ()
    latencies: tuple[Document[LatencyTable], ...] = ()
    memories: tuple[Document[MemoryTable], ...] = ()
    grids: tuple[Document[GridTable], ...] = ()
    ablations: tuple[Document[Ablation], ...] = ()
    predictions: tuple[Document[PredictionReport], ...] = ()
    loads: tuple[Document[LoadReport], ...] = ()
    matrices: tuple[Document[tuple[Drawn, ...]], ...] = ()
    replays: tuple[Document[ReplayReport], ...] = ()
    overloads: tuple[Document[SurgeReport], ...] = ()
    comparisons: tuple[Document[CompareReport], ...] = ()
    selftests: tuple[Document[SelftestReport], ...] = ()
    deployments: tuple[Document[DeployedReport], ...] = ()
    text_embeds: tuple[Document[TextEmbedReport], ...] = ()
    forms: tuple[Document[FormReport], ...] = ()
    reproductions: tuple[Document[Reproduction], ...] = ()
    structures: tuple[Document[StructureTable], ...] = ()
    gpu_trials: tuple[Document[GpuTrial], ...] = ()
    kernels: tuple[Document[KernelBenchmark], ...] = ()

    def documents(self) -> Iterator[tuple[str, Document[Any]]]:
        """All of them, each with the name of its kind's attribute."""
        for field in fields(self):
            for document in getattr(self, field.name):
                yield field.name, document


def find_results(paths: Sequence[Path]) -> Found:
    """Reads every known document of folders and the folders below them.

    Files of no known kind are let be; a file that is given by itself must be of one. A file that is met
    twice counts once, and so do equal files, unless they speak of what lies beside them.

    Args:
        paths: folders, or single documents.

    Raises:
        EvaluationError: a path does not exist; known documents are broken; or there is none at all.
    """
    found: dict[str, list[Document[Any]]] = {}
    broken: list[str] = []
    for candidate in candidates(paths):
        try:
            kind = kind_of(candidate.path)
            if kind is not None:
                _add(found.setdefault(kind.attribute, []), candidate, kind)
            elif candidate.is_given:
                raise EvaluationError(f"{candidate.path} is no document that a report could show")
        except MixdqError as error:
            broken.append(str(error))
    if broken:
        more = f" (and {len(broken) - _NAMED} more)" if len(broken) > _NAMED else ""
        raise EvaluationError(
            f"documents that can't be read: {'; '.join(broken[:_NAMED])}{more}. Make them again, or move "
            "them away"
        )
    if not found:
        raise EvaluationError(
            f"no results that a report could show in {', '.join(map(str, paths))}; give folders that "
            "mixdq-compile, mixdq-eval or mixdq-serve wrote into (bundles, pictures, quality.json, "
            "latency.json, …)"
        )
    return Found(**{attribute: tuple(documents) for attribute, documents in found.items()})


def _add(known: list[Document[Any]], candidate: Candidate, kind: Kind) -> None:
    digest = sha256_of_file(candidate.path)
    if kind.attribute not in _OF_THEIR_FOLDERS:
        for place, one in enumerate(known):
            if one.sha256 == digest:
                known[place] = replace(one, copies=(*one.copies, candidate.name))
                return
    known.append(Document(candidate.path, candidate.name, digest, kind.read(candidate.path)))
