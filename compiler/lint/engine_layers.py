"""What built engines say of their layers, where a machine can open them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mixdq.compiler.lint import ort_kernels, tensorrt_layers
from mixdq.compiler.lint.finding import EngineLayers
from mixdq.compiler.lint.subject import Planned
from mixdq.compiler.worker import run_in_child
from mixdq.configs.bundle import Bundle, Component, EngineRecord
from mixdq.configs.errors import GraphError, TargetError
from mixdq.configs.gpu import find_gpu
from mixdq.configs.target import Backend, Target
from mixdq.configs.tensorrt_product import MODULES, PRODUCTS


def engine_layers(root: Path, bundle: Bundle, planned: Planned, *, kernels: bool) -> tuple[EngineLayers, ...]:
    """Reads the layers of every engine that this machine can open; of the others it says why not.

    Args:
        root: the bundle's folder.
        bundle: what is in it.
        planned: the UNet's plan.
        kernels: let ONNX Runtime open the UNets too, which takes it their size in memory and on the disk.

    Raises:
        BundleError: an engine to be read is missing.
        DigestError: an engine to be read is not the one that was built.
    """
    return tuple(_of(root, engine, planned, kernels) for engine in bundle.engines)


def _of(root: Path, engine: EngineRecord, planned: Planned, kernels: bool) -> EngineLayers:
    target, path = Target.parse(engine.target), engine.file.path
    if engine.component is not Component.UNET:
        return EngineLayers(path, engine.target, False, "layers not read: no plan covers this network")
    if (why := _why_not(target.backend, kernels)) is not None:
        return EngineLayers(path, engine.target, False, f"layers not read: {why}")
    file = engine.file.check(root)
    try:
        if target.backend is Backend.CPU:
            kinds = run_in_child(ort_kernels.optimized_kinds, file).value
            return ort_kernels.judge(path, engine.target, kinds, planned)
        information = run_in_child(tensorrt_layers.inspect_engine, target, file).value
        return tensorrt_layers.judge(path, engine.target, information, planned)
    except (TargetError, GraphError) as error:
        return EngineLayers(path, engine.target, False, f"layers not read: {error}")


def _why_not(backend: Backend, kernels: bool) -> str | None:
    if backend is Backend.CPU:
        return None if kernels else "the engine is the graph; --kernels shows what ONNX Runtime makes of it"
    if backend not in MODULES:
        return "a package is machine code; `mixdq-eval cuda-agreement` compares its layers with the plan's"
    if importlib.util.find_spec(MODULES[backend]) is None:
        return f"{PRODUCTS[backend]} is not installed; `pip install 'mixdq[{backend}]'`"
    if find_gpu() is None:
        return f"{PRODUCTS[backend]} opens an engine only on an NVIDIA GPU, and this machine shows none"
    return None
