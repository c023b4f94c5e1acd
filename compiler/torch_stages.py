"""The stages that need torch: layers, tokenizers, export, calibration; each runs in a child process.

torch, diffusers and transformers take seconds to import, so these functions import them when they are
called, and a run that finds everything up to date never does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixdq.compiler.stages import Made
from mixdq.compiler.worker import Report
from mixdq.configs.bundle import Component
from mixdq.configs.files import writing
from mixdq.configs.layers import LayerTable
from mixdq.configs.ranges import RangeTable
from mixdq.export.source import SourceModel, open_source

TOKENIZERS = ("tokenizer", "tokenizer_2")


@dataclass(frozen=True, slots=True)
class CalibrationOrder:
    """What to run to measure the ranges."""

    model: str
    prompts: tuple[str, ...]
    seed: int
    resolutions: tuple[int, ...]


def make_layers(report: Report, model: str, resolutions: tuple[int, ...], path: Path) -> Made:
    """Lists the quantizable layers into `layers.json`; the value is the table's digest."""
    table = find_layers(report, model, resolutions)
    table.write(path)
    return Made((path,), table.digest)


def find_layers(report: Report, model: str, resolutions: tuple[int, ...]) -> LayerTable:
    """The quantizable layers of a model."""
    report("importing torch", 0, None)
    from mixdq.export.layers import list_layers

    report("listing", 0, None)
    return list_layers(_source(model), resolutions)


def make_tokenizers(report: Report, model: str, folder: Path) -> Made:
    """Writes both tokenizers, each whole in one file: `tokenizer/tokenizer.json`, `tokenizer_2/…`."""
    report("importing transformers", 0, None)
    from transformers import CLIPTokenizer

    files = []
    for name in TOKENIZERS:
        tokenizer = CLIPTokenizer.from_pretrained(_source(model).folder / name, local_files_only=True)
        path = folder / name / "tokenizer.json"
        with writing(path) as temporary:
            tokenizer.backend_tokenizer.save(str(temporary))
        files.append(path)
    return Made(tuple(files))


def make_export(report: Report, model: str, component: Component, batch: int, path: Path) -> Made:
    """Exports a component: the graph at `path`, its weights beside it."""
    report("importing torch", 0, None)
    from mixdq.export.graph import export_component

    report("exporting", 0, None)
    path.parent.mkdir(parents=True, exist_ok=True)
    export_component(_source(model), component, path, batch=batch)
    return Made(tuple(sorted(path.parent.glob(f"{path.stem}.*"))))


def make_ranges(report: Report, order: CalibrationOrder, layers: Path, path: Path) -> Made:
    """Runs the prompts and writes `ranges.json`; the value is the table's digest."""
    ranges = _calibrate(report, order, LayerTable.read(layers))
    ranges.write(path)
    return Made((path,), ranges.digest)


def find_ranges(report: Report, order: CalibrationOrder) -> RangeTable:
    """The ranges of a model's layers over the prompts."""
    return _calibrate(report, order, find_layers(report, order.model, order.resolutions))


def find_embeddings(report: Report, model: str, prompts: tuple[str, ...]) -> npt.NDArray[np.floating[Any]]:
    """The text embeddings of prompts, `[prompts, tokens, channels]`."""
    report("importing torch", 0, None)
    from mixdq.export.reference import ReferencePipeline

    report("encoding", 0, None)
    text, _ = ReferencePipeline(_source(model)).encode(prompts)
    embeddings: npt.NDArray[np.floating[Any]] = text.numpy()
    return embeddings


def _calibrate(report: Report, order: CalibrationOrder, table: LayerTable) -> RangeTable:
    report("importing torch", 0, None)
    from mixdq.export.calibrate import batches, calibrate

    done, total = 0, batches(len(order.prompts), len(order.resolutions))

    def advance() -> None:
        nonlocal done
        done += 1
        report("batches of prompts", done, total)

    return calibrate(
        _source(order.model),
        table,
        prompts=order.prompts,
        seed=order.seed,
        resolutions=order.resolutions,
        advance=advance,
    )


@cache
def _source(model: str) -> SourceModel:
    """The model, opened once a process: its weights are read for the digest."""
    return open_source(model)
