"""What the layers with many bits are worth: the score that fewer would cost, and the bits that they free."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table

from mixdq.compiler.allocate.subject import Part
from mixdq.compiler.explain.case import Case
from mixdq.compiler.explain.scores import shown_change, shown_label, shown_score
from mixdq.compiler.explain.tables import new_table
from mixdq.configs.layers import Group, LayerName, Role
from mixdq.configs.precision import FLOAT_BITS
from mixdq.configs.sensitivity import Metric, Operand


@dataclass(frozen=True, slots=True)
class Marginal:
    """One layer that has more bits than its group's mean.

    Attributes:
        name: of the layer.
        role: what it does.
        bits: what the plan gives it.
        lower_bits: the next smaller width that there are scores at.
        score: at its bits.
        cost: how much of the score the smaller width takes away; negative if it does better there.
        freed_bits: what it frees: of a weight that many bits of storage, of an activation of one image's.
        cost_per_mbit: the cost per million bits freed, the price of the programme's last bits.
    """

    name: LayerName
    role: Role
    bits: int
    lower_bits: int
    score: float
    cost: float
    freed_bits: int
    cost_per_mbit: float


@dataclass(frozen=True, slots=True)
class Marginals:
    """The layers of one operand of one group that have more bits than the mean, the costliest first.

    Attributes:
        operand: weight or activation.
        group: content or quality.
        metric: what the costs are.
        mean_bits: of the group's quantized layers, weighted by size; None if none is quantized.
        layers: with their costs.
        without_score: layers above the mean whose bits, or fewer, there are no scores at.
    """

    operand: Operand
    group: Group
    metric: Metric
    mean_bits: float | None
    layers: tuple[Marginal, ...]
    without_score: tuple[LayerName, ...]

    @classmethod
    def of(cls, case: Case, part: Part) -> Marginals:
        """Of a part that has scores."""
        mean, widths = case.mean_bits(part), case.widths(part.operand)
        found, unscored = [], []
        for layer in case.layers(part):
            bits = case.bits(part.operand, layer.name)
            if mean is None or not mean < bits < FLOAT_BITS:
                continue
            lower = [width for width in widths if width < bits]
            if bits not in widths or not lower:
                unscored.append(layer.name)
                continue
            score = case.score(part, layer.name, bits)
            cost = score - case.score(part, layer.name, lower[-1])
            freed = (bits - lower[-1]) * case.size(part.operand, layer)
            found.append(
                Marginal(layer.name, layer.role, bits, lower[-1], score, cost, freed, cost / freed * 1e6)
            )
        found.sort(key=lambda layer: -layer.cost)
        return cls(part.operand, part.group, case.metrics[part.group], mean, tuple(found), tuple(unscored))

    def in_words(self, count: int) -> Iterator[RenderableType]:
        """The costliest layers as a table, the cheapest in a line."""
        what = f"{self.group} {self.operand}s"
        if self.mean_bits is None:
            yield f"{what}: none is quantized"
            return
        if self.layers:
            yield (
                f"{what}: layers with more than the mean of {self.mean_bits:.4f} bits: {len(self.layers)}; "
                "what the next fewer bits would cost, and free:"
            )
            yield self._table(what, self.layers[:count])
            least = min(self.layers, key=lambda layer: layer.cost_per_mbit)
            yield (
                f"{what}: the cheapest bits are those of {least.name}: {least.lower_bits} instead of "
                f"{least.bits} bits cost {least.cost:.3g} and free {least.freed_bits / 1e6:.3g} Mbit"
            )
        if self.without_score:
            yield (
                f"{what}: layers with more than the mean of {self.mean_bits:.4f} bits, and no scores at "
                f"these and fewer: {len(self.without_score)}; what these are worth is not known"
            )
        if not self.layers and not self.without_score:
            yield f"{what}: no layer has more than the mean of {self.mean_bits:.4f} bits"

    def _table(self, what: str, layers: Sequence[Marginal]) -> Table:
        title = f"{what}: what the {len(layers)} costliest would lose; score: {shown_label(self.metric)}"
        figures = ["bits", "score", "cost", "Mbit\nfreed", "cost\nper Mbit"]
        view = new_table(title, ["layer"], figures)
        for layer in layers:
            view.add_row(
                layer.name,
                f"{layer.bits} to {layer.lower_bits}",
                shown_score(layer.score, self.metric),
                shown_change(layer.cost, self.metric),
                f"{layer.freed_bits / 1e6:.3f}",
                f"{layer.cost_per_mbit:.3g}",
            )
        return view


def marginals_of(case: Case) -> tuple[Marginals, ...]:
    """Of every operand and group that has scores."""
    return tuple(Marginals.of(case, part) for part in case.scored_parts())
