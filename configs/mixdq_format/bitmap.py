"""MixDQ's bit maps: flat YAML, one `model.<layer>: bits` a line, of weights or of activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mixdq.configs.documents import read_yaml
from mixdq.configs.errors import PlanError
from mixdq.configs.files import write_text
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.mixdq_format.names import prefixed_name, read_names
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FLOAT_BITS, FP16, Precision
from mixdq.configs.sensitivity import first_ten

_WIDTHS = {*range(2, 9), FLOAT_BITS}


@dataclass(frozen=True, slots=True)
class BitMap:
    """Bits by layer, in the file's order.

    Attributes:
        bits: 2 to 8, or 16 for a layer that is named and not quantized. MixDQ leaves those out of a map of
            activations.
        prefixed: whether the file writes `model.` before the names.
    """

    bits: Mapping[LayerName, int]
    prefixed: bool

    def to_yaml(self) -> str:
        """The file form: of a map that was read, byte for byte what MixDQ wrote."""
        return "".join(f"{prefixed_name(name, self.prefixed)}: {bits}\n" for name, bits in self.bits.items())

    def write(self, path: Path) -> None:
        """Writes the map."""
        write_text(path, self.to_yaml())

    @classmethod
    def read(cls, path: Path) -> BitMap:
        """Reads a map.

        Raises:
            PlanError: no such form, a layer twice, or bits that are no width.
            StorageError: the file can't be read.
        """
        names, prefixed = read_names(read_yaml(dict[str, object], path, PlanError), path)
        bits: dict[LayerName, int] = {}
        for name, value in names.items():
            # YAML's `yes` and `8.0` would pass for numbers.
            if type(value) is not int or value not in _WIDTHS:
                raise PlanError(
                    f"{path} gives {name} {value!r} bits; expected a whole number from 2 to 8, or 16 for FP16"
                )
            bits[name] = value
        return cls(bits, prefixed)

    def check(self, table: LayerTable, source: str) -> None:
        """Refuses a map that names layers which the model does not have.

        Raises:
            PlanError: layers are unknown; the first ten are named.
        """
        if unknown := set(self.bits) - set(table.by_name):
            raise PlanError(
                f"{source} names {first_ten(unknown)}, which {table.model.name} does not have; "
                "it belongs to another model"
            )


def plan_of_bitmaps(
    weights: BitMap,
    activations: BitMap,
    table: LayerTable,
    *,
    model_digest: str | None,
    bos_aware: bool,
    split_shortcuts: bool,
) -> PrecisionPlan:
    """The plan that a pair of maps says; a layer that the activations leave out keeps its input in FP16.

    Args:
        weights: of every layer.
        activations: of every layer but those that stay FP16.
        table: the model's layers.
        model_digest: of the weights that the maps were searched on; see `PrecisionPlan`.
        bos_aware: see `PrecisionPlan`; the maps don't say.
        split_shortcuts: see `PrecisionPlan`; the maps don't say.

    Raises:
        PlanError: layers are unknown, a layer has no weight bits, or its activation alone is quantized.
    """
    weights.check(table, "the map of weights")
    activations.check(table, "the map of activations")
    if missing := set(table.by_name) - set(weights.bits):
        raise PlanError(
            f"the map of weights has no bits for {first_ten(missing)} of {table.model.name}; give every "
            "layer its bits (16 for FP16)"
        )
    return PrecisionPlan(
        layers_digest=table.digest,
        model_digest=model_digest,
        bos_aware=bos_aware,
        split_shortcuts=split_shortcuts,
        layers={
            layer.name: _precision(
                layer.name, weights.bits[layer.name], activations.bits.get(layer.name, FLOAT_BITS)
            )
            for layer in table
        },
    )


def bitmaps_of_plan(plan: PrecisionPlan, *, prefixed: bool = True) -> tuple[BitMap, BitMap]:
    """The plan as maps of weights and of activations, names sorted as MixDQ sorts them.

    What the maps can't say is lost: BOS-awareness, the split, and what the plan was made for.

    Raises:
        PlanError: FP8, for which the maps have no word.
    """
    names = sorted(plan.layers)
    if floating := [name for name in names if plan[name].floating]:
        raise PlanError(
            f"MixDQ's bit maps hold integer widths alone, and the plan gives FP8 to {first_ten(floating)}; "
            "give these layers integer widths to write the maps"
        )
    weights = {name: plan[name].weight_bits for name in names}
    activations = {name: plan[name].activation_bits for name in names if plan[name].quantizes_activation}
    return BitMap(weights, prefixed), BitMap(activations, prefixed)


def _precision(name: LayerName, weight_bits: int, activation_bits: int) -> Precision:
    if weight_bits == FLOAT_BITS and activation_bits != FLOAT_BITS:
        raise PlanError(
            f"the maps keep {name}'s weight in FP16 and quantize its activation to {activation_bits} bits; "
            "leave it out of the map of activations, or quantize its weight"
        )
    return FP16 if weight_bits == FLOAT_BITS else Precision(weight_bits, activation_bits)
