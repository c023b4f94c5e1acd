"""The self-test of one target, in a process of its own: draw, keep what each engine saw, measure, compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from mixdq.compiler.worker import Report
from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.errors import TargetError
from mixdq.configs.sqnr import IDENTICAL_DB, psnr_db, sqnr_db
from mixdq.configs.target import Target
from mixdq.eval.selftest_report import EngineFigures, PictureFigures
from mixdq.runtime.cuda_api import free_and_total_bytes
from mixdq.runtime.engine import Array, Engine, Opener
from mixdq.runtime.loading import open_with
from mixdq.runtime.onnx_engine import OnnxDevice
from mixdq.runtime.pipeline import Pipeline
from mixdq.runtime.store import EngineStore

_MIB = 1 << 20
"""What stands for the infinite ratio of equal pictures."""

Place = tuple[Component, int | None]
"""A network and its resolution; None for one that serves every resolution."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an engine took and gave while a picture was drawn."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class TargetRun:
    """What the run of a target brought.

    Attributes:
        seen: inputs and outputs of every engine.
        pictures: by resolution, UINT8 `[height, width, 3]`.
        engine_ms: median of each engine.
        picture_ms: median of each resolution.
        files: engine files whose digests were checked.
        gpu_mib: memory of the GPU in use; None where nothing was on a GPU.
    """

    seen: Mapping[Place, Seen]
    pictures: Mapping[int, Array]
    engine_ms: Mapping[Place, float]
    picture_ms: Mapping[int, float]
    files: int
    gpu_mib: float | None


def run_target(
    report: Report,
    root: Path,
    target: str,
    device: str,
    prompt: str,
    seed: int,
    rounds: int,
) -> TargetRun:
    """Draws a picture at every resolution of a bundle, and times every engine.

    Args:
        report: told what is done.
        root: the bundle's folder.
        target: which engines.
        device: where it computes, `cpu` or `cuda`; the other targets than `cpu` compute on `cuda`.
        prompt: what to draw.
        seed: the noise.
        rounds: measured runs.

    Raises:
        TargetError: the target can't be executed here.
        MixdqError: it can, and something failed.
    """
    bundle, wanted = Bundle.read(root), Target.parse(target)
    opener = open_with(wanted, OnnxDevice.parse(device), None)
    on_gpu = device != OnnxDevice.CPU
    before = _gpu_free_bytes() if on_gpu else None
    engines = _WatchedStore(bundle, root, wanted, opener)
    pictures: dict[int, Array] = {}
    picture_ms: dict[int, float] = {}
    with Pipeline(bundle, engines) as pipeline:
        for place, resolution in enumerate(bundle.resolutions):
            report(f"{target}: {resolution} pixels", place, len(bundle.resolutions))

            def draw(resolution: int = resolution) -> None:
                picture = pipeline(prompt, seed=seed, resolution=resolution)
                pictures[resolution] = np.asarray(picture)

            draw()  # opens the engines
            picture_ms[resolution] = _median_ms(draw, rounds)
        engine_ms = engines.time(rounds)
        after = _gpu_free_bytes() if on_gpu else None
        used = None if before is None or after is None else before - after
    records = [engine for engine in bundle.engines if engine.target == target]
    bundle_files = {file for engine in records for file in (engine.file, *engine.weights)}
    return TargetRun(
        seen=engines.seen,
        pictures=pictures,
        engine_ms=engine_ms,
        picture_ms=picture_ms,
        files=len(bundle_files),
        gpu_mib=None if used is None else used / _MIB,
    )


def compare_engines(report: Report, root: Path, seen: Mapping[Place, Seen]) -> dict[Place, float]:
    """The SQNR in dB of each engine's outputs, the worst of them, against ONNX Runtime's on the CPU.

    Args:
        report: told what is done.
        root: the bundle's folder.
        seen: what each engine of another target took and gave.
    """
    bundle, target = Bundle.read(root), Target.parse("cpu")
    found: dict[Place, float] = {}
    with EngineStore(bundle, root, target, open_with(target, OnnxDevice.CPU, None)) as engines:
        for count, (place, ours) in enumerate(seen.items()):
            report(f"ONNX Runtime: {place[0]}", count, len(seen))
            engine = engines(place[0], place[1] or bundle.resolutions[0])
            inputs = {spec.name: ours.inputs[spec.name].astype(spec.dtype) for spec in engine.record.inputs}
            theirs = engine.run(inputs)
            found[place] = min(_agreement_db(ours.outputs[name], value) for name, value in theirs.items())
    return found


def engine_figures(run: TargetRun, agreement: Mapping[Place, float]) -> tuple[EngineFigures, ...]:
    """Every engine's row of the report, in the order in which they ran."""
    return tuple(
        EngineFigures(component, resolution, milliseconds, agreement.get((component, resolution)))
        for (component, resolution), milliseconds in run.engine_ms.items()
    )


def picture_figures(run: TargetRun, references: Mapping[int, Array]) -> tuple[PictureFigures, ...]:
    """Every picture's row of the report."""
    return tuple(
        PictureFigures(
            resolution,
            run.picture_ms[resolution],
            float(picture.std()),
            psnr_db(picture, references[resolution], peak=255) if resolution in references else None,
        )
        for resolution, picture in run.pictures.items()
    )


def _agreement_db(output: Array, expected: Array) -> float:
    if output.dtype == np.uint8:  # pictures, which ONNX Runtime's decoder gives as numbers around 0
        output, expected = output / 127.5 - 1, np.clip(expected.transpose(0, 2, 3, 1), -1, 1)
    if expected.any():
        return sqnr_db(output, expected)
    return -IDENTICAL_DB if output.any() else IDENTICAL_DB  # no signal to take a ratio to


class _WatchedStore(EngineStore):
    """Opens engines that keep what they last took and gave."""

    def __init__(self, bundle: Bundle, root: Path, target: Target, opener: Opener) -> None:
        super().__init__(bundle, root, target, opener)
        self._watched: dict[Place, _Watched] = {}

    def __call__(self, component: Component, resolution: int) -> Engine:
        engine = super().__call__(component, resolution)
        place = (component, engine.record.resolution)
        if place not in self._watched:
            self._watched[place] = _Watched(engine)
        return self._watched[place]

    @property
    def seen(self) -> dict[Place, Seen]:
        return {place: Seen(engine.inputs, engine.outputs) for place, engine in self._watched.items()}

    def time(self, rounds: int) -> dict[Place, float]:
        """Median milliseconds of each engine, on what it took for the picture."""
        return {
            place: _median_ms(lambda engine=engine: engine.run(engine.inputs), rounds)  # type: ignore[misc]
            for place, engine in self._watched.items()
        }


class _Watched:
    def __init__(self, engine: Engine) -> None:
        self.record, self._engine = engine.record, engine
        self.inputs: dict[str, Array] = {}
        self.outputs: dict[str, Array] = {}

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.inputs, self.outputs = dict(inputs), self._engine.run(inputs)
        return self.outputs


def _median_ms(call: Callable[[], object], rounds: int) -> float:
    seen = []
    for _ in range(rounds):
        start = perf_counter()
        call()
        seen.append((perf_counter() - start) * 1e3)
    return median(seen)


def _gpu_free_bytes() -> int | None:
    try:
        return free_and_total_bytes()[0]
    except TargetError:  # ONNX Runtime computes on a GPU without cuda-python, which would tell
        return None
