"""Two sensitivity tables of one model, before and after: say, without and with BOS-aware quantization."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from rich.console import RenderableType
from rich.table import Table

from mixdq.compiler.explain.case import Case
from mixdq.compiler.explain.scores import shown_change, shown_label, shown_score
from mixdq.compiler.explain.selections import roles_and_selections
from mixdq.compiler.explain.tables import new_table
from mixdq.configs.errors import PlanError
from mixdq.configs.layers import LayerName
from mixdq.configs.sensitivity import Metric, Operand, SensitivityTable


@dataclass(frozen=True, slots=True)
class Change:
    """What became of the scores of some layers.

    Attributes:
        what: a role, or the layers that the paper has a takeaway of.
        operand: weight or activation.
        metric: what the scores are.
        bits: at which the layers are quantized, each alone.
        layers: how many.
        median_before: of the other table.
        median_after: of the plan's table.
        worst_before: the lowest score.
        worst_after: likewise; it may be another layer's.
        mean_change: after less before, on average; positive if the layers have become less sensitive.
        risen: layers whose score is higher after.
        fallen: layers whose score is lower after.
    """

    what: str
    operand: Operand
    metric: Metric
    bits: int
    layers: int
    median_before: float
    median_after: float
    worst_before: float
    worst_after: float
    mean_change: float
    risen: int
    fallen: int


@dataclass(frozen=True, slots=True)
class TextLayerChange:
    """The score of one projection of the text embedding: cross-attention's K or V."""

    name: LayerName
    operand: Operand
    metric: Metric
    bits: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Scores before and after.

    Attributes:
        before: what the other table was measured with, in words.
        after: likewise of the plan's table.
        changes: by role and selection.
        text_layers: of every layer that reads the text embedding.
    """

    before: str
    after: str
    changes: tuple[Change, ...]
    text_layers: tuple[TextLayerChange, ...]

    @classmethod
    def of(cls, case: Case, other: SensitivityTable) -> Comparison:
        """Of the plan's table with another of the same model.

        Raises:
            PlanError: the plan has no table, or they have no scores in common.
            DigestError: the other is another model's.
        """
        if case.sensitivity is None:
            raise PlanError("there is nothing to compare with: give --sensitivity beside --compare")
        other.check(case.table)
        changes: list[Change] = []
        text: list[TextLayerChange] = []
        selections = roles_and_selections(case.table)
        readers = [layer.name for layer in case.table if layer.reads_text]
        for operand, metric, bits in _in_common(case.sensitivity, other):
            before = _column(other, operand, metric, bits)
            after = _column(case.sensitivity, operand, metric, bits)
            known = before.keys() & after.keys()
            changes += [
                _change(what, operand, metric, bits, [(before[name], after[name]) for name in names])
                for what, names in selections.items()
                if known >= set(names)
            ]
            text += [
                TextLayerChange(name, operand, metric, bits, before[name], after[name])
                for name in readers
                if name in known
            ]
        if not changes:
            raise PlanError(
                "the two sensitivity tables have no operand, metric and width in common; measure both with "
                "the same options"
            )
        return cls(measured_with(other), measured_with(case.sensitivity), tuple(changes), tuple(text))

    def in_words(self, metrics: Collection[Metric]) -> Iterator[RenderableType]:
        """A table for each operand and each of these metrics."""
        yield f"before: {self.before}; after: {self.after}"
        shown = dict.fromkeys((one.operand, one.metric) for one in self.changes if one.metric in metrics)
        for operand, metric in shown:
            own = [one for one in self.changes if (one.operand, one.metric) == (operand, metric)]
            changed = [one for one in own if one.risen or one.fallen]
            if changed:
                yield _table(changed)
            if len(changed) < len(own):
                others = dict.fromkeys(one.what for one in own if one not in changed)
                yield f"the same before and after, {own[0].operand}s by {metric}: {', '.join(others)}"


def measured_with(table: SensitivityTable) -> str:
    """`BOS-aware, 32 prompts, seed 0, 512 pixels`, and the table's digest."""
    run = table.measurement
    if run is None:
        return f"table {table.digest[:12]}, which does not say how it was measured"
    bos = "BOS-aware" if run.bos_aware else "not BOS-aware"
    return (
        f"table {table.digest[:12]}, {bos}, {run.prompts} prompts, seed {run.seed}, {run.resolution} pixels"
    )


def _in_common(one: SensitivityTable, other: SensitivityTable) -> Iterator[tuple[Operand, Metric, int]]:
    for operand, metrics in one.scores.items():
        for metric in metrics:
            if metric in other.scores.get(operand, {}):
                for bits in one.widths[operand]:
                    if bits in other.widths[operand]:
                        yield operand, metric, bits


def _column(
    table: SensitivityTable, operand: Operand, metric: Metric, bits: int
) -> Mapping[LayerName, float]:
    index = table.widths[operand].index(bits)
    return {name: row[index] for name, row in table.scores[operand][metric].items()}


def _change(
    what: str, operand: Operand, metric: Metric, bits: int, pairs: Sequence[tuple[float, float]]
) -> Change:
    before, after = zip(*pairs, strict=True)
    return Change(
        what=what,
        operand=operand,
        metric=metric,
        bits=bits,
        layers=len(pairs),
        median_before=median(before),
        median_after=median(after),
        worst_before=min(before),
        worst_after=min(after),
        mean_change=fmean(b - a for a, b in pairs),
        risen=sum(b > a for a, b in pairs),
        fallen=sum(b < a for a, b in pairs),
    )


def _table(changes: Sequence[Change]) -> Table:
    metric = changes[0].metric
    title = f"{changes[0].operand}s before and after, {shown_label(metric)}"
    scores = ("median\nbefore", "median\nafter", "worst\nbefore", "worst\nafter", "mean score\nrises by")
    view = new_table(title, [""], ["layers", "bits", *scores, "risen", "fallen"])
    for what in dict.fromkeys(one.what for one in changes):
        for one in (one for one in changes if one.what == what):
            values = (one.median_before, one.median_after, one.worst_before, one.worst_after)
            cells = [shown_score(value, metric) for value in values]
            cells.append(shown_change(one.mean_change, metric))
            view.add_row(what, str(one.layers), str(one.bits), *cells, str(one.risen), str(one.fallen))
    return view
