"""The ways of a UNet's trial, each made ready to run: see `unet_trial_choices.WAYS`."""

from __future__ import annotations

import gc
import importlib
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixdq.compiler.cuda.package import compile_package
from mixdq.configs.bundle import Component, EngineRecord, FileRecord, TensorSpec
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.target import Backend, Target
from mixdq.eval.speed.gpu_clock import Run
from mixdq.eval.speed.half_epilogues import half_epilogues
from mixdq.eval.speed.made_up_unet import INPUTS, made_up_inputs, made_up_unet, planned_unet
from mixdq.eval.speed.unet_trial_choices import OURS, Case
from mixdq.export.modules import UnetForExport
from mixdq.export.source import SourceModel, open_architecture
from mixdq.runtime.cuda_engine import CudaOpener, load_package

_HALF_EPILOGUES = "w8a8-half"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case runs.

    Attributes:
        model: its name.
        device: `cuda`; `cpu` to try the program.
        work: the folder of layers, ranges, expected results and packages.
    """

    model: str
    device: str
    work: Path

    def source(self) -> SourceModel:
        """The model's architecture."""
        return open_architecture(ModelChoice(self.model))

    def package(self, case: Case) -> Path:
        """Where a case's package is."""
        return self.work / f"{str(case).replace(':', '-')}.pt2"


def needs_package(case: Case) -> bool:
    """Whether a case is of the CUDA back end, which compiles ahead of time."""
    return case.way in OURS


def compile_case(case: Case, place: Place) -> None:
    """Compiles a case of the CUDA back end."""
    source = place.source()
    module = planned_unet(_plan(case), source, place.device, place.work)
    inputs = made_up_inputs(source, case.batch, case.resolution, place.device)
    with half_epilogues() if case.way == _HALF_EPILOGUES else nullcontext():
        compile_package(module, inputs, place.package(case))


def ready_case(case: Case, place: Place) -> Run:
    """What runs the case once: on a GPU, but for `eager`, a CUDA graph that has been recorded.

    Peaks of memory are forgotten once the weights are there, and count from then on.
    """
    source = place.source()
    inputs = made_up_inputs(source, case.batch, case.resolution, place.device)
    if needs_package(case):
        return _packaged(case, place, source, inputs)
    return _baseline(case, place, source, inputs)


def _plan(case: Case) -> str:
    return case.way.removesuffix("-half")


def _packaged(case: Case, place: Place, source: SourceModel, inputs: tuple[Tensor, ...]) -> Run:
    """The package as the runtime runs it; on a CPU, where there are no graphs, called."""
    constants = dict(planned_unet(_plan(case), source, place.device, place.work).named_buffers())
    _forget_peaks(place.device)
    path = place.package(case)
    if place.device == "cpu":
        package = load_package(torch, path, constants)
        return lambda: package.loader.boxed_run(list(inputs))[0]
    major, minor = torch.cuda.get_device_capability()
    opener = CudaOpener(Target(Backend.CUDA, 10 * major + minor))
    engine = opener.network(path, constants).engine(_record(path, case, inputs), 0)
    engine.run({name: value.cpu().numpy() for name, value in zip(INPUTS, inputs, strict=True)})

    def run() -> Tensor:
        engine.replay()
        result: Tensor = engine.outputs[0]
        return result

    return run


def _record(path: Path, case: Case, inputs: tuple[Tensor, ...]) -> EngineRecord:
    return EngineRecord(
        component=Component.UNET,
        target="cuda",
        resolution=case.resolution,
        file=FileRecord(path.name, "", path.stat().st_size),
        weights=(),
        builder=f"torch {torch.__version__}",
        built_for=torch.cuda.get_device_name(),
        inputs=tuple(
            TensorSpec(name, str(value.dtype).removeprefix("torch."), tuple(value.shape))
            for name, value in zip(INPUTS, inputs, strict=True)
        ),
        outputs=(TensorSpec("noise_prediction", "float16", tuple(inputs[0].shape)),),
    )


def _baseline(case: Case, place: Place, source: SourceModel, inputs: tuple[Tensor, ...]) -> Run:
    """The UNet of diffusers, called once, so that all that is compiled is."""
    unet = made_up_unet(source, place.device)
    if case.way == "torchao":
        _to_float8(unet)
    module: Any = UnetForExport(unet)
    if case.way in ("compiled", "torchao"):
        module = torch.compile(module, dynamic=False)

    def call() -> Tensor:
        result: Tensor = module(*inputs)
        return result

    with torch.no_grad():
        call()
    _forget_peaks(place.device)
    return call if case.way == "eager" or place.device == "cpu" else _recorded(call)


def _to_float8(unet: Any) -> None:
    quantization: Any = importlib.import_module("torchao.quantization")

    quantization.quantize_(
        unet, quantization.Float8DynamicActivationFloat8WeightConfig(set_inductor_config=False)
    )


def _recorded(call: Run) -> Run:
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        result = call()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


def _forget_peaks(device: str) -> None:
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
