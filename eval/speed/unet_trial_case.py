"""One way to run a UNet of made-up weights: compiled, then timed on demand; see `unet_trial`."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import torch
from torch import Tensor, nn

from mixdq.compiler.cuda.package import compile_package
from mixdq.configs.bundle import Component, EngineRecord, FileRecord, TensorSpec
from mixdq.configs.layers import LayerName, LayerSpec
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.ranges import CalibrationRun, Range, RangeTable
from mixdq.configs.target import Backend, Target
from mixdq.eval.speed.made_up_unet import INPUTS, made_up_inputs, made_up_unet, planned_unet
from mixdq.export.calibrate import quantized_parts
from mixdq.export.layers import list_layers, quantizable
from mixdq.export.modules import UnetForExport
from mixdq.export.source import SourceModel, open_architecture
from mixdq.runtime.cuda_engine import CudaOpener, load_package

_MIB = 1 << 20
_RUNS = 50
_WARM_UPS = 5
_AGAIN = "again"
_THIS = "mixdq.eval.speed.unet_trial_case"
Run = Callable[[], Tensor]


def prepare(model: str, resolution: int, device: str, work: Path) -> None:
    """Lists the layers and measures ranges on one random image."""
    source = open_architecture(ModelChoice(model))
    table = list_layers(source, (resolution,))
    table.write(work / "layers.json")
    unet = made_up_unet(source, device)
    found: dict[str, list[Range]] = {}
    for layer in table:
        dict(quantizable(unet))[layer.name].register_forward_pre_hook(_observer(layer, found))
    inputs = made_up_inputs(source, 1, resolution, device)
    with torch.no_grad():
        expected = UnetForExport(unet)(*inputs)
    torch.save(expected.float().cpu(), work / f"expected-{resolution}.pt")
    row = inputs[2][0, 0].float()
    RangeTable(
        model=table.model,
        layers_digest=table.digest,
        calibration=CalibrationRun(1, "none", 0, (resolution,)),
        bos=tuple(row.tolist()),
        bos_change=0.0,
        bos_range=Range(float(row.min()), float(row.max())),
        layers={LayerName(name): tuple(ranges) for name, ranges in found.items()},
    ).write(work / "ranges.json")


@dataclass(frozen=True, slots=True)
class Trial:
    """What one process does; the words of its command line."""

    way: str
    resolution: int
    batch: int
    model: str
    device: str
    work: Path
    profile: bool

    @property
    def ours(self) -> bool:
        """Whether it is the CUDA back end."""
        return self.way in ("fp16", "w8a8", "w4a16")

    @property
    def package(self) -> Path:
        """Where its package is."""
        return self.work / f"{self.way}-{self.resolution}.pt2"


def run_trial(trial: Trial, *, again: bool) -> None:
    """Compiles one way, says so, waits for a line, times it and says the figures.

    Args:
        trial: what to do.
        again: whether this process follows on one that compiled the package.
    """
    source = open_architecture(ModelChoice(trial.model))
    inputs = made_up_inputs(source, trial.batch, trial.resolution, trial.device)
    if trial.ours and not again:
        start = time.monotonic()
        module = planned_unet(trial.way, source, trial.device, trial.work)
        compile_package(module, inputs, trial.package)
        _wait(trial, start)
        # A new process, because torch's compiler keeps tensors.
        os.execv(sys.executable, [sys.executable, "-m", _THIS, *sys.argv[1:], _AGAIN])
    run = _package(trial, source, inputs) if trial.ours else _baseline(trial, source, inputs)
    with torch.no_grad():
        figures = _times(run, trial.device)
        row: dict[str, object] = {"way": trial.way, "resolution": trial.resolution, "batch": trial.batch}
        row |= {**figures, **_peaks(trial.device)}
        row["db"] = (
            _agreement(run(), trial.work / f"expected-{trial.resolution}.pt") if trial.batch == 1 else None
        )
        _say(row)
        if trial.profile:
            _profile(run, trial.work.parent / f"kernels-{trial.way}-{trial.resolution}.json")


def _wait(trial: Trial, start: float) -> None:
    _say({"compiled": f"{trial.way} {trial.resolution}", "seconds": round(time.monotonic() - start, 1)})
    sys.stdin.readline()


def _observer(layer: LayerSpec, found: dict[str, list[Range]]) -> Callable[[nn.Module, Any], None]:
    def observe(_: nn.Module, inputs: Any) -> None:
        parts = [torch.aminmax(part.float()) for part in quantized_parts(layer, inputs[0])]
        found[layer.name] = [Range(float(low), float(high)) for low, high in parts]

    return observe


def _package(trial: Trial, source: SourceModel, inputs: tuple[Tensor, ...]) -> Run:
    """The package as the runtime runs it; on a CPU, where there are no graphs, called."""
    module = planned_unet(trial.way, source, trial.device, trial.work)
    constants = dict(module.named_buffers())
    _forget_peaks(trial.device)
    if trial.device == "cpu":
        package = load_package(torch, trial.package, constants)
        return lambda: package.loader.boxed_run(list(inputs))[0]
    major, minor = torch.cuda.get_device_capability()
    opener = CudaOpener(Target(Backend.CUDA, 10 * major + minor))
    engine = opener.network(trial.package, constants).engine(_record(trial, inputs), 0)
    engine.run({name: value.cpu().numpy() for name, value in zip(INPUTS, inputs, strict=True)})

    def run() -> Tensor:
        engine.replay()
        result: Tensor = engine.outputs[0]
        return result

    return run


def _record(trial: Trial, inputs: tuple[Tensor, ...]) -> EngineRecord:
    return EngineRecord(
        component=Component.UNET,
        target="cuda",
        resolution=trial.resolution,
        file=FileRecord(trial.package.name, "", trial.package.stat().st_size),
        weights=(),
        builder=f"torch {torch.__version__}",
        built_for=torch.cuda.get_device_name(),
        inputs=tuple(
            TensorSpec(name, str(value.dtype).removeprefix("torch."), tuple(value.shape))
            for name, value in zip(INPUTS, inputs, strict=True)
        ),
        outputs=(TensorSpec("noise_prediction", "float16", tuple(inputs[0].shape)),),
    )


def _baseline(trial: Trial, source: SourceModel, inputs: tuple[Tensor, ...]) -> Run:
    """The UNet of diffusers, called once before it is said to be ready, so that all is compiled."""
    start = time.monotonic()
    module: Any = UnetForExport(made_up_unet(source, trial.device))
    if trial.way == "compiled":
        module = torch.compile(module, dynamic=False)

    def call() -> Tensor:
        result: Tensor = module(*inputs)
        return result

    with torch.no_grad():
        call()
    _wait(trial, start)
    _forget_peaks(trial.device)
    return call if trial.way == "eager" or trial.device == "cpu" else _recorded(call)


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


def _times(run: Run, device: str) -> dict[str, float]:
    """Median and quartiles in milliseconds."""
    spans = []
    for turn in range(_WARM_UPS + (_RUNS if device == "cuda" else 1)):
        span = _one(run, device)
        if turn >= _WARM_UPS - 1:
            spans.append(span)
    low, middle, high = quantiles(spans, n=4)
    return {"ms": round(middle, 4), "ms_q1": round(low, 4), "ms_q3": round(high, 4), "runs": len(spans)}


def _one(run: Run, device: str) -> float:
    if device == "cpu":
        start = time.perf_counter()
        run()
        return (time.perf_counter() - start) * 1e3
    cuda: Any = torch.cuda
    before, after = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    before.record()
    run()
    after.record()
    torch.cuda.synchronize()
    return before.elapsed_time(after)  # type: ignore[no-any-return]


def _forget_peaks(device: str) -> None:
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peaks(device: str) -> dict[str, float]:
    if device == "cpu":
        return {}
    return {
        "allocated_mib": round(torch.cuda.max_memory_allocated() / _MIB, 1),
        "reserved_mib": round(torch.cuda.max_memory_reserved() / _MIB, 1),
    }


def _agreement(result: Tensor, path: Path) -> float | None:
    """Signal to noise in dB against diffusers' FP16 UNet called on the same weights and inputs."""
    if not path.exists():
        return None
    expected = torch.load(path)
    noise = (result.float().cpu() - expected).square().sum()
    return round(float(10 * torch.log10(expected.square().sum() / noise)), 2)


def _profile(run: Run, path: Path) -> None:
    """Microseconds by kernel within one run, the mean of three."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as found:
        for _ in range(3):
            run()
        torch.cuda.synchronize()
    kernels = [
        {"kernel": event.key, "us": round(event.self_device_time_total / 3, 2), "launches": event.count / 3}
        for event in sorted(found.key_averages(), key=lambda event: -event.self_device_time_total)
    ]
    path.write_text(json.dumps(kernels, indent=0) + "\n")


def _say(what: dict[str, object]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    command, *words = sys.argv[1:]
    if command == "prepare":
        prepare(words[0], int(words[1]), words[2], Path(words[3]))
    else:
        way, resolution, batch, model, device, work, profile, *more = words
        trial = Trial(way, int(resolution), int(batch), model, device, Path(work), bool(profile))
        run_trial(trial, again=_AGAIN in more)
