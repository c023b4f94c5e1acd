"""The projections of the text embedding, each quantized alone: what leaving token 0 out does for them."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT
from mixdq.configs.layers import LayerSpec, LayerTable
from mixdq.configs.plan import uniform_plan
from mixdq.configs.precision import Precision
from mixdq.configs.quantizer import activation_quantizers
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect
from mixdq.export.fidelity import sqnr_db
from mixdq.export.layers import quantizable
from mixdq.export.one_step import OneStep
from mixdq.export.repeatable import repeatable
from mixdq.export.simulate import SimulatedLayer, put_layer

_BITS = 8
_DIALECT = Dialect.ORT


@dataclass(frozen=True, slots=True, config=STRICT)
class TextLayerRow:
    """One projection of the text embedding, alone at 8 bits: SQNR in dB of the UNet's output.

    Attributes:
        layer: its name.
        activation_db: its activation quantized, token 0 with the others.
        activation_bos_db: its activation quantized, token 0 left out.
        weight_db: its weight quantized.
        weight_bos_db: its weight quantized, token 0 through the original one.
    """

    layer: str
    activation_db: float
    activation_bos_db: float
    weight_db: float
    weight_bos_db: float


def measure_text_layer(run: OneStep, table: LayerTable, ranges: RangeTable, layer: LayerSpec) -> TextLayerRow:
    """Quantizes a layer's activation, then its weight, without and with BOS-awareness.

    On the first batch of the prompts; the UNet is as it was when this is done.

    Raises:
        ModelError: the model's BOS row is not constant.
    """
    ranges.constant_bos()
    figures = [
        _sqnr_db(run, table, ranges, layer, weight=weight, bos_aware=bos_aware)
        for weight in (False, True)
        for bos_aware in (False, True)
    ]
    return TextLayerRow(layer.name, *figures)


def _sqnr_db(
    run: OneStep, table: LayerTable, ranges: RangeTable, layer: LayerSpec, *, weight: bool, bos_aware: bool
) -> float:
    # Whether token 0 counts in a layer's range is the plan's to say.
    plan = uniform_plan(
        table, Precision(_BITS, _BITS), keep=(), protect=(), bos_aware=bos_aware, split_shortcuts=True
    )
    original, batch = dict(quantizable(run.unet))[layer.name], run.batches[0]
    changed = SimulatedLayer(
        original,
        split=None,
        bos_aware=bos_aware,
        weight_bits=_BITS if weight else None,
        quantizers=None
        if weight
        else activation_quantizers(ranges.input_ranges(layer, plan), _BITS, _DIALECT),
        dialect=_DIALECT,
    )
    put_layer(run.unet, layer, changed)
    try:
        with repeatable():
            prediction = run.predict(batch)
    finally:
        put_layer(run.unet, layer, original)
    return float(sqnr_db(prediction, batch.prediction).mean())
