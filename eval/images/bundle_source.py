"""Pictures from a bundle's engines."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL.Image import Image

from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.errors import RequestError
from mixdq.configs.target import Backend, Target
from mixdq.eval.image_set import Arrangement, Painter
from mixdq.eval.images.source import Draw, PictureSource
from mixdq.runtime import load
from mixdq.runtime.onnx_engine import OnnxDevice
from mixdq.runtime.scheduler import schedule

_LIBRARIES = ("numpy", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx-cu13", "tokenizers")


def bundle_source(
    folder: Path,
    *,
    target: str,
    device: str,
    resolution: int,
    steps: int,
    batch: int | None,
    jobs: int | None,
) -> PictureSource:
    """A bundle that draws, its request checked; engines are loaded when it is opened.

    In a new set on the CPU two calls run side by side, each with half of the cores: a small network keeps one
    core busy where it can't keep two. On a GPU calls follow each other.

    Args:
        folder: the bundle's.
        target: which of its engines.
        device: where ONNX Runtime computes.
        resolution: pixels.
        steps: denoising steps.
        batch: pictures of one call; None for as many as an engine makes at once.
        jobs: calls side by side on the CPU; None for 2, or 1 on one core.

    Raises:
        BundleError: no bundle there, or without such engines.
        RequestError: a resolution or steps that it can't make, or a wrong number of pictures.
        TargetError: no such target or device.
    """
    bundle = Bundle.read(folder)
    if resolution not in bundle.resolutions:
        known = ", ".join(map(str, bundle.resolutions))
        raise RequestError(
            f"{folder} makes pictures of {known} pixels, not of {resolution}; choose one of them"
        )
    schedule(bundle.pipeline.scheduler, steps)
    chosen = OnnxDevice.parse(device)
    on_cpu = Target.parse(target).backend is Backend.CPU and chosen is OnnxDevice.CPU
    cores = os.cpu_count() or 1
    at_once = jobs or min(2, cores) if on_cpu else 1
    threads = max(1, cores // at_once) if on_cpu else None
    painter = Painter(
        kind="bundle",
        model=bundle.model,
        plan=bundle.plan_summary,
        plan_digest=bundle.plan_digest,
        engines=_engines(bundle, target, resolution),
        target=target,
        device="cpu" if on_cpu else "cuda",
        scheduler=bundle.pipeline.scheduler.kind,
        steps=steps,
        resolution=resolution,
    )

    @contextmanager
    def opened(arrangement: Arrangement) -> Iterator[Draw]:
        with load(folder, target=target, device=device, threads=arrangement.threads) as pipeline:

            def draw(prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
                return pipeline(list(prompts), seed=seeds, resolution=resolution, steps=steps)

            yield draw

    arrangement = Arrangement(batch or bundle.batch, at_once, threads)
    return PictureSource(painter, _LIBRARIES, arrangement, batch, jobs if on_cpu else None, opened)


def _engines(bundle: Bundle, target: str, resolution: int) -> Mapping[str, str]:
    """SHA-256 of each file that the engines are made of, by its path in the bundle."""
    records = [bundle.find(component, target, resolution) for component in Component]
    return {file.path: file.sha256 for record in records for file in (record.file, *record.weights)}
