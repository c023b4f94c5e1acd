"""The UNet in Polygraphy's runners, each in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixdq.compiler.unet_run import UnetInputs, UnetOutputs
from mixdq.compiler.worker import Report
from mixdq.configs.bundle import EngineRecord
from mixdq.configs.errors import BundleError, GraphError, TargetError
from mixdq.configs.target import Backend, Target
from mixdq.passes.name_blocks import BLOCK_PREFIX
from mixdq.runtime.tensorrt_checks import check_built_for, require_executable

_RTX_SWITCH = "POLYGRAPHY_USE_TENSORRT_RTX"


@dataclass(frozen=True, slots=True)
class UnetRun:
    """What a runner gave.

    Attributes:
        outputs: FP32 arrays by the block's module path; the UNet's own output by the empty name.
        seconds: of the inference alone, once, without warm-up.
    """

    outputs: UnetOutputs
    seconds: float


def run_graph(report: Report, graph: Path, inputs: UnetInputs) -> UnetRun:
    """Runs a UNet graph in ONNX Runtime on the CPU, with every block's output.

    Raises:
        GraphError: the graph can't be read, or ONNX Runtime refuses it.
    """
    report("importing onnxruntime", 0, None)
    from polygraphy.backend.onnxrt import OnnxrtRunner

    from mixdq.compiler.unet_session import block_names, feeds, open_with_blocks, read_graph

    if not block_names(read_graph(graph)):
        raise GraphError(f"{graph} names no blocks: an older mixdq wrote it; run `mixdq-compile run` again")
    session = open_with_blocks(graph)
    report(f"running {graph.name}", 0, None)
    return _infer(OnnxrtRunner(session), feeds(session, inputs))


def run_engine(
    report: Report, root: Path, record: EngineRecord, target: Target, profile: int, inputs: UnetInputs
) -> UnetRun:
    """Runs a TensorRT engine, or one of TensorRT for RTX, on the GPU; it gives the UNet's own output alone.

    Args:
        report: told what is done.
        root: the bundle's folder.
        record: the engine, every size known.
        target: what it was built for.
        profile: position of the resolution in the bundle's.
        inputs: what to feed.

    Raises:
        TargetError: it can't be executed here, or was built without weights.
        BundleError: it was built by another version, or its file is missing.
        DigestError: its file was changed.
    """
    module, gpu = require_executable(target)
    check_built_for(record, target, module.__version__, gpu)
    if record.weights:
        raise TargetError(
            f"{record.file.path} was built without weights, which Polygraphy can't put in; "
            "`mixdq-eval selftest` runs such engines"
        )
    fed = {spec.name: inputs[spec.name].astype(spec.dtype) for spec in record.inputs}
    return execute_engine(report, record.file.check(root), target.backend, profile, fed)


def execute_engine(report: Report, path: Path, backend: Backend, profile: int, fed: UnetInputs) -> UnetRun:
    """Runs an engine file in Polygraphy's TensorRT runner, which a process can use for one back end only.

    Args:
        report: told what is done.
        path: the engine.
        backend: TensorRT, or TensorRT for RTX.
        profile: the engine's optimization profile.
        fed: inputs of the engine's own types.

    Raises:
        BundleError: it can't be loaded or run.
    """
    # Read when Polygraphy is imported.
    os.environ[_RTX_SWITCH] = "1" if backend is Backend.RTX else "0"
    from polygraphy.backend.common import BytesFromPath
    from polygraphy.backend.trt import EngineFromBytes, TrtRunner
    from polygraphy.exception import PolygraphyException

    report(f"running {path.name}", 0, None)
    try:
        runner = TrtRunner(EngineFromBytes(BytesFromPath(str(path))), optimization_profile=profile)
        return _infer(runner, fed)
    except PolygraphyException as error:
        raise BundleError(
            f"Polygraphy's TensorRT runner could not load or run {path}: {error}; `mixdq-eval selftest` says "
            "whether the engine runs here at all"
        ) from error


def _infer(runner: Any, fed: UnetInputs) -> UnetRun:
    with silence(), runner:
        outputs = {name: np.asarray(array).astype(np.float32) for name, array in runner.infer(fed).items()}
        seconds = float(runner.last_inference_time())
    named = {
        name.removeprefix(BLOCK_PREFIX) if name.startswith(BLOCK_PREFIX) else "": array
        for name, array in outputs.items()
    }
    return UnetRun(named, seconds)


@contextmanager
def silence() -> Iterator[None]:
    """Keeps Polygraphy from writing to the terminal."""
    from polygraphy.logger import G_LOGGER

    with G_LOGGER.verbosity(G_LOGGER.CRITICAL):
        yield
