"""What the paper says of SDXL-Turbo's layers (section 5.4), held against this model's own scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from mixdq.compiler.explain.case import Case
from mixdq.compiler.explain.comparison import Change, Comparison
from mixdq.compiler.explain.scores import is_likeness, shown_label, shown_score
from mixdq.compiler.explain.takeaways import Takeaway
from mixdq.configs.layers import Group
from mixdq.configs.sensitivity import Metric, Operand

_HIGH = 0.01
"""Share of the layers that "highly sensitive" means here, as of those that are protected."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of the paper.

    Attributes:
        statement: in its sense.
        holds: whether these scores say so too.
        figures: by which that is decided.
    """

    statement: str
    holds: bool
    figures: str


def claims_of(case: Case, takeaways: Sequence[Takeaway], comparison: Comparison | None) -> tuple[Claim, ...]:
    """Those that the scores can decide; none without sensitivities."""
    found = [
        _is_highly_sensitive(takeaways, "conv_in", Operand.ACTIVATION, 8),
        _is_highly_sensitive(takeaways, "conv_out", Operand.WEIGHT, 4),
        _time_embeddings(case),
        *(() if comparison is None else _after_bos(case, comparison)),
    ]
    return tuple(claim for claim in found if claim is not None)


def claims_in_words(claims: Sequence[Claim]) -> Iterator[str]:
    """A line each."""
    for claim in claims:
        yield f"the paper: {claim.statement}. Here that {_VERDICTS[claim.holds]}: {claim.figures}"


_VERDICTS = {True: "holds", False: "does not hold"}


def _is_highly_sensitive(
    takeaways: Sequence[Takeaway], what: str, operand: Operand, bits: int
) -> Claim | None:
    key = (what, operand, Metric.SQNR, bits)
    found = [one for one in takeaways if (one.what, one.operand, one.metric, one.bits) == key]
    if not found:
        return None
    one = found[0]
    return Claim(
        f"the {operand} of {what} is highly sensitive",
        one.worst_rank <= math.ceil(_HIGH * one.of),
        f"at {bits} bits {one.worst:.1f} dB, rank {one.worst_rank} of {one.of}",
    )


def _time_embeddings(case: Case) -> Claim | None:
    if case.sensitivity is None or 8 not in case.widths(Operand.ACTIVATION):
        return None
    index = case.widths(Operand.ACTIVATION).index(8)
    table = case.sensitivity.scores[Operand.ACTIVATION][Metric.SQNR]
    scores = {name: row[index] for name, row in table.items()}
    projections = [score for name, score in scores.items() if name.endswith(".time_emb_proj")]
    embeddings = [score for name, score in scores.items() if name.startswith("time_embedding.")]
    if not projections or not embeddings:
        return None
    middle, whole = median(projections + embeddings), median(scores.values())
    before = sum(score < middle for score in scores.values()) / len(scores)
    return Claim(
        "the time embeddings are insensitive",
        middle > whole,
        f"with activations of 8 bits a median of {middle:.2f} dB, of all layers {whole:.2f}: {before:.0%} of "
        f"all are more sensitive (the {len(embeddings)} of time_embedding {median(embeddings):.2f} dB, the "
        f"{len(projections)} of the resnets' time_emb_proj {median(projections):.2f})",
    )


def _after_bos(case: Case, comparison: Comparison) -> Iterator[Claim]:
    """Of the changes of attn2.to_k and to_v at 8 bits, by what decides in their group."""
    metric = case.metrics[Group.CONTENT]
    projections = [
        one
        for one in comparison.changes
        if one.what in ("attn2.to_k", "attn2.to_v") and (one.metric, one.bits) == (metric, 8)
    ]
    inputs = [one for one in projections if one.operand is Operand.ACTIVATION]
    if inputs:
        yield Claim(
            "without token 0 the activations of attn2.to_k and to_v become insensitive",
            all(one.risen > one.layers / 2 and one.median_after > one.median_before for one in inputs),
            _before_and_after(inputs),
        )
    weights = [one for one in projections if one.operand is Operand.WEIGHT]
    if weights:
        yield Claim(
            "their weights stay as sensitive",
            all(abs(one.median_after - one.median_before) < 0.1 * _room(one, metric) for one in weights),
            _before_and_after(weights),
        )


def _room(change: Change, metric: Metric) -> float:
    """What a change is compared with: of a likeness the distance from 1, else 10 dB."""
    return 1 - change.median_before if is_likeness(metric) else 10.0


def _before_and_after(changes: Sequence[Change]) -> str:
    def shown(one: Change) -> str:
        scores = (one.median_before, one.median_after, one.worst_before, one.worst_after)
        words = [shown_score(score, one.metric) for score in scores]
        return f"{one.what} median {words[0]} before, {words[1]} after, worst {words[2]} and {words[3]}"

    return f"{shown_label(changes[0].metric)} at {changes[0].bits} bits: {'; '.join(map(shown, changes))}"
