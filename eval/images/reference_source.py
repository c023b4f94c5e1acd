"""Pictures from diffusers' own pipeline, on the same noise as the runtime's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from PIL.Image import Image

from mixdq.compiler.memory import available_mib
from mixdq.configs.bundle import Component
from mixdq.configs.errors import EvaluationError, RequestError, TargetError
from mixdq.eval.image_set import Arrangement, Painter
from mixdq.eval.images.source import Draw, PictureSource
from mixdq.export.calibrate_size import batch_size
from mixdq.export.modules import empty_module
from mixdq.export.reference import ReferencePipeline
from mixdq.export.repeatable import repeatable
from mixdq.export.scheduler_configs import scheduler_spec
from mixdq.export.source import SourceModel
from mixdq.runtime.images import to_images
from mixdq.runtime.noise import NoiseSource
from mixdq.runtime.scheduler import schedule

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_LIBRARIES = ("numpy", "torch", "diffusers", "transformers", "tokenizers")
_MIB = 1 << 20


def reference_source(
    source: SourceModel,
    *,
    device: str,
    precision: str,
    resolution: int,
    steps: int,
    batch: int | None,
) -> PictureSource:
    """The reference that draws, its request checked; weights are loaded when it is opened.

    Picture by picture it draws what a bundle at full precision does, up to the arithmetic's rounding: its
    noise, the latents' and the sampler's, comes from the runtime's `NoiseSource`.

    Args:
        source: the checked model with its weights.
        device: `cpu` or `cuda`.
        precision: of text encoders and UNet; the VAE's is the choice's `vae_precision`.
        resolution: pixels.
        steps: denoising steps.
        batch: pictures that are computed together; None for as many as fit into a few GB.

    Raises:
        RequestError: no such precision, or a resolution or steps that the model can't make.
        TargetError: no such device here.
    """
    if precision not in _DTYPES:
        raise RequestError(f"--precision is one of {', '.join(_DTYPES)}, not {precision!r}")
    source.check_resolution(resolution)
    spec = scheduler_spec(source.configs["scheduler"])
    schedule(spec, steps)
    _require(device)
    vae = source.choice.vae_precision
    painter = Painter(
        kind="reference",
        model=source.identity,
        plan=precision if vae == precision else f"{precision}, VAE {vae}",
        plan_digest=None,
        engines={},
        target="diffusers",
        device=device,
        scheduler=spec.kind,
        steps=steps,
        resolution=resolution,
    )

    @contextmanager
    def opened(arrangement: Arrangement) -> Iterator[Draw]:
        pipeline = ReferencePipeline(
            source,
            streamed=device == "cpu" and not _fits(source, _DTYPES[precision]),
            dtype=_DTYPES[precision],
            vae_dtype=_DTYPES[vae],
            device=device,
        )
        side = resolution // source.downsampling
        shape = (source.configs["vae"]["latent_channels"], side, side)

        def draw(prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
            noise = NoiseSource(seeds)

            def fresh() -> torch.Tensor:
                return torch.from_numpy(noise.draw(shape))

            with repeatable(arrangement.threads):
                latents = pipeline.latents(prompts, fresh(), resolution, steps, fresh=fresh)
                images = pipeline.decode(latents)
            if not np.isfinite(images).all():
                raise EvaluationError(
                    f"the reference gave pictures with values that are not finite at {painter.plan}; use "
                    "--precision bfloat16 or float32, or an FP16-safe VAE"
                )
            return to_images(images)

        yield draw

    threads = torch.get_num_threads() if device == "cpu" else None
    arrangement = Arrangement(batch or batch_size(resolution), 1, threads)
    return PictureSource(painter, _LIBRARIES, arrangement, batch, None, opened)


def _require(device: str) -> None:
    if device not in ("cpu", "cuda"):
        raise TargetError(f"unknown device {device!r}; use cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        build = "has no CUDA" if torch.version.cuda is None else "finds no NVIDIA GPU"
        raise TargetError(
            f"device cuda needs an NVIDIA GPU and a torch that can use it; torch {torch.__version__} here "
            f"{build}; use --device cpu"
        )


def _fits(source: SourceModel, dtype: torch.dtype) -> bool:
    """Whether all weights fit into two thirds of the memory that is left; else layers read theirs in turn."""
    numbers = sum(
        parameter.numel()
        for component in Component
        for parameter in empty_module(source, component).parameters()
    )
    return 1.5 * numbers * dtype.itemsize / _MIB < available_mib()
