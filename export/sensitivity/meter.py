"""One layer quantized alone, at several widths at once, on fixed prompts: what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mixdq.configs.errors import ModelError
from mixdq.configs.layers import Group, LayerName, LayerSpec, LayerTable
from mixdq.configs.plan import uniform_plan
from mixdq.configs.precision import Precision
from mixdq.configs.quantizer import activation_quantizers
from mixdq.configs.ranges import RangeTable
from mixdq.configs.sensitivity import LayerScores, Metric, Operand
from mixdq.configs.target import Dialect
from mixdq.export.fidelity import sqnr_db, whole_ssim, windowed_ssim
from mixdq.export.layers import quantizable
from mixdq.export.one_step import Batch, OneStep
from mixdq.export.sensitivity.replay import Replay
from mixdq.export.simulate import SimulatedLayer, put_layer


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of every layer.

    Attributes:
        widths: the bits to try, ascending, by operand.
        bos_aware: whether token 0 leaves the quantized path of cross-attention's K and V.
        decode_all: whether pictures of quality layers are decoded too, whose scores the paper does not use.
        dialect: of the quantizer: asymmetric activations, as in the paper, or symmetric ones.
    """

    widths: Mapping[Operand, tuple[int, ...]]
    bos_aware: bool
    decode_all: bool
    dialect: Dialect

    @property
    def trials(self) -> int:
        """How many variants of a layer run."""
        return sum(len(bits) for bits in self.widths.values())


class Meter:
    """Measures one layer after another; the UNet is as it was in between."""

    def __init__(self, run: OneStep, table: LayerTable, ranges: RangeTable, question: Question) -> None:
        """Records what the UNet's parts give on each batch.

        Raises:
            ModelError: BOS-aware is asked for and the model's BOS row is not constant.
        """
        if question.bos_aware:
            ranges.constant_bos()
        self._run, self._ranges, self._question = run, ranges, question
        self._modules = dict(quantizable(run.unet))
        self._replay = Replay(run.unet)
        self._recordings = [self._replay.record(partial(run.predict, batch)) for batch in run.batches]
        # Its ranges are what a plan's would be that quantizes every layer.
        self._plan = uniform_plan(
            table, Precision(8, 8), keep=(), protect=(), bos_aware=question.bos_aware, split_shortcuts=True
        )

    def measure(self, layer: LayerSpec) -> LayerScores:
        """The scores of a layer: SQNR of the output and of x0, SSIM of the pictures if they are decoded.

        Raises:
            ModelError: a score is not finite.
        """
        decode = self._question.decode_all or layer.group is Group.CONTENT
        put_layer(self._run.unet, layer, _SideBySide(self._variants(layer)))
        try:
            parts = [
                self._scores(layer.name, batch, recording, decode)
                for batch, recording in zip(self._run.batches, self._recordings, strict=True)
            ]
        finally:
            put_layer(self._run.unet, layer, self._modules[layer.name])
        means = {metric: torch.cat([part[metric] for part in parts], 1).mean(1) for metric in parts[0]}
        for metric, values in means.items():
            if not bool(torch.isfinite(values).all()):
                raise ModelError(
                    f"the {metric} of {layer.name}, quantized alone, is not finite; compute in float32"
                )
        return _by_operand(self._question.widths, {metric: row.tolist() for metric, row in means.items()})

    def _variants(self, layer: LayerSpec) -> list[SimulatedLayer]:
        made = []
        for operand, widths in self._question.widths.items():
            for bits in widths:
                weight = operand is Operand.WEIGHT
                ranges = self._ranges.input_ranges(layer, self._plan)
                made.append(
                    SimulatedLayer(
                        self._modules[layer.name],
                        split=layer.split,
                        bos_aware=self._plan.takes_bos_out(layer),
                        weight_bits=bits if weight else None,
                        quantizers=None
                        if weight
                        else activation_quantizers(ranges, bits, self._question.dialect),
                        dialect=self._question.dialect,
                    )
                )
        return made

    @torch.inference_mode()
    def _scores(
        self, layer: LayerName, batch: Batch, recording: Mapping[str, Any], decode: bool
    ) -> Mapping[Metric, Tensor]:
        """`[trials, B]` by metric."""
        with self._replay.before(layer, recording, self._question.trials):
            prediction = self._run.predict(batch, self._question.trials)
        latents = self._run.latents(batch, prediction)
        found: dict[Metric, list[Tensor]] = {metric: [] for metric in _metrics(decode)}
        # Trial by trial: FP64 copies of all pictures would take more memory than making them.
        for ours, x0 in zip(*(torch.split(each, len(batch)) for each in (prediction, latents)), strict=True):
            found[Metric.SQNR].append(sqnr_db(ours, batch.prediction))
            found[Metric.X0_SQNR].append(sqnr_db(x0, batch.latents))
            if decode:
                images = self._run.images(x0)
                found[Metric.SSIM].append(whole_ssim(images, batch.images))
                found[Metric.WINDOWED_SSIM].append(windowed_ssim(images, batch.images))
        return {metric: torch.stack(values).cpu() for metric, values in found.items()}


def _metrics(decode: bool) -> tuple[Metric, ...]:
    return tuple(Metric) if decode else (Metric.SQNR, Metric.X0_SQNR)


class _SideBySide(nn.Module):
    """Variants of one layer, each for its share of the batch."""

    def __init__(self, variants: Sequence[SimulatedLayer]) -> None:
        super().__init__()
        self._variants = nn.ModuleList(variants)
        self._first = [variants[0]]  # in a list, which is no submodule

    def forward(self, activation: Tensor) -> Tensor:
        parts = activation.chunk(len(self._variants))
        return torch.cat([variant(part) for variant, part in zip(self._variants, parts, strict=True)])

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_first"][0], name)


def _by_operand(
    widths: Mapping[Operand, tuple[int, ...]], rows: Mapping[Metric, Sequence[float]]
) -> LayerScores:
    """The trials' scores, which are in the order of operands and widths."""
    scores, start = {}, 0
    for operand, bits in widths.items():
        end = start + len(bits)
        scores[operand] = {metric: tuple(row[start:end]) for metric, row in rows.items()}
        start = end
    return scores
