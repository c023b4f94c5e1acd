"""How sensitive kinds of layers are: the paper's takeaways, from this model's own scores."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import RenderableType
from rich.table import Table

from mixdq.compiler.explain.case import Case
from mixdq.compiler.explain.scores import shown_label, shown_score
from mixdq.compiler.explain.selections import roles_and_selections
from mixdq.compiler.explain.tables import new_table
from mixdq.configs.layers import LayerName
from mixdq.configs.sensitivity import Metric, Operand


@dataclass(frozen=True, slots=True)
class Takeaway:
    """Some layers among all that have the same scores.

    Attributes:
        what: a role, or the layers that the paper has a takeaway of.
        operand: weight or activation.
        metric: what the scores are.
        bits: at which the layers are quantized, each alone.
        layers: how many.
        median: of their scores.
        worst: the lowest of them.
        worst_layer: whose it is.
        worst_rank: of the lowest score among all layers that have this metric; 1 is the most sensitive.
        of: how many those are.
        more_sensitive: share of all of them whose score is below this median.
    """

    what: str
    operand: Operand
    metric: Metric
    bits: int
    layers: int
    median: float
    worst: float
    worst_layer: LayerName
    worst_rank: int
    of: int
    more_sensitive: float

    @classmethod
    def of_scores(
        cls,
        what: str,
        names: Sequence[LayerName],
        scores: Mapping[LayerName, float],
        operand: Operand,
        metric: Metric,
        bits: int,
    ) -> Takeaway:
        """Of some of the layers that have a score."""
        worst_layer = min(names, key=scores.__getitem__)
        worst, middle = scores[worst_layer], median(scores[name] for name in names)
        return cls(
            what=what,
            operand=operand,
            metric=metric,
            bits=bits,
            layers=len(names),
            median=middle,
            worst=worst,
            worst_layer=worst_layer,
            worst_rank=1 + sum(score < worst for score in scores.values()),
            of=len(scores),
            more_sensitive=sum(score < middle for score in scores.values()) / len(scores),
        )


def takeaways_of(case: Case) -> tuple[Takeaway, ...]:
    """Of each role and selection, by each metric that all of its layers have scores of."""
    if case.sensitivity is None:
        return ()
    selections = roles_and_selections(case.table)
    found = []
    for operand in Operand:
        for metric, layers in case.sensitivity.scores.get(operand, {}).items():
            for index, bits in enumerate(case.widths(operand)):
                scores = {name: row[index] for name, row in layers.items()}
                found += [
                    Takeaway.of_scores(what, names, scores, operand, metric, bits)
                    for what, names in selections.items()
                    if scores.keys() >= set(names)
                ]
    return tuple(found)


def takeaways_in_words(
    takeaways: Sequence[Takeaway], metrics: Collection[Metric]
) -> Iterator[RenderableType]:
    """A table for each operand and each of these metrics, a line a role or selection, columns for widths."""
    shown = dict.fromkeys((one.operand, one.metric) for one in takeaways if one.metric in metrics)
    for operand, metric in shown:
        yield _table([one for one in takeaways if (one.operand, one.metric) == (operand, metric)])
    if takeaways:
        yield (
            "rank: of the worst, 1 is the most sensitive of all layers; more sensitive: the share of all "
            "layers whose score is below this median"
        )


def _table(takeaways: Sequence[Takeaway]) -> Table:
    first = takeaways[0]
    title = f"{first.operand}s by role, {shown_label(first.metric)} ({first.of} layers)"
    figures = [
        heading
        for bits in dict.fromkeys(one.bits for one in takeaways)
        for heading in (f"{bits} bits\nmedian", "\nworst", "\nrank", "more\nsensitive")
    ]
    view = new_table(title, [""], ["layers", *figures])
    for what in dict.fromkeys(one.what for one in takeaways):
        own = [one for one in takeaways if one.what == what]
        cells = [
            cell
            for one in own
            for cell in (
                shown_score(one.median, one.metric),
                shown_score(one.worst, one.metric),
                str(one.worst_rank),
                f"{one.more_sensitive:.0%}",
            )
        ]
        view.add_row(what, str(own[0].layers), *cells)
    return view
