"""Bundles of one model side by side: the same pictures, timed in turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from PIL.Image import Image

from mixdq.configs.bundle import Bundle, Component, EngineRecord
from mixdq.eval.demo_report import Row, Similarity
from mixdq.eval.similarity import psnr_db, ssim
from mixdq.eval.timing import Timing, noise_for, time_in_turns
from mixdq.runtime import Pipeline

Pictures = Mapping[int, Sequence[Image]]
"""By resolution, one a prompt."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Measurements by resolution and variant, and the pictures by variant."""

    rows: tuple[Row, ...]
    pictures: Mapping[str, Pictures]


def compare(
    pipelines: Mapping[str, Pipeline], prompts: tuple[str, ...], seeds: tuple[int, ...], rounds: int
) -> Comparison:
    """Draws the same prompts with several bundles of one model and times them in turns.

    Args:
        pipelines: by the variant's name; the first one is the reference.
        prompts: what to draw, at every resolution.
        seeds: one a prompt.
        rounds: timed calls of each engine and each pipeline.
    """
    reference = next(iter(pipelines))
    resolutions = pipelines[reference].bundle.resolutions
    pictures = {
        name: {side: pipeline(prompts, seed=seeds, resolution=side) for side in resolutions}
        for name, pipeline in pipelines.items()
    }
    rows: list[Row] = []
    for side in resolutions:
        unet, picture = _time(pipelines, side, prompts[0], seeds[0], rounds)
        for name, pipeline in pipelines.items():
            drawn, expected = pictures[name][side], pictures[reference][side]
            rows.append(
                Row(
                    resolution=side,
                    variant=name,
                    unet=unet[name],
                    picture=picture[name],
                    onnx_bytes=_bytes(pipeline.bundle.find(Component.UNET, "cpu", side)),
                    rtx_bytes=_rtx_bytes(pipeline.bundle, side),
                    similarity=None if name == reference else _similarity(drawn, expected),
                )
            )
    return Comparison(tuple(rows), pictures)


def _time(
    pipelines: Mapping[str, Pipeline], side: int, prompt: str, seed: int, rounds: int
) -> tuple[dict[str, Timing], dict[str, Timing]]:
    """The UNet alone, and the whole picture."""
    unets = {name: pipeline.engine(Component.UNET, side) for name, pipeline in pipelines.items()}
    unet = time_in_turns(
        {name: partial(engine.run, noise_for(engine, seed)) for name, engine in unets.items()}, rounds
    )
    picture = time_in_turns(
        {name: partial(pipe, prompt, seed=seed, resolution=side) for name, pipe in pipelines.items()}, rounds
    )
    return unet, picture


def _similarity(pictures: Sequence[Image], reference: Sequence[Image]) -> Similarity:
    pairs = list(zip(pictures, reference, strict=True))
    return Similarity(tuple(psnr_db(*pair) for pair in pairs), tuple(ssim(*pair) for pair in pairs))


def _rtx_bytes(bundle: Bundle, side: int) -> int | None:
    targets = sorted({engine.target for engine in bundle.engines if engine.target.startswith("rtx:")})
    return _bytes(bundle.find(Component.UNET, targets[0], side)) if targets else None


def _bytes(record: EngineRecord) -> int:
    return record.file.bytes + sum(file.bytes for file in record.weights)
