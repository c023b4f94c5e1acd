"""Which activations a plan leaves in FP16, and why: their ranks, and whether the paper's rule says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table

from mixdq.compiler.allocate.protection import PAPER_SHARE, protected_layers
from mixdq.compiler.explain.case import Case
from mixdq.compiler.explain.ranking import ranks_of
from mixdq.compiler.explain.scores import shown_score
from mixdq.compiler.explain.tables import new_table
from mixdq.configs.layers import Group, LayerName
from mixdq.configs.sensitivity import Metric, Operand

JUDGED_AT = 8
_RULE = f"{PAPER_SHARE * 100:g} % rule"


@dataclass(frozen=True, slots=True)
class Judgement:
    """How an activation does at 8 bits, where the rule judges it, within its group.

    Attributes:
        score: by the group's metric.
        metric: which.
        rank: 1 is the most sensitive.
        of: layers of the group.
        by_rule: whether it is among the group's most sensitive percent, rounded up.
        quantized_before: layers that are more sensitive, and whose activation the plan quantizes.
    """

    score: float
    metric: Metric
    rank: int
    of: int
    by_rule: bool
    quantized_before: int


@dataclass(frozen=True, slots=True)
class ProtectedLayer:
    """One layer, and why its activation stays FP16 or would by the rule.

    Attributes:
        name: of the layer.
        group: content or quality.
        precision: what the plan gives it.
        judgement: None without activation scores at 8 bits.
    """

    name: LayerName
    group: Group
    precision: str
    judgement: Judgement | None

    def why(self) -> str:
        """`1 % rule`, or that it is not, for a table's last column."""
        found = self.judgement
        if found is None:
            return "not known: no activation scores at 8 bits"
        if found.by_rule:
            return _RULE
        more = f"; more sensitive and quantized: {found.quantized_before}" if found.quantized_before else ""
        return f"not by the {_RULE}{more}"


@dataclass(frozen=True, slots=True)
class Protection:
    """What of a plan stays in floating point.

    Attributes:
        quantizes_activations: whether the plan quantizes any; if not, nothing is protected in particular, and
            the lists are empty.
        layers: those whose activation stays FP16, by group and rank.
        passed_over: those that the rule names, and whose activation the plan quantizes.
        bos_aware: layers that token 0 of the text embedding leaves.
        split_shortcuts: layers whose input is quantized in two halves.
    """

    quantizes_activations: bool
    layers: tuple[ProtectedLayer, ...]
    passed_over: tuple[ProtectedLayer, ...]
    bos_aware: int
    split_shortcuts: int

    @classmethod
    def of(cls, case: Case) -> Protection:
        """Of a plan."""
        plan = case.plan
        kept = {layer.name for layer in case.table if not plan[layer.name].quantizes_activation}
        any_quantized = len(kept) < len(case.table)
        judgements = _judgements(case, kept)
        entries = [
            ProtectedLayer(layer.name, layer.group, str(plan[layer.name]), judgements.get(layer.name))
            for layer in case.table
        ]
        entries.sort(key=lambda entry: (entry.group, entry.judgement.rank if entry.judgement else 0))
        return cls(
            quantizes_activations=any_quantized,
            layers=tuple(entry for entry in entries if any_quantized and entry.name in kept),
            passed_over=tuple(
                entry
                for entry in entries
                if any_quantized and entry.name not in kept and entry.judgement and entry.judgement.by_rule
            ),
            bos_aware=sum(plan.takes_bos_out(layer) for layer in case.table),
            split_shortcuts=sum(plan.splits(layer) for layer in case.table),
        )

    def in_words(self) -> Iterator[RenderableType]:
        """The protected layers with their reasons, and what else the plan spares."""
        if not self.quantizes_activations:
            yield "all activations stay FP16: nothing is protected in particular"
        elif self.layers:
            yield _table(self.layers, "activations that stay FP16; scores at 8 bits, as in the rankings")
        else:
            yield "no activation stays FP16: nothing is protected"
        if self.passed_over:
            yield _table(self.passed_over, f"quantized, though the {_RULE} names them")
        yield (
            f"token 0 of the text embedding leaves {self.bos_aware} layers; the input of "
            f"{self.split_shortcuts} shortcuts is quantized in two halves"
        )


def _judgements(case: Case, kept: set[LayerName]) -> dict[LayerName, Judgement]:
    """Of every layer; of none without activation scores at 8 bits."""
    if case.sensitivity is None or JUDGED_AT not in case.widths(Operand.ACTIVATION):
        return {}
    by_rule = set(protected_layers(case.table, case.sensitivity, PAPER_SHARE, case.metrics))
    found: dict[LayerName, Judgement] = {}
    for part in (part for part in case.scored_parts() if part.operand is Operand.ACTIVATION):
        quantized_before = 0
        for name, rank in ranks_of(case, part, JUDGED_AT).items():
            found[name] = Judgement(
                score=case.score(part, name, JUDGED_AT),
                metric=case.metrics[part.group],
                rank=rank,
                of=len(case.layers(part)),
                by_rule=name in by_rule,
                quantized_before=quantized_before,
            )
            quantized_before += name not in kept
    return found


def _table(layers: tuple[ProtectedLayer, ...], title: str) -> Table:
    view = new_table(title, ["layer", "group", "precision", "why"], ["score", "rank"])
    for layer in layers:
        found = layer.judgement
        score = "-" if found is None else shown_score(found.score, found.metric)
        rank = "-" if found is None else f"{found.rank} of {found.of}"
        view.add_row(layer.name, layer.group, layer.precision, layer.why(), score, rank)
    return view
