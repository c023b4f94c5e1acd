"""MixDQ's bit maps at a glance: what they hold, what their names claim, and which are copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from mixdq.configs.errors import PlanError, StorageError
from mixdq.configs.layers import LayerTable
from mixdq.configs.mixdq_format.bitmap import BitMap, plan_of_bitmaps
from mixdq.configs.mixdq_format.findings import claim_of, mean_bits, operand_of, same_content
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.sensitivity import Operand, first_ten


@dataclass(frozen=True, slots=True)
class BitmapReport:
    """Bit maps of one model, by file.

    Attributes:
        table: the model's layers.
        maps: checked against them.
        resolution: pixels at which activations are counted.
    """

    table: LayerTable
    maps: Mapping[Path, BitMap]
    resolution: int

    @classmethod
    def read(cls, files: Sequence[Path], table: LayerTable, resolution: int) -> BitmapReport:
        """Reads maps, and all YAML files of folders.

        Raises:
            PlanError: a file is no map, names layers that the model does not have, or does not say of which
                operand it is.
            StorageError: a folder holds none.
        """
        maps = {}
        for path in (found for file in files for found in _files(file)):
            maps[path] = BitMap.read(path)
            maps[path].check(table, str(path))
            operand_of(path)
        return cls(table, maps, resolution)

    def in_words(self) -> Iterator[RenderableType]:
        """A line a map, then what the maps say wrongly about themselves."""
        view = Table("map", "operand", "layers", "FP16", "bits", "mean")
        for path, bitmap in self.maps.items():
            operand = operand_of(path)
            counts = Counter(bitmap.bits.values())
            unnamed = len(self.table) - len(bitmap.bits) if operand is Operand.ACTIVATION else 0
            view.add_row(
                str(path),
                operand,
                str(len(bitmap.bits)),
                str(counts[16] + unnamed),
                ", ".join(f"{count} at {bits}" for bits, count in sorted(counts.items())),
                f"{mean_bits(bitmap, operand, self.table, self.resolution):.4f}",
            )
        yield view
        yield from self._left_in_float()
        findings = [*self._without_bits(), *self._false_claims(), *self._copies()]
        yield from findings or [
            "no map of weights lacks a layer, no map claims other bits than it holds, and no two are the same"
        ]

    def plan(self, *, bos_aware: bool, split_shortcuts: bool) -> PrecisionPlan:
        """The plan of a map of weights and a map of activations.

        Raises:
            PlanError: there are not one of each.
        """
        weights, activations = (
            [bitmap for path, bitmap in self.maps.items() if operand_of(path) is operand]
            for operand in Operand
        )
        if len(weights) != 1 or len(activations) != 1:
            raise PlanError(
                f"a plan is made of one map of weights and one of activations; there are {len(weights)} and "
                f"{len(activations)}"
            )
        return plan_of_bitmaps(
            weights[0],
            activations[0],
            self.table,
            model_digest=None,
            bos_aware=bos_aware,
            split_shortcuts=split_shortcuts,
        )

    def _left_in_float(self) -> Iterator[str]:
        """What MixDQ leaves out of a map of activations: its protected layers."""
        for path, missing in self._missing(Operand.ACTIVATION):
            yield f"{path}: {missing}; their activations stay FP16"

    def _without_bits(self) -> Iterator[str]:
        """What a map of weights must not leave out."""
        for path, missing in self._missing(Operand.WEIGHT):
            yield f"{path}: {missing}; give every layer its bits (16 for FP16)"

    def _missing(self, operand: Operand) -> Iterator[tuple[Path, str]]:
        for path, bitmap in self.maps.items():
            missing = set(self.table.by_name) - set(bitmap.bits)
            if missing and operand_of(path) is operand:
                yield path, f"{len(missing)} of {len(self.table)} layers are missing: {first_ten(missing)}"

    def _false_claims(self) -> Iterator[str]:
        for path, bitmap in self.maps.items():
            claim = claim_of(path, bitmap, operand_of(path), self.table, self.resolution)
            if claim is not None and not claim.is_true:
                yield (
                    f"{path} claims {claim.stated:.{claim.decimals}f} bits by its name and holds "
                    f"{claim.held:.4f}"
                )

    def _copies(self) -> Iterator[str]:
        for paths in same_content(self.maps):
            yield f"the same bits for every layer: {', '.join(map(str, paths))}"


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob("*.yaml"))
    if not found:
        raise StorageError(f"{path} holds no YAML file; give MixDQ's bit maps")
    return found
