"""Pictures of a plan's simulation in torch: for what no back end here runs, and for GPUs without engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from PIL.Image import Image

from mixdq.compiler.paper_stages import summary_of
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect
from mixdq.eval.image_set import Arrangement, Painter
from mixdq.eval.images.source import Draw, PictureSource
from mixdq.export.calibrate_size import batch_size
from mixdq.export.reference import ReferencePipeline
from mixdq.export.repeatable import repeatable
from mixdq.export.scheduler_configs import scheduler_spec
from mixdq.export.simulate import simulated
from mixdq.export.source import SourceModel
from mixdq.runtime.images import to_images
from mixdq.runtime.noise import NoiseSource

_LIBRARIES = ("numpy", "torch", "diffusers", "transformers", "tokenizers")
_STEPS = 1


def simulated_source(
    source: SourceModel,
    table: LayerTable,
    plan: PrecisionPlan,
    ranges: RangeTable,
    *,
    device: str,
    resolution: int,
) -> PictureSource:
    """Diffusers' pipeline with the plan's layers simulated; one step, the same noise as all other sources.

    It computes in FP32 on the CPU and in FP16 on a GPU. The whole model is loaded when it is opened.

    Args:
        source: the model with its weights.
        table: its layers.
        plan: what to simulate.
        ranges: calibrated.
        device: `cpu` or `cuda`.
        resolution: pixels.
    """
    vae = getattr(torch, source.choice.vae_precision)
    dtype = torch.float32 if device == "cpu" else torch.float16
    painter = Painter(
        kind="simulation",
        model=source.identity,
        plan=f"{summary_of(plan, table)}, simulated",
        plan_digest=plan.digest,
        engines={},
        target="simulation",
        device=device,
        scheduler=scheduler_spec(source.configs["scheduler"]).kind,
        steps=_STEPS,
        resolution=resolution,
    )
    side = resolution // source.downsampling
    shape = (source.configs["vae"]["latent_channels"], side, side)

    @contextmanager
    def opened(arrangement: Arrangement) -> Iterator[Draw]:
        pipeline = ReferencePipeline(source, streamed=False, dtype=dtype, vae_dtype=vae, device=device)

        def draw(prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
            noise = torch.from_numpy(NoiseSource(seeds).draw(shape)).to(device)
            with repeatable(arrangement.threads):
                return to_images(pipeline.decode(pipeline.latents(prompts, noise, resolution, _STEPS)))

        with simulated(pipeline.unet, table, plan, ranges, Dialect.ORT):
            yield draw

    threads = torch.get_num_threads() if device == "cpu" else None
    return PictureSource(
        painter, _LIBRARIES, Arrangement(batch_size(resolution), 1, threads), None, None, opened
    )
