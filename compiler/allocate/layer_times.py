"""Times of the UNet's layers at several precisions, from a latency table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mixdq.configs.errors import PlanError
from mixdq.configs.latency_table import LatencyRow, LatencyTable
from mixdq.configs.layers import LayerName, LayerTable
from mixdq.configs.precision import Precision
from mixdq.configs.sensitivity import first_ten

_NS = 1000
"""Nanoseconds of a microsecond."""


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """How long each layer takes, by precision.

    Attributes:
        nanoseconds: by layer and precision; every layer has at least one.
        rest: nanoseconds of what runs beside the layers, whatever they are quantized to.
    """

    nanoseconds: Mapping[LayerName, Mapping[Precision, int]]
    rest: int

    @classmethod
    def of(cls, latency: LatencyTable, table: LayerTable, *, target: str, resolution: int) -> LayerTimes:
        """Medians of one picture's layers; the longest, where several bundles measured the same one.

        Raises:
            PlanError: a layer was never measured so; says what the table has.
        """
        rows = [
            row
            for row in latency.rows
            if (row.kind in ("layer", "rest")) and row.batch == 1
            if (row.target, row.resolution, row.model) == (target, resolution, table.model.name)
        ]
        times: dict[LayerName, dict[Precision, int]] = defaultdict(dict)
        for row in (row for row in rows if row.kind == "layer"):
            name, precision = LayerName(row.name), Precision.parse(row.precision)
            times[name][precision] = max(times[name].get(precision, 0), round(row.median_us * _NS))
        if missing := [layer.name for layer in table if layer.name not in times]:
            raise PlanError(
                f"the latency table has no time of {first_ten(missing)} ({table.model.name}, {target}, "
                f"{resolution} pixels, batch 1); {_there(latency.rows)}. Measure bundles of the precisions "
                "to choose from with `mixdq-eval latency --layers`, into one file"
            )
        return cls(times, _rest(rows))

    def measured(self, layer: LayerName, wanted: Sequence[Precision]) -> list[Precision]:
        """Which of a layer's precisions were measured.

        Raises:
            PlanError: none of them.
        """
        found = [precision for precision in wanted if precision in self.nanoseconds[layer]]
        if not found:
            known = ", ".join(str(precision) for precision in self.nanoseconds[layer])
            raise PlanError(
                f"{layer} may run as {', '.join(map(str, wanted))}, and the latency table has it as {known}; "
                "measure a bundle of one of the former with `mixdq-eval latency --layers`, into the same file"
            )
        return found

    def counts(self) -> Mapping[Precision, int]:
        """Of how many layers each precision was measured."""
        return Counter(precision for times in self.nanoseconds.values() for precision in times)


def _rest(rows: Iterable[LatencyRow]) -> int:
    """The longest of the measured runs' rests."""
    sums: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.kind == "rest":
            sums[row.run_digest] += round(row.median_us * _NS)
    return max(sums.values(), default=0)


def _there(rows: Sequence[LatencyRow]) -> str:
    found = {
        f"{row.model} {row.target} {row.resolution} batch {row.batch}" for row in rows if row.kind == "layer"
    }
    return f"it has layers of {', '.join(sorted(found))}" if found else "it has no layers, only whole stages"
