"""What a plan comes to: effective bits, bytes, compression and bit operations, in all, by group, by role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import RenderableType

from mixdq.compiler.explain.case import Case
from mixdq.compiler.explain.tables import new_table
from mixdq.configs.layers import LayerSpec
from mixdq.configs.precision import FLOAT_BITS
from mixdq.configs.sensitivity import Operand

_UNQUANTIZED_BOPS = FLOAT_BITS * FLOAT_BITS


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over some of a model's quantizable layers; biases, scales and all other work are not in them.

    Attributes:
        layers: how many.
        weights: their number.
        weight_share: of the weights of all quantizable layers.
        weight_bits: mean, weighted by the number of weights; FP16 counts 16.
        activation_bits: mean over the layers whose activation is quantized, weighted by the values that they
            read; None if there are none.
        activation_bits_with_fp16: mean over all of them.
        packed_bytes: the weights, packed to their widths.
        fp16_bytes: the weights in FP16.
        compression: 16 over `weight_bits`.
        macs: multiply-accumulates of one image.
        bops: bit operations by the paper's formula, MACs times weight bits times activation bits.
        bops_saved: how many times more they would be at 16 by 16 bits.
        computed_bops: the same where a layer without a quantized activation computes in FP16, 16 by 16.
        computed_saved: how many times more they would be at 16 by 16 bits.
    """

    layers: int
    weights: int
    weight_share: float
    weight_bits: float
    activation_bits: float | None
    activation_bits_with_fp16: float
    packed_bytes: int
    fp16_bytes: int
    compression: float
    macs: int
    bops: int
    bops_saved: float
    computed_bops: int
    computed_saved: float

    @classmethod
    def of(cls, case: Case, layers: Sequence[LayerSpec]) -> Totals:
        """Of at least one layer."""
        plan, weights = case.plan, sum(layer.weights for layer in layers)
        stored = sum(layer.weights * plan[layer.name].weight_bits for layer in layers)
        macs = sum(layer.macs[case.resolution] for layer in layers)
        bops = sum(_bops(case, layer, computed=False) for layer in layers)
        computed = sum(_bops(case, layer, computed=True) for layer in layers)
        quantized = [layer for layer in layers if plan[layer.name].quantizes_activation]
        return cls(
            layers=len(layers),
            weights=weights,
            weight_share=weights / sum(layer.weights for layer in case.table),
            weight_bits=stored / weights,
            activation_bits=_mean_activation_bits(case, quantized) if quantized else None,
            activation_bits_with_fp16=_mean_activation_bits(case, layers),
            packed_bytes=-(-stored // 8),
            fp16_bytes=weights * FLOAT_BITS // 8,
            compression=FLOAT_BITS * weights / stored,
            macs=macs,
            bops=bops,
            bops_saved=macs * _UNQUANTIZED_BOPS / bops,
            computed_bops=computed,
            computed_saved=macs * _UNQUANTIZED_BOPS / computed,
        )


def totals_of(case: Case) -> Mapping[str, Totals]:
    """Of all layers (`all`), of each group and of each role that the model has."""
    parts: dict[str, list[LayerSpec]] = {"all": list(case.table)}
    for layer in case.table:
        parts.setdefault(layer.group, [])
    for layer in case.table:
        parts[layer.group].append(layer)
        parts.setdefault(layer.role, []).append(layer)
    return {name: Totals.of(case, layers) for name, layers in parts.items()}


def totals_in_words(totals: Mapping[str, Totals], resolution: int) -> Iterator[RenderableType]:
    """A line a part, and what the columns count."""
    view = new_table(
        f"effective bits, bytes, and bit operations (BOPs) of one image at {resolution} pixels",
        [""],
        [
            "layers",
            "share of\nweights",
            "weight\nbits",
            "activation\nbits",
            "with\nFP16",
            "packed\nMiB",
            "smaller\nthan FP16",
            "GMAC",
            "BOPs\nsaved",
            "as\ncomputed",
        ],
    )
    for name, part in totals.items():
        view.add_row(
            name,
            str(part.layers),
            f"{part.weight_share:.2%}",
            f"{part.weight_bits:.4f}",
            "-" if part.activation_bits is None else f"{part.activation_bits:.4f}",
            f"{part.activation_bits_with_fp16:.4f}",
            f"{part.packed_bytes / 2**20:.2f}",
            f"{part.compression:.2f} x",
            f"{part.macs / 1e9:.3f}",
            f"{part.bops_saved:.2f} x",
            f"{part.computed_saved:.2f} x",
        )
    yield view
    yield (
        "weight bits are weighted by the number of weights, activation bits by the values that a layer "
        "reads, first without and then with the layers whose activation stays FP16"
    )
    yield (
        "bytes are packed to the widths; an engine may store and compute wider. BOPs are the paper's: MACs x "
        "weight bits x activation bits, against 16 x 16. As computed: a layer with an FP16 activation works "
        "in FP16, so that few bits of weights alone save none"
    )


def _bops(case: Case, layer: LayerSpec, *, computed: bool) -> int:
    precision = case.plan[layer.name]
    if computed and not precision.quantizes_activation:
        return layer.macs[case.resolution] * _UNQUANTIZED_BOPS
    return layer.macs[case.resolution] * precision.weight_bits * precision.activation_bits


def _mean_activation_bits(case: Case, layers: Sequence[LayerSpec]) -> float:
    sizes = {layer.name: case.size(Operand.ACTIVATION, layer) for layer in layers}
    bits = sum(case.plan[name].activation_bits * size for name, size in sizes.items())
    return bits / sum(sizes.values())
