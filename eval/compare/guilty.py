"""Which layer of a graph computes something else than the plan's simulation, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.dataclasses import dataclass

from mixdq.compiler.worker import Report
from mixdq.configs.documents import STRICT
from mixdq.configs.errors import GraphError
from mixdq.configs.layers import LayerName, LayerSpec
from mixdq.configs.target import Dialect
from mixdq.eval.compare.planned import Array
from mixdq.eval.compare.reference import prepare_inputs
from mixdq.eval.compare.subject import Subject
from mixdq.eval.compare.tolerance import ratio_db

LAYER_FLOOR_DB: Mapping[Dialect, float] = {Dialect.ORT: 90.0, Dialect.TENSORRT: 55.0}
"""The least SQNR of a layer on the simulation's own input, by the graph's floating-point type.

On one input every kernel rounds to the same integers, so what is left is the floating-point type's own error:
at least 126 dB (FP32) and 65 dB (FP16, whose rounding of the output alone leaves 74) over the 264 layers of
emoji-turbo in W8A8. A scale that is off by 0.2 % leaves 54 dB.
"""


@dataclass(frozen=True, slots=True, config=STRICT)
class GuiltyLayer:
    """A layer below its floor.

    Attributes:
        name: the layer.
        sqnr_db: of its output on the simulation's input, against the simulation's output.
        precision: as planned.
        faults: what of its constants is not as planned.
        repro: folder of the layer by itself, relative to the report.
    """

    name: LayerName
    sqnr_db: float
    precision: str
    faults: tuple[str, ...]
    repro: str


@dataclass(frozen=True, slots=True, config=STRICT)
class Search:
    """What a search through all layers found.

    Attributes:
        layers: SQNR in dB of every layer on the simulation's input, in the order in which they run.
        guilty: those below the floor, in the same order.
    """

    layers: Mapping[LayerName, float]
    guilty: tuple[GuiltyLayer, ...]


def find_guilty(
    report: Report, subject: Subject, graph: Path, dialect: Dialect, prompt: str, seed: int, out: Path
) -> Search:
    """Runs every layer of a graph on the input that it has in the simulation, and writes those that deviate.

    Layers that stay in floating point are compared with the model's own.

    Args:
        report: told how far it is.
        subject: the bundle: plan, ranges and model.
        graph: the graph, its external data beside it.
        dialect: its form.
        prompt: what to draw.
        seed: of the noise.
        out: the folder to write guilty layers into.

    Raises:
        GraphError: the graph can't be read, or lacks a layer.
    """
    inputs = prepare_inputs(report, subject, prompt, seed)
    import torch

    from mixdq.eval.compare.diagnosis import LayerValues, diagnose
    from mixdq.eval.compare.layer_graph import LayerGraphs
    from mixdq.eval.compare.planned_unet import run_unet, to_array
    from mixdq.eval.compare.repro import write_repro

    planned = subject.planned(dialect)
    graphs = LayerGraphs(graph, planned)
    found: dict[LayerName, float] = {}
    guilty: list[GuiltyLayer] = []

    def watch(layer: LayerSpec, module: Any, activation: Array, output: Array) -> None:
        report("comparing layers", len(found), len(planned.table))
        part = graphs.extract(layer)
        try:
            given = part.run(activation)
        except GraphError as error:
            raise GraphError(f"{layer.name} can't be run by itself: {error}") from error
        found[layer.name] = ratio_db(layer.name, given, output)
        if found[layer.name] >= LAYER_FLOOR_DB[dialect]:
            return
        bias = None if module.bias is None else to_array(module.bias)
        faults = diagnose(
            layer,
            graphs.parts(layer),
            graphs.model.graph,
            LayerValues(to_array(module.weight), bias),
            planned,
        )
        write_repro(out / layer.name, layer.name, part, activation, output, LAYER_FLOOR_DB[dialect])
        precision = str(planned.plan[layer.name])
        guilty.append(GuiltyLayer(layer.name, found[layer.name], precision, faults, layer.name))

    run_unet(subject.source, inputs, planned=planned, dtype=torch.float32, blocks=(), watch=watch)
    return Search(found, tuple(guilty))
