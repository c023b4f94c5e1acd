"""The stages that need torch: layers, check of the weights, tokenizers, export, calibration; in children.

torch, diffusers and transformers take seconds to import, so these functions import them when they are
called, and a run that finds everything up to date never does.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixdq.compiler.begun_calibration import CALIBRATION_CODE, BegunCalibration, Conditions, take_up
from mixdq.compiler.sources import code_digest
from mixdq.compiler.stages import Made
from mixdq.compiler.worker import Report
from mixdq.configs.bundle import Component
from mixdq.configs.files import sha256_of_text, writing
from mixdq.configs.layers import LayerTable
from mixdq.configs.machine import installed_versions
from mixdq.configs.ranges import RangeTable
from mixdq.export.calibrate_size import batches
from mixdq.export.seen import Seen
from mixdq.export.source import SUBFOLDERS, SourceModel
from mixdq.export.tokenizer_files import TOKENIZERS

_UNREAD = {Component.VAE_DECODER: ("encoder.", "quant_conv.")}
"""What a text-to-image model doesn't need of a component's weights, by how the names begin."""


@dataclass(frozen=True, slots=True)
class CalibrationOrder:
    """What to run to measure the ranges, and torch's name of the device that does it."""

    source: SourceModel
    prompts: tuple[str, ...]
    seed: int
    resolutions: tuple[int, ...]
    steps: int
    device: str = "cpu"


def make_layers(report: Report, source: SourceModel, resolutions: tuple[int, ...], path: Path) -> Made:
    """Lists the quantizable layers into `layers.json`; the value is the table's digest."""
    table = find_layers(report, source, resolutions)
    table.write(path)
    return Made((path,), table.digest)


def find_layers(report: Report, source: SourceModel, resolutions: tuple[int, ...]) -> LayerTable:
    """The quantizable layers of a model."""
    report("importing torch", 0, None)
    from mixdq.export.layers import list_layers

    report("listing", 0, None)
    return list_layers(source, resolutions)


def check_weights(report: Report, source: SourceModel) -> Made:
    """Compares all tensors with the configurations; the value is the number of parameters by component.

    Raises:
        ModelError: tensors are missing, unknown, wrongly shaped or of a type that mixdq doesn't read; the
            first ten are named.
    """
    report("importing torch", 0, None)
    from mixdq.export.modules import empty_module, expected_shapes
    from mixdq.export.weights.check import check_fit

    parameters = {}
    for component, subfolder in SUBFOLDERS.items():
        report(f"checking {component}", 0, None)
        expected = expected_shapes(empty_module(source, component))
        reader = source.weights[subfolder].open()
        config = source.config_files[subfolder]
        check_fit(reader, expected, subfolder, config, _UNREAD.get(component, ()))
        parameters[component] = sum(math.prod(shape) for shape in expected.values())
    return Made((), parameters)


def make_tokenizers(report: Report, source: SourceModel, folder: Path) -> Made:
    """Writes both tokenizers, each whole in one file: `tokenizer/tokenizer.json`, `tokenizer_2/…`."""
    report("importing transformers", 0, None)
    from transformers import CLIPTokenizer

    files = []
    for name in TOKENIZERS:
        tokenizer = CLIPTokenizer.from_pretrained(source.folder / name, local_files_only=True)
        path = folder / name / "tokenizer.json"
        with writing(path) as temporary:
            tokenizer.backend_tokenizer.save(str(temporary))
        files.append(path)
    return Made(tuple(files))


def make_export(report: Report, source: SourceModel, component: Component, batch: int, path: Path) -> Made:
    """Exports a component: its graph at `path`, without weights."""
    report("importing torch", 0, None)
    from mixdq.export.graph import export_component

    path.parent.mkdir(parents=True, exist_ok=True)
    export_component(source, component, path, batch=batch, report=lambda phase: report(phase, 0, None))
    return Made((path,))


def make_ranges(report: Report, order: CalibrationOrder, layers: Path, path: Path) -> Made:
    """Runs the prompts and writes `ranges.json`; the value is the table's digest."""
    ranges = _write_ranges(report, order, LayerTable.read(layers), path)
    return Made((path,), ranges.digest)


def measure_ranges(report: Report, order: CalibrationOrder, path: Path) -> RangeTable:
    """Runs the prompts and writes the ranges of a model's layers, which it lists first."""
    layers = find_layers(report, order.source, order.resolutions)
    return _write_ranges(report, order, layers, path)


def find_embeddings(
    report: Report, source: SourceModel, prompts: tuple[str, ...]
) -> npt.NDArray[np.floating[Any]]:
    """The text embeddings of prompts, `[prompts, tokens, channels]`."""
    report("importing torch", 0, None)
    from mixdq.export.reference import ReferencePipeline

    report("encoding", 0, None)
    text, _ = ReferencePipeline(source, streamed=True).encode(prompts)
    embeddings: npt.NDArray[np.floating[Any]] = text.numpy()
    return embeddings


def calibrate_layers(
    report: Report, order: CalibrationOrder, table: LayerTable, begun_file: Path | None = None
) -> RangeTable:
    """The ranges of layers that are listed already.

    Args:
        report: told of every batch.
        order: what to run.
        table: the layers.
        begun_file: where what is found is kept, and a calibration that was stopped goes on from.
    """
    report("importing torch", 0, None)
    import torch

    from mixdq.export.calibrate import calibrate
    from mixdq.export.device import device_words, find_device

    device, total = find_device(order.device), batches(len(order.prompts), order.resolutions)
    conditions = Conditions(
        model_digest=order.source.identity.digest,
        layers_digest=table.digest,
        prompts_digest=sha256_of_text(json.dumps(order.prompts)),
        seed=order.seed,
        resolutions=order.resolutions,
        steps=order.steps,
        device=device_words(device),
        threads=torch.get_num_threads() if device == "cpu" else None,
        packages=installed_versions("torch", "diffusers", "transformers"),
        code=code_digest(*CALIBRATION_CODE),
    )
    begun = None if begun_file is None else take_up(begun_file, conditions)

    def advance(seen: Seen) -> None:
        if begun_file is not None:
            BegunCalibration(conditions, seen).write(begun_file)
        report("batches of prompts", seen.batches, total)

    return calibrate(
        order.source,
        table,
        prompts=order.prompts,
        seed=order.seed,
        resolutions=order.resolutions,
        steps=order.steps,
        advance=advance,
        begun=begun,
        device=device,
    )


def _write_ranges(report: Report, order: CalibrationOrder, table: LayerTable, path: Path) -> RangeTable:
    begun_file = path.with_name(f"{path.name}.begun")
    ranges = calibrate_layers(report, order, table, begun_file)
    ranges.write(path)
    begun_file.unlink(missing_ok=True)
    return ranges
