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
from mixdq.configs.sensitivity import Operand


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
            PlanError: a file is no map, or names layers that the model does not have.
            StorageError: a folder holds none.
        """
        maps = {}
        for path in (found for file in files for found in _files(file)):
            maps[path] = BitMap.read(path)
            maps[path].check(table, str(path))
        return cls(table, maps, resolution)

    def in_words(self) -> Iterator[RenderableType]:
        """A line a map, then what the maps say wrongly about themselves."""
        view = Table("map", "operand", "layers", "FP16", "bits", "mean")
        for path, bitmap in self.maps.items():
            operand = self._operand(path)
            counts = Counter(bitmap.bits.values())
            view.add_row(
                str(path),
                operand,
                str(len(bitmap.bits)),
                str(len(self.table) - len(bitmap.bits) + counts[16]),
                ", ".join(f"{count} at {bits}" for bits, count in sorted(counts.items())),
                f"{mean_bits(bitmap, operand, self.table, self.resolution):.4f}",
            )
        yield view
        findings = [*self._false_claims(), *self._copies()]
        yield from findings or ["no map claims other bits than it holds, and no two are the same"]

    def plan(self, *, bos_aware: bool, split_shortcuts: bool) -> PrecisionPlan:
        """The plan of a map of weights and a map of activations.

        Raises:
            PlanError: there are not one of each.
        """
        weights, activations = (
            [bitmap for path, bitmap in self.maps.items() if self._operand(path) is operand]
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

    def _operand(self, path: Path) -> Operand:
        return operand_of(path, self.maps[path], self.table)

    def _false_claims(self) -> Iterator[str]:
        for path, bitmap in self.maps.items():
            claim = claim_of(path, bitmap, self._operand(path), self.table, self.resolution)
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
