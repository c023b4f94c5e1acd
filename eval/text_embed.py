"""The text embedding quantized in one way or another, and nothing else (paper, figure 9)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mixdq.compiler.worker import Report
from mixdq.configs.errors import BundleError
from mixdq.configs.layers import LayerSpec, LayerTable
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.configs.quantizer import ActivationQuantizer, activation_quantizer, fp8_quantizer
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect
from mixdq.eval.compare.subject import Subject
from mixdq.eval.text_embed_report import TextEmbed, TextEmbedReport, TextEmbedRow
from mixdq.export.fidelity import psnr_db, sqnr_db, whole_ssim
from mixdq.export.layers import quantizable
from mixdq.export.one_step import OneStep
from mixdq.export.one_step_size import prompts_at_once
from mixdq.export.repeatable import repeatable
from mixdq.export.simulate import SimulatedLayer, put_layer

_PACKAGES = ("mixdq", "diffusers", "numpy", "torch")
_BITS = 8


def measure_text_embed(
    subject: Subject, ways: Sequence[TextEmbed], prompts: Sequence[str], seed: int, report: Report
) -> TextEmbedReport:
    """Draws all prompts with each way; weights and every other layer stay in floating point.

    Args:
        subject: a bundle's model, layers and ranges.
        ways: to quantize the text embedding.
        prompts: one picture each.
        seed: prompt i starts from the noise of seed + i.
        report: told which way.

    Raises:
        BundleError: a bundle without ranges.
        ModelError: the model's BOS row is not constant.
    """
    if (ranges := subject.ranges) is None:
        raise BundleError(f"{subject.root} has no ranges, by which the text embedding is quantized")
    report("full precision", 0, None)
    size = subject.resolution
    batch = prompts_at_once(size, "cpu", 1)
    with repeatable():
        run = OneStep(subject.source, prompts, seed=seed, resolution=size, batch=batch)
    rows = []
    for way in dict.fromkeys(ways):
        report(way, 0, None)
        with repeatable(), _quantized(run.unet, subject.table, ranges, way):
            predictions = [run.predict(one) for one in run.batches]
        rows.append(_row(run, predictions, way))
    return TextEmbedReport(
        model_digest=subject.table.model.digest,
        ranges_digest=ranges.digest,
        resolution=size,
        prompts=tuple(prompts),
        seed=seed,
        layers=sum(layer.reads_text for layer in subject.table),
        machine=describe_machine(),
        versions=installed_versions(*_PACKAGES),
        rows=tuple(rows),
    )


@contextmanager
def _quantized(unet: nn.Module, table: LayerTable, ranges: RangeTable, way: TextEmbed) -> Iterator[None]:
    """The layers that read the text quantize it while the block runs."""
    modules, readers = dict(quantizable(unet)), [layer for layer in table if layer.reads_text]
    if way is TextEmbed.BOS:
        ranges.constant_bos()
    try:
        for layer in readers:
            simulated = SimulatedLayer(
                modules[layer.name],
                split=None,
                bos_aware=way is TextEmbed.BOS,
                weight_bits=None,
                quantizers=(_quantizer(layer, ranges, way),),
                dialect=Dialect.ORT,
            )
            put_layer(unet, layer, simulated)
        yield
    finally:
        for layer in readers:
            put_layer(unet, layer, modules[layer.name])


def _quantizer(layer: LayerSpec, ranges: RangeTable, way: TextEmbed) -> ActivationQuantizer:
    (values,) = ranges[layer.name]
    scale_type = Dialect.ORT.float_type
    if way is TextEmbed.BOS:
        return activation_quantizer(values, _BITS, symmetric=False, scale_type=scale_type)
    values |= ranges.bos_range
    if way is TextEmbed.FP8:
        return fp8_quantizer(values, scale_type=scale_type)
    return activation_quantizer(values, _BITS, symmetric=False, scale_type=scale_type)


def _row(run: OneStep, predictions: Sequence[Tensor], way: TextEmbed) -> TextEmbedRow:
    with repeatable():
        pairs = list(zip(run.batches, predictions, strict=True))
        images = [run.images(run.latents(batch, prediction)) for batch, prediction in pairs]
    found, expected = torch.cat(images), torch.cat([batch.images for batch in run.batches])
    sqnr = torch.cat([sqnr_db(prediction, batch.prediction) for batch, prediction in pairs])
    return TextEmbedRow(
        way,
        tuple(sqnr.tolist()),
        tuple(psnr_db(found, expected).tolist()),
        tuple(whole_ssim(found, expected).tolist()),
    )
