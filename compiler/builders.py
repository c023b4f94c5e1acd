"""The builder of each target."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mixdq.compiler.build_options import BuildOptions, Profile
from mixdq.compiler.built import Built
from mixdq.compiler.cuda.stage import require_compiler
from mixdq.compiler.ort_builder import check_onnxruntime, require_onnxruntime
from mixdq.compiler.tensorrt_builder import build_tensorrt, built_for, require_tensorrt
from mixdq.compiler.worker import Report
from mixdq.configs.bundle import TensorSpec
from mixdq.configs.gpu import find_gpu
from mixdq.configs.target import Backend, Target

_PACKAGES = {
    Backend.CPU: ("onnxruntime", "onnxruntime-gpu"),
    Backend.RTX: ("tensorrt-rtx-cu13", "tensorrt-rtx"),
    Backend.TENSORRT: ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    Backend.CUDA: ("torch",),
}


def require_builder(target: Target) -> None:
    """Refuses a target that can't be built on this machine; imports no builder.

    Raises:
        TargetError: says what to install.
    """
    if target.backend is Backend.CPU:
        require_onnxruntime()
    elif target.backend is Backend.CUDA:
        require_compiler(target)
    else:
        require_tensorrt(target)


def build(
    report: Report,
    target: Target,
    graph: Path,
    engine: Path | None,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    profiles: Sequence[Profile],
    options: BuildOptions,
) -> Built:
    """Builds an engine, or checks the graph that is one.

    Args:
        report: told how far it is.
        target: what to build for.
        graph: the ONNX file, its weights beside it.
        engine: the file to write; None for targets that run the graph itself.
        inputs: the tensors to feed.
        outputs: the tensors that come back.
        profiles: the inputs' shapes at each resolution, if sizes are symbolic; else none.
        options: of TensorRT's builders.

    Raises:
        GraphError: the builder refuses the graph.
        TargetError: the builder or its hardware is missing.
    """
    if engine is None:
        return check_onnxruntime(report, graph, inputs, outputs)
    return build_tensorrt(report, target, graph, engine, inputs, profiles, options)


def builder_facts(target: Target) -> dict[str, str]:
    """What an engine depends on besides its graph: the builder's version and the hardware."""
    if target.backend is Backend.CPU:
        return {"builder": installed_version(*_PACKAGES[target.backend]), "for": "cpu"}
    if target.backend is Backend.CUDA:
        gpu = find_gpu()
        return {
            "builder": f"{installed_version('torch')}, {installed_version('triton')}",
            "for": "no GPU" if gpu is None else gpu.name,
        }
    return {"builder": installed_version(*_PACKAGES[target.backend]), "for": built_for(target)}


def installed_version(*distributions: str) -> str:
    """Name and version of the first distribution that is installed: `onnxruntime 1.31.1`."""
    for name in distributions:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return f"{distributions[0]} of unknown version"
