"""Plans that differ in one thing each: what a layer is stored as, its scales, what its integers are about."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from mixdq.configs.form import ActivationFormat, Form, Granularity, WeightFormat
from mixdq.configs.layers import Kind, LayerName, LayerSpec, LayerTable
from mixdq.configs.plan import PrecisionPlan, Realization, uniform_plan
from mixdq.configs.precision import FP8, Precision
from mixdq.configs.quantizing import Activations, Clipping
from mixdq.configs.realized import RealizedLayer
from mixdq.configs.target import Target

_CHANNEL_AND_BLOCKS = (
    Granularity.CHANNEL,
    Granularity.BLOCK_128,
    Granularity.BLOCK_64,
    Granularity.BLOCK_32,
)


@dataclass(frozen=True, slots=True)
class FormCase:
    """A plan, and what it is for people.

    Attributes:
        precision: `W4A16`.
        what: `blocks of 128, mse`.
        plan: the same form for all layers that can have it.
        weight_bytes: of all layers' weights and scales.
    """

    precision: str
    what: str
    plan: PrecisionPlan
    weight_bytes: int


def form_cases(table: LayerTable, protect: Collection[LayerName], target: Target) -> tuple[FormCase, ...]:
    """Every form of weight and activation that TensorRT has, and each way to find its scales.

    Token 0 leaves the quantized path and shortcuts are split in all of them. Four-bit weights beside
    floating-point activations are packed; beside INT8, which no convolution can have, they are held in INT8.

    Args:
        table: the model's layers.
        protect: layers whose activations stay in floating point in all of them.
        target: whose forms they are, of TensorRT's kind.
    """
    return tuple(
        FormCase(precision, what, plan, _weight_bytes(plan, table, target))
        for precision, what, plan in _plans(table, protect, target)
    )


def _plans(
    table: LayerTable, protect: Collection[LayerName], target: Target
) -> Iterator[tuple[str, str, PrecisionPlan]]:
    def plan(precision: Precision) -> PrecisionPlan:
        return uniform_plan(table, precision, keep=(), protect=protect, bos_aware=True, split_shortcuts=True)

    eight = plan(Precision(8, 8))
    yield from _clipped("W8A8", "symmetric", eight)
    yield "W8A8", "centered", replace(eight, activations=Activations.CENTERED)
    yield "W8A8", "centered-padded", replace(eight, activations=Activations.CENTERED_PADDED)
    yield "FP8", "a scale a tensor", plan(FP8)
    yield from _clipped("W8A16", "a scale a channel", plan(Precision(8, 16)))
    four = plan(Precision(4, 16))
    yield from _clipped("W4A16", "a scale a channel", _packed(four, table, Granularity.CHANNEL, target))
    linear = _linear_alone(four, table)
    for granularity in _CHANNEL_AND_BLOCKS:
        shared = f"blocks of {granularity.block}" if granularity.block else "a scale a channel"
        packed = _packed(linear, table, granularity, target)
        yield from _clipped("W4A16, convolutions W8A16", shared, packed)
    mixed = plan(Precision(4, 8))
    yield from _clipped("W4A8", "symmetric", mixed)
    clipped = replace(mixed, weight_clipping=Clipping.MSE)
    yield "W4A8", "centered, mse", replace(clipped, activations=Activations.CENTERED)


def _clipped(precision: str, what: str, plan: PrecisionPlan) -> Iterator[tuple[str, str, PrecisionPlan]]:
    for clipping in Clipping:
        yield precision, f"{what}, {clipping}", replace(plan, weight_clipping=clipping)


def _linear_alone(plan: PrecisionPlan, table: LayerTable) -> PrecisionPlan:
    """The plan with eight bits for the weights of convolutions, which have no blocks."""
    eight = {layer.name: Precision(8, 16) for layer in table if layer.kind is not Kind.LINEAR}
    return replace(plan, layers={**plan.layers, **eight})


def _packed(
    plan: PrecisionPlan, table: LayerTable, granularity: Granularity, target: Target
) -> PrecisionPlan:
    """The plan with INT4 weights where it has four bits; a scale a channel where blocks don't divide them."""

    def form(layer: LayerSpec) -> Form:
        if plan[layer.name].weight_bits == WeightFormat.INT8.bits:
            return Form(WeightFormat.INT8, Granularity.CHANNEL, ActivationFormat.FLOAT)
        wanted = Form(WeightFormat.INT4, granularity, ActivationFormat.FLOAT)
        if wanted.fits(layer):
            return wanted
        return Form(WeightFormat.INT4, Granularity.CHANNEL, ActivationFormat.FLOAT)

    forms = {layer.name: form(layer) for layer in table}
    return replace(plan, realization=Realization(str(target), forms))


def _weight_bytes(plan: PrecisionPlan, table: LayerTable, target: Target) -> int:
    return sum(
        RealizedLayer.of(plan, layer, target.dialect).form.bytes(
            layer, float_bytes=2, parts=2 if plan.splits(layer) else 1
        )
        for layer in table
    )
