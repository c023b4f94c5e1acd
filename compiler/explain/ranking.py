"""Layers by how sensitive they are, and what the plan gives each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import RenderableType

from mixdq.compiler.allocate.subject import Part
from mixdq.compiler.explain.case import Case
from mixdq.compiler.explain.scores import shown_label, shown_score
from mixdq.compiler.explain.tables import new_table
from mixdq.configs.layers import Group, LayerName, Role
from mixdq.configs.precision import FLOAT_BITS
from mixdq.configs.sensitivity import Metric, Operand


@dataclass(frozen=True, slots=True)
class RankedLayer:
    """One layer's scores among those of its group.

    Attributes:
        name: of the layer.
        role: what it does.
        scores: one a width; less is more sensitive.
        ranks: likewise; 1 is the most sensitive of the group at this width.
        bits: what the plan gives it; 16 for floating point.
    """

    name: LayerName
    role: Role
    scores: tuple[float, ...]
    ranks: tuple[int, ...]
    bits: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """The layers of one operand of one group, the most sensitive at the largest width first.

    Attributes:
        operand: weight or activation.
        group: content or quality.
        metric: what the scores are.
        widths: the bits that they are at, ascending.
        layers: each layer of the group once.
    """

    operand: Operand
    group: Group
    metric: Metric
    widths: tuple[int, ...]
    layers: tuple[RankedLayer, ...]

    @classmethod
    def of(cls, case: Case, part: Part) -> Ranking:
        """Of a part that has scores."""
        widths = case.widths(part.operand)
        ranks = [ranks_of(case, part, bits) for bits in widths]
        layers = [
            RankedLayer(
                layer.name,
                layer.role,
                tuple(case.score(part, layer.name, bits) for bits in widths),
                tuple(rank[layer.name] for rank in ranks),
                case.bits(part.operand, layer.name),
            )
            for layer in case.layers(part)
        ]
        layers.sort(key=lambda layer: layer.ranks[-1])
        return cls(part.operand, part.group, case.metrics[part.group], widths, tuple(layers))

    def most_sensitive(self, count: int) -> tuple[RankedLayer, ...]:
        """The layers that are among the first `count` at any of the widths, by their best rank."""
        chosen = [layer for layer in self.layers if min(layer.ranks) <= count]
        return tuple(sorted(chosen, key=lambda layer: (min(layer.ranks), sum(layer.ranks))))

    def in_words(self, count: int) -> RenderableType:
        """The most sensitive layers as a table; an asterisk marks a rank among the first `count`."""
        unit = shown_label(self.metric)
        title = f"{self.group} {self.operand}s: the {count} most sensitive at each width, {unit}"
        figures = [heading for bits in self.widths for heading in (f"{bits} bits", "rank")]
        view = new_table(title, ["layer"], [*figures, "the plan"])
        for layer in self.most_sensitive(count):
            cells = [
                cell
                for score, rank in zip(layer.scores, layer.ranks, strict=True)
                for cell in (shown_score(score, self.metric), f"{rank}{'*' if rank <= count else ' '}")
            ]
            view.add_row(layer.name, *cells, shown_bits(layer.bits))
        return view


def ranks_of(case: Case, part: Part, bits: int) -> Mapping[LayerName, int]:
    """1 for the lowest score of a group; layers that score alike count in the table's order."""
    names = [layer.name for layer in case.layers(part)]
    ordered = sorted(names, key=lambda name: case.score(part, name, bits))
    return {name: rank for rank, name in enumerate(ordered, start=1)}


def rankings_of(case: Case) -> tuple[Ranking, ...]:
    """Of every operand and group that has scores."""
    return tuple(Ranking.of(case, part) for part in case.scored_parts())


def rankings_in_words(rankings: Sequence[Ranking], count: int) -> Iterator[RenderableType]:
    """A table each."""
    for ranking in rankings:
        yield ranking.in_words(count)


def shown_bits(bits: int) -> str:
    """`4`, or `FP16`."""
    return "FP16" if bits == FLOAT_BITS else str(bits)
