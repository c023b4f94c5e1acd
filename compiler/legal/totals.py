"""What a plan comes to: bits, bytes and bit operations, as it was asked and as a target runs it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mixdq.compiler.legal.legalize import parts_of
from mixdq.configs.layer_sizes import input_elements
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan, Realization
from mixdq.configs.precision import Precision


@dataclass(frozen=True, slots=True)
class Totals:
    """Of all quantizable layers together.

    Attributes:
        weight_bits: mean, weighted by the number of weights; floating point counts 16.
        activation_bits: mean, weighted by the values that a layer reads.
        bytes: of the weights; see `asked_totals` and `real_totals`.
        bops: bit operations of one run of the UNet on one image: multiply-accumulates times the bits of both
            operands.
    """

    weight_bits: float
    activation_bits: float
    bytes: int
    bops: int


def asked_totals(plan: PrecisionPlan, table: LayerTable, resolution: int, float_bytes: int) -> Totals:
    """As the paper counts: weights packed to their bits, without scales; products of unlike widths.

    Args:
        plan: of this model.
        table: its layers.
        resolution: pixels; of those that the table gives work at.
        float_bytes: of the target's floating-point type.

    Raises:
        ModelError: the table has no work for the resolution.
    """
    sizes = [
        -(-layer.weights * plan[layer.name].weight_bits // 8)
        if plan[layer.name].quantizes_weight
        else layer.weights * float_bytes
        for layer in table
    ]
    bops = [
        layer.macs.get(resolution, 0) * plan[layer.name].weight_bits * plan[layer.name].activation_bits
        for layer in table
    ]
    return _totals((plan[layer.name] for layer in table), table, resolution, sum(sizes), sum(bops))


def real_totals(plan: PrecisionPlan, table: LayerTable, resolution: int, float_bytes: int) -> Totals:
    """Of what runs: stored bytes with the scales, and products of operands of one width.

    The plan has been made legal. Of a weight-only form the product is in floating point, 16 bits by 16.

    Raises:
        ModelError: the table has no work for the resolution.
    """
    assert plan.realization is not None
    forms = plan.realization.forms
    bops = [layer.macs.get(resolution, 0) * forms[layer.name].multiplied_bits ** 2 for layer in table]
    size = stored_bytes(plan, plan.realization, table, float_bytes)
    return _totals((forms[layer.name].precision for layer in table), table, resolution, size, sum(bops))


def stored_bytes(plan: PrecisionPlan, realization: Realization, table: LayerTable, float_bytes: int) -> int:
    """Bytes of all layers' weights and their scales; without biases and what is no quantizable layer."""
    return sum(
        realization.forms[layer.name].bytes(layer, float_bytes=float_bytes, parts=parts_of(plan, layer))
        for layer in table
    )


def _totals(
    precisions: Iterable[Precision], table: LayerTable, resolution: int, size: int, bops: int
) -> Totals:
    rows = [
        (precision, layer.weights, input_elements(layer, resolution))
        for precision, layer in zip(precisions, table, strict=True)
    ]
    return Totals(
        sum(p.weight_bits * weights for p, weights, _ in rows) / sum(weights for _, weights, _ in rows),
        sum(p.activation_bits * reads for p, _, reads in rows) / sum(reads for _, _, reads in rows),
        size,
        bops,
    )
