"""One way to run a UNet of made-up weights: compiled, then timed on demand; see `unet_trial`."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import quantiles
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from mixdq.compiler.cuda.assemble import assemble
from mixdq.compiler.cuda.forms import PlannedLayers
from mixdq.compiler.cuda.package import compile_package
from mixdq.configs.bundle import Component, EngineRecord, FileRecord, TensorSpec
from mixdq.configs.form import Form
from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.plan import PrecisionPlan, Realization, uniform_plan
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.presets import preset_for
from mixdq.configs.ranges import CalibrationRun, Range, RangeTable
from mixdq.configs.target import Backend, Target
from mixdq.export.calibrate import quantized_parts
from mixdq.export.layers import list_layers, quantizable, unet_inputs
from mixdq.export.modules import UnetForExport, empty_module
from mixdq.export.source import SourceModel, open_architecture
from mixdq.runtime.cuda_engine import CudaOpener, load_package

_MIB = 1 << 20
_RUNS = 50
_WARM_UPS = 5
_AGAIN = "again"
_BOS_OUTLIER = 10.0
_INPUTS = ("sample", "timestep", "encoder_hidden_states", "text_embeds", "time_ids")
Run = Callable[[], Tensor]


def prepare(model: str, resolution: int, device: str, work: Path) -> None:
    """Lists the layers and measures ranges on one random image."""
    source = open_architecture(ModelChoice(model))
    table = list_layers(source, (resolution,))
    table.write(work / "layers.json")
    unet = _reference(source, device)
    found: dict[str, list[Range]] = {}
    for layer in table:
        dict(quantizable(unet))[layer.name].register_forward_pre_hook(_observer(layer, found))
    inputs = _inputs(source, 1, resolution, device)
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


def run_case(
    way: str, resolution: int, batch: int, model: str, device: str, work: Path, profile: bool
) -> None:
    """Compiles one way, says so, waits for a line, times it and says the figures."""
    source = open_architecture(ModelChoice(model))
    inputs = _inputs(source, batch, resolution, device)
    start = time.monotonic()
    ours = way in ("fp16", "w8a8", "w4a16")
    if ours:
        record, path = _compile(way, source, inputs, resolution, device, work)
    else:
        unet = _reference(source, device)
        call = _baseline(way, unet, inputs)
    again = sys.argv[-1] == _AGAIN
    if not again:
        _say({"compiled": f"{way} {resolution}", "seconds": round(time.monotonic() - start, 1)})
        sys.stdin.readline()
    if ours and not again:
        # A new process, because torch's compiler keeps tensors: this time the package is there.
        words = ["-m", "mixdq.eval.speed.unet_trial_case", *sys.argv[1:], _AGAIN]
        os.execv(sys.executable, [sys.executable, *words])
    if ours:
        module = _module(way, source, device, work)
        _forget_peaks(device)
        run = _load(record, path, dict(module.named_buffers()), inputs, device)
    else:
        _forget_peaks(device)
        run = call if way == "eager" or device == "cpu" else _recorded(call)
    with torch.no_grad():
        figures = _times(run, device)
        row = {"way": way, "resolution": resolution, "batch": batch, **figures, **_peaks(device)}
        row["db"] = _agreement(run(), work / f"expected-{resolution}.pt") if batch == 1 else None
        _say(row)
        if profile:
            _profile(run, work.parent / f"kernels-{way}-{resolution}.json")


def made_up(name: str, shape: tuple[int, ...], device: str) -> Tensor:
    """A tensor that depends on its name: norms that do nothing, weights that keep an input's variance."""
    if len(shape) == 1:
        return torch.full(shape, 1.0 if "norm" in name and name.endswith("weight") else 0.0).half().to(device)
    generator = torch.Generator(device).manual_seed(crc32(name.encode()))
    fan = 1
    for size in shape[1:]:
        fan *= size
    values: Tensor = torch.randn(shape, generator=generator, device=device) * float(fan) ** -0.5
    return values.half()


def _reference(source: SourceModel, device: str) -> nn.Module:
    unet = empty_module(source, Component.UNET)
    for path, owner in unet.named_modules():
        for key, parameter in list(owner.named_parameters(recurse=False)):
            value = made_up(f"{path}.{key}", tuple(parameter.shape), device)
            owner._parameters[key] = nn.Parameter(value, requires_grad=False)
    return unet.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _inputs(source: SourceModel, batch: int, resolution: int, device: str) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    side = resolution // source.downsampling
    named = unet_inputs(source, batch=batch, height=side, width=side, dtype=torch.float16, device=device)
    text = torch.randn(named["encoder_hidden_states"].shape)
    text[:, 0] = torch.randn(text.shape[-1], generator=torch.Generator().manual_seed(1))
    text[:, 0, :5] = _BOS_OUTLIER
    named["encoder_hidden_states"] = text.half().to(device)
    return tuple(named[name] for name in _INPUTS)


def _observer(layer: LayerSpec, found: dict[str, list[Range]]) -> Callable[[nn.Module, Any], None]:
    def observe(_: nn.Module, inputs: Any) -> None:
        parts = [torch.aminmax(part.float()) for part in quantized_parts(layer, inputs[0])]
        found[layer.name] = [Range(float(low), float(high)) for low, high in parts]

    return observe


def _plan(way: str, table: LayerTable, model: str) -> PrecisionPlan:
    options: Any = {"keep": (), "bos_aware": way != "fp16", "split_shortcuts": way != "fp16"}
    protect = preset_for(model).protect
    if way == "fp16":
        return uniform_plan(table, FP16, protect=(), **options)
    plan = uniform_plan(table, Precision(8, 8), protect=protect, **options)
    if way == "w8a8":
        return plan
    forms = {layer.name: _packed(layer, layer.name in protect) for layer in table}
    layers = {name: form.precision for name, form in forms.items()}
    return replace(plan, layers=layers, realization=Realization("cuda", forms))


def _packed(layer: LayerSpec, protected: bool) -> Form:
    if layer.kind is Kind.CONVOLUTION:
        return Form.parse("int8:channel/float" if protected else "int8:channel/uint8")
    packed = Form.parse("int4:block128/float")
    return packed if packed.fits(layer) else Form.parse("int8:channel/float")


def _module(way: str, source: SourceModel, device: str, work: Path) -> nn.Module:
    table = LayerTable.read(work / "layers.json")
    structure = empty_module(source, Component.UNET)
    shapes = {name: tuple(parameter.shape) for name, parameter in structure.named_parameters()}
    layers = PlannedLayers(
        table,
        _plan(way, table, source.identity.name),
        RangeTable.read(work / "ranges.json"),
        lambda name: made_up(name, shapes[name], device),
    )
    return assemble(structure, layers)


def _compile(
    way: str, source: SourceModel, inputs: tuple[Tensor, ...], resolution: int, device: str, work: Path
) -> tuple[EngineRecord, Path]:
    path = work / f"{way}-{resolution}.pt2"
    if not path.exists():
        compile_package(_module(way, source, device, work), inputs, path)
    record = EngineRecord(
        component=Component.UNET,
        target="cuda",
        resolution=resolution,
        file=FileRecord(path.name, "", path.stat().st_size),
        weights=(),
        builder=f"torch {torch.__version__}",
        built_for=torch.cuda.get_device_name() if device == "cuda" else "cpu",
        inputs=tuple(
            TensorSpec(name, str(value.dtype).removeprefix("torch."), tuple(value.shape))
            for name, value in zip(_INPUTS, inputs, strict=True)
        ),
        outputs=(TensorSpec("noise_prediction", "float16", tuple(inputs[0].shape)),),
    )
    return record, path


def _load(
    record: EngineRecord,
    path: Path,
    constants: Mapping[str, Tensor],
    inputs: tuple[Tensor, ...],
    device: str,
) -> Run:
    """The package as the runtime runs it; on a CPU, where there are no graphs, called."""
    if device == "cpu":
        package = load_package(torch, path, constants)
        return lambda: package.loader.boxed_run(list(inputs))[0]
    major, minor = torch.cuda.get_device_capability()
    opener = CudaOpener(Target(Backend.CUDA, 10 * major + minor))
    opener.check(record)
    engine = opener.network(path, constants).engine(record, 0)
    engine.run({name: value.cpu().numpy() for name, value in zip(_INPUTS, inputs, strict=True)})

    def run() -> Tensor:
        engine.replay()
        result: Tensor = engine.outputs[0]
        return result

    return run


def _baseline(way: str, unet: nn.Module, inputs: tuple[Tensor, ...]) -> Run:
    """The call that is timed or recorded, made once, so that what compiles is compiled."""
    module: Any = UnetForExport(unet)
    if way == "compiled":
        module = torch.compile(module, dynamic=False)

    def call() -> Tensor:
        return module(*inputs)  # type: ignore[no-any-return]

    with torch.no_grad():
        call()
    return call


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
        run_case(words[0], int(words[1]), int(words[2]), words[3], words[4], Path(words[5]), bool(words[6]))
