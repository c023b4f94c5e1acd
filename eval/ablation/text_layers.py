"""The projections of the text embedding, each quantized alone: what leaving token 0 out does for them."""

from __future__ import annotations

from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.ranges import RangeTable
from mixdq.configs.sensitivity import Metric, Operand
from mixdq.configs.target import Dialect
from mixdq.eval.ablation.role_rows import TextLayerRow
from mixdq.eval.quality.found import Report
from mixdq.export.one_step import OneStep
from mixdq.export.repeatable import repeatable
from mixdq.export.sensitivity.meter import Meter, Question

_BITS = 8


def measure_text_layers(
    run: OneStep, table: LayerTable, ranges: RangeTable, report: Report
) -> tuple[TextLayerRow, ...]:
    """Quantizes each such layer's activation, then its weight, without and with BOS-awareness.

    Args:
        run: the model and prompts; the UNet is as it was when this is done.
        table: its layers.
        ranges: its calibrated ranges.
        report: told how many measurements are done.

    Raises:
        ModelError: the model's BOS row is not constant, or results are not finite.
    """
    layers = [layer for layer in table if layer.reads_text]
    found: dict[LayerName, list[float]] = {layer.name: [] for layer in layers}
    done = 0
    for bos_aware in (False, True):
        question = Question(
            dict.fromkeys(Operand, (_BITS,)), bos_aware, decode_all=False, dialect=Dialect.ORT
        )
        with repeatable():
            meter = Meter(run, table, ranges, question)
            for layer in layers:
                scores = meter.measure(layer)
                found[layer.name] += [scores[operand][Metric.SQNR][0] for operand in Operand]
                done += 1
                report(done, 2 * len(layers))
    return tuple(TextLayerRow(name, *figures) for name, figures in found.items())
