"""The process of one case of a UNet's trial: compiles, waits, times, and says each in a line of JSON.

A case of the CUDA back end compiles in one process and runs in another, which it becomes: torch's compiler
keeps tensors, and memory is to be measured without it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mixdq.configs.layers import LayerName, LayerSpec
from mixdq.configs.ranges import CalibrationRun, Range, RangeTable
from mixdq.eval.speed.gpu_clock import profile_run, time_runs
from mixdq.eval.speed.made_up_unet import made_up_inputs, made_up_unet
from mixdq.eval.speed.nvml import clock_watch
from mixdq.eval.speed.unet_trial_choices import Case
from mixdq.eval.speed.unet_trial_ways import Place, compile_case, needs_package, ready_case
from mixdq.export.calibrate import quantized_parts
from mixdq.export.layers import list_layers, quantizable
from mixdq.export.modules import UnetForExport

_THIS = "mixdq.eval.speed.unet_trial_case"
_MIB = 1 << 20
_NICE = 5  # below what compiles longest, and is no part of the back end


def prepare(place: Place, resolutions: tuple[int, ...]) -> None:
    """Lists the layers, measures ranges on one random image, and keeps what diffusers makes of each size."""
    source = place.source()
    table = list_layers(source, resolutions[:1])
    place.work.mkdir(parents=True, exist_ok=True)
    table.write(place.work / "layers.json")
    unet = made_up_unet(source, place.device)
    found: dict[str, list[Range]] = {}
    hooks = [
        dict(quantizable(unet))[layer.name].register_forward_pre_hook(_observer(layer, found))
        for layer in table
    ]
    for size in resolutions:
        inputs = made_up_inputs(source, 1, size, place.device)
        with torch.no_grad():
            torch.save(UnetForExport(unet)(*inputs).float().cpu(), _expected(place, size))
        for hook in hooks:
            hook.remove()
    row = inputs[2][0, 0].float()
    RangeTable(
        model=table.model,
        layers_digest=table.digest,
        calibration=CalibrationRun(1, "none", 0, resolutions[:1]),
        bos=tuple(row.tolist()),
        bos_change=0.0,
        bos_range=Range(float(row.min()), float(row.max())),
        layers={LayerName(name): tuple(ranges) for name, ranges in found.items()},
    ).write(place.work / "ranges.json")


def run_case(case: Case, place: Place, words: list[str], *, compiled: bool) -> None:
    """Does one case; the parent's lines say when to time it, and when to end."""
    start = time.monotonic()
    if needs_package(case) and not compiled:
        compile_case(case, place)
        took = time.monotonic() - start
        os.execv(sys.executable, [sys.executable, "-m", _THIS, *words, f"{took:.1f}"])
    run = ready_case(case, place)
    took = float(words[-1]) if compiled else time.monotonic() - start
    _say({"ready": str(case), "compile_s": round(took, 1), "loaded_s": round(time.monotonic() - start, 1)})
    if not sys.stdin.readline():
        return
    with torch.no_grad():
        with clock_watch(place.device) as clock:
            figures = time_runs(run, place.device)
        found: dict[str, object] = {"compile_s": round(took, 1), **figures, **_peaks(place.device)}
        found["sm_mhz"] = None if clock is None else clock.sm_mhz
        found["db"] = _agreement(run(), _expected(place, case.resolution)) if case.batch == 1 else None
        _say({"figures": found})
        _say({"launches": [[launch.kernel, round(launch.us, 3)] for launch in profile_run(run)]})
    sys.stdin.readline()


def _observer(layer: LayerSpec, found: dict[str, list[Range]]) -> Callable[[nn.Module, Any], None]:
    def observe(_: nn.Module, inputs: Any) -> None:
        parts = [torch.aminmax(part.float()) for part in quantized_parts(layer, inputs[0])]
        found[layer.name] = [Range(float(low), float(high)) for low, high in parts]

    return observe


def _expected(place: Place, resolution: int) -> Path:
    return place.work / f"expected-{resolution}.pt"


def _peaks(device: str) -> dict[str, float]:
    if device == "cpu":
        return {}
    return {
        "allocated_mib": round(torch.cuda.max_memory_allocated() / _MIB, 1),
        "reserved_mib": round(torch.cuda.max_memory_reserved() / _MIB, 1),
    }


def _agreement(result: Tensor, path: Path) -> float:
    """Signal to noise in dB against diffusers' FP16 UNet called on the same weights and inputs."""
    expected = torch.load(path)
    noise = (result.float().cpu() - expected).square().sum()
    return round(float(10 * torch.log10(expected.square().sum() / noise)), 2)


def _say(what: dict[str, object]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    command, model, device, work, *others = words
    place = Place(model, device, Path(work))
    if command == "prepare":
        prepare(place, tuple(int(word) for word in others))
    else:
        case = Case.parse(others[0])
        if case.way != "torchao":
            os.nice(_NICE)
        run_case(case, place, words, compiled=len(others) > 1)
