"""Does the quantized graph compute what the simulation says? Layer by layer, and as a whole.

Rounding flips cascade: two correct kernel sets differ in the last bits, which rounds one activation of a
million to another integer, and a hundred layers later the outputs differ by 30 dB. So layers are compared
one at a time on the same input, and the whole graph beside the spread of the simulation itself under two
kernel sets (torch's in FP32 and in FP64; quantization in FP32 in both).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic.dataclasses import dataclass
from torch import nn

from mixdq.compiler.unet_run import UnetInputs, find_unet_inputs
from mixdq.compiler.unet_session import feeds, open_session
from mixdq.configs.bundle import Component
from mixdq.configs.documents import STRICT
from mixdq.configs.layers import LayerName, LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.sqnr import psnr_db, sqnr_db
from mixdq.configs.target import Dialect
from mixdq.eval.compare.layer_graph import LayerGraphs
from mixdq.eval.compare.planned import Array, Planned
from mixdq.eval.compare.planned_unet import run_unet, to_array
from mixdq.export.modules import stream_module
from mixdq.export.scheduler_configs import scheduler_spec
from mixdq.export.source import SourceModel
from mixdq.runtime.scheduler import schedule


@dataclass(frozen=True, slots=True, config=STRICT)
class Agreement:
    """How closely a quantized graph follows its simulation, in decibels.

    Attributes:
        layers: SQNR of each quantized layer's output, fed the simulation's own input (rounded to FP16 on
            both sides where the graph computes in FP16), in the order in which they run.
        noise_prediction: SQNR of the UNet's output, graph against simulation.
        kernel_spread: the same, simulation against simulation, FP64 kernels against FP32 kernels.
        image: PSNR of the decoded images, graph against simulation.
        image_spread: the same, FP64 kernels against FP32 kernels.
    """

    layers: Mapping[LayerName, float]
    noise_prediction: float
    kernel_spread: float
    image: float
    image_spread: float


def measure_agreement(
    source: SourceModel,
    graph: Path,
    *,
    table: LayerTable,
    plan: PrecisionPlan,
    ranges: RangeTable,
    dialect: Dialect,
    resolution: int,
    prompt: str,
    seed: int,
) -> Agreement:
    """Compares one UNet graph (batch 1) with the torch simulation of its plan on one prompt."""
    inputs = find_unet_inputs(_say_nothing, source, prompt, seed, resolution, 1)
    planned = Planned(table, plan, ranges, dialect)
    graphs = LayerGraphs(graph, planned)
    layers: dict[LayerName, float] = {}

    def watch(layer: LayerSpec, module: nn.Module, activation: Array, output: Array) -> None:
        if plan[layer.name].quantizes_weight:
            layers[layer.name] = sqnr_db(graphs.extract(layer).run(activation), output)

    predictions = [
        run_unet(source, inputs, planned=planned, dtype=torch.float32, blocks=(), watch=watch)[""],
        _run(graph, inputs),
        run_unet(source, inputs, planned=planned, dtype=torch.float64, blocks=())[""],
    ]
    expected, built, other = predictions
    pictures = _pictures(source, inputs, predictions)
    return Agreement(
        layers=layers,
        noise_prediction=sqnr_db(built, expected),
        kernel_spread=sqnr_db(other, expected),
        image=psnr_db(pictures[1], pictures[0], peak=1),
        image_spread=psnr_db(pictures[2], pictures[0], peak=1),
    )


def _run(graph: Path, inputs: UnetInputs) -> Array:
    session = open_session(graph)
    output: Array = session.run(None, feeds(session, inputs))[0]
    return output.astype(np.float32)


def _pictures(source: SourceModel, inputs: UnetInputs, predictions: list[Array]) -> list[Array]:
    """The pictures of one step with each prediction, `[B, 3, H, W]` in [0, 1]."""
    step = schedule(scheduler_spec(source.configs["scheduler"]), 1)[0]
    vae: Any = stream_module(source, Component.VAE_DECODER, torch.float32)
    pictures = []
    for prediction in predictions:
        latents = step.advance(inputs["sample"] * step.divisor, prediction, None)
        with torch.no_grad():
            decoded = vae.decode(torch.from_numpy(latents) / vae.config.scaling_factor, return_dict=False)[0]
        pictures.append(to_array((decoded / 2 + 0.5).clamp(0, 1)))
    return pictures


def _say_nothing(phase: str, done: int, total: int | None) -> None:
    """Nobody waits for a report."""
