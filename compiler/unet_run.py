"""The UNet in ONNX Runtime with its blocks' outputs, for comparisons; each function runs in a child."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mixdq.compiler.worker import Report
from mixdq.configs.bundle import Component
from mixdq.configs.errors import GraphError
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import uniform_plan
from mixdq.configs.precision import FP16
from mixdq.configs.target import Dialect, Layout
from mixdq.export.source import SourceModel
from mixdq.export.weights.reader import WeightSource

UnetInputs: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""By the names of the graph's inputs, in FP32."""

UnetOutputs: TypeAlias = dict[str, npt.NDArray[Any]]
"""By the block's module path; the UNet's own output by the empty name."""


def find_unet_inputs(
    report: Report, source: SourceModel, prompt: str, seed: int, resolution: int, batch: int
) -> UnetInputs:
    """What the UNet is given for the first step of a batch of pictures of one prompt."""
    report("importing torch", 0, None)
    from mixdq.export.reference import ReferencePipeline, unit_noise

    report("encoding", 0, None)
    pipeline = ReferencePipeline(source, streamed=True)
    text, pooled = pipeline.encode([prompt] * batch)
    scheduler = pipeline.pipeline.scheduler
    scheduler.set_timesteps(1)
    timestep = scheduler.timesteps[0]
    size = [resolution, resolution, 0, 0, resolution, resolution]
    noise = unit_noise(source, batch, resolution, seed) * scheduler.init_noise_sigma
    return {
        "sample": scheduler.scale_model_input(noise, timestep).numpy(),
        "timestep": np.asarray(timestep.numpy(), dtype=np.float32),
        "encoder_hidden_states": text.numpy(),
        "text_embeds": pooled.numpy(),
        "time_ids": np.tile(np.asarray(size, dtype=np.float32), (batch, 1)),
    }


def run_exported(
    report: Report,
    skeleton: Path,
    weights: WeightSource,
    table: LayerTable,
    dialect: Dialect,
    inputs: UnetInputs,
) -> UnetOutputs:
    """Runs an export in full precision, its weights written into a temporary folder beside it."""
    from mixdq.compiler.graphs import write_graphs

    plain = uniform_plan(table, FP16, keep=(), protect=(), bos_aware=False, split_shortcuts=False)
    batch = inputs["sample"].shape[0]
    with tempfile.TemporaryDirectory(prefix=".verify-", dir=skeleton.parent) as folder:
        files = write_graphs(
            skeleton=skeleton,
            reader=weights.open(),
            component=Component.UNET,
            out=Path(folder),
            dialect=dialect,
            layout=Layout.DYNAMIC,
            resolutions=(),
            batch=batch,
            table=table,
            plan=plain,
            ranges=None,
            report=report,
        )
        return run_quantized(report, files[None].graph, inputs)


def run_quantized(report: Report, graph: Path, inputs: UnetInputs) -> UnetOutputs:
    """Runs a UNet graph with every block's output beside its own."""
    from mixdq.compiler.unet_session import block_names, feeds, open_with_blocks, read_graph

    report("loading", 0, None)
    blocks = block_names(read_graph(graph))
    if not blocks:
        raise GraphError(f"{graph} names no blocks: an older mixdq wrote it; run `mixdq-compile run` again")
    session = open_with_blocks(graph)
    report("running", 0, None)
    outputs = session.run(None, feeds(session, inputs))
    return {name: array.astype(np.float32) for name, array in zip(["", *blocks], outputs, strict=True)}
