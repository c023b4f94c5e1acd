"""The fidelity of plans on fixed prompts and noise: how well predicted sensitivities came true."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from mixdq.configs.errors import ModelError
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect
from mixdq.export.fidelity import psnr_db, sqnr_db, whole_ssim, windowed_ssim
from mixdq.export.judgement import FIELDS, Fidelity, Measure
from mixdq.export.one_step import Batch, OneStep
from mixdq.export.repeatable import repeatable
from mixdq.export.simulate import simulated


class Judge:
    """Judges one plan after another, each simulated whole; the UNet is as it was in between.

    The same plan gets the same figures, to the last bit on one machine with as many threads.
    """

    def __init__(self, run: OneStep, table: LayerTable, ranges: RangeTable, dialect: Dialect) -> None:
        """What plans are judged on.

        Args:
            run: the model, and what full precision makes of the prompts.
            table: its layers.
            ranges: its calibrated ranges, checked.
            dialect: of the quantizer: asymmetric activations, as in the paper, or symmetric ones.

        Raises:
            DigestError: ranges of another model.
        """
        ranges.check(table)
        self._run, self._table, self._ranges, self._dialect = run, table, ranges, dialect

    def judge(self, plan: PrecisionPlan) -> Fidelity:
        """Means over all prompts of how near the plan comes to full precision.

        Raises:
            PlanError: a plan of another model.
            DigestError: a plan of other weights.
            ModelError: results that are not finite, or a BOS-aware plan for a BOS row that is not constant.
        """
        plan.check(self._table)
        with repeatable(), simulated(self._run.unet, self._table, plan, self._ranges, self._dialect):
            predictions = [self._run.predict(batch) for batch in self._run.batches]
        # The pictures follow outside the simulation: the VAE is no part of a plan.
        with repeatable():
            parts = [
                self._figures(batch, prediction)
                for batch, prediction in zip(self._run.batches, predictions, strict=True)
            ]
        means = {
            FIELDS[measure]: float(torch.cat([part[measure] for part in parts]).mean()) for measure in Measure
        }
        if broken := [name for name, value in means.items() if not math.isfinite(value)]:
            raise ModelError(
                f"the {broken[0]} of a plan is not finite, where full precision gives finite values: the "
                "simulation overflows; compute in float32"
            )
        return Fidelity(**means)

    def _figures(self, batch: Batch, prediction: Tensor) -> Mapping[Measure, Tensor]:
        """`[B]` by measure."""
        latents = self._run.latents(batch, prediction)
        images = self._run.images(latents)
        found = {
            Measure.SQNR: sqnr_db(prediction, batch.prediction),
            Measure.X0_SQNR: sqnr_db(latents, batch.latents),
            Measure.PSNR: psnr_db(images, batch.images),
            Measure.SSIM: whole_ssim(images, batch.images),
            Measure.WINDOWED_SSIM: windowed_ssim(images, batch.images),
        }
        return {measure: values.cpu() for measure, values in found.items()}
