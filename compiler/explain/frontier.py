"""A sweep's Pareto frontier, and where the plan lies beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mixdq.compiler.allocate.joint import scaled_score
from mixdq.compiler.allocate.subject import Part, Subject, Widths, parts_of
from mixdq.compiler.allocate.sweep import Point
from mixdq.compiler.explain.case import Case
from mixdq.configs.layers import LayerName
from mixdq.configs.precision import FLOAT_BITS
from mixdq.configs.sensitivity import Operand

_NAMED = 10
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class OwnPoint:
    """Where the plan lies on a sweep's axes.

    Attributes:
        mean_bits: over the layers whose operand is quantized, weighted by size; None if none is.
        objective: None if it can't be told, for the reason in `missing`.
        below_frontier: how much more objective the frontier has at no more bits; negative above it; None if
            it can't be told, or the frontier has no point with so few bits.
        missing: why there is no objective; empty if there is one.
    """

    mean_bits: float | None
    objective: float | None
    below_frontier: float | None
    missing: str


@dataclass(frozen=True, slots=True)
class Infeasible:
    """Budgets that can't be kept; see `Point`."""

    ratio: float
    content_budget: float
    quality_budget: float


@dataclass(frozen=True, slots=True)
class Frontier:
    """The points of one operand.

    Attributes:
        operand: weight or activation.
        feasible: all points whose budgets can be kept.
        infeasible: the budgets of all others.
        best: the feasible points that no other one beats, by ascending bits.
        own: the plan's.
    """

    operand: Operand
    feasible: tuple[Point, ...]
    infeasible: tuple[Infeasible, ...]
    best: tuple[Point, ...]
    own: OwnPoint

    @classmethod
    def of(cls, case: Case, points: Sequence[Point], operand: Operand, widths: Widths) -> Frontier:
        """Of a sweep's points; `widths` are what its programmes chose from."""
        own = [point for point in points if point.operand is operand]
        feasible = tuple(point for point in own if point.feasible)
        best = sorted((point for point in feasible if point.on_frontier), key=lambda point: point.mean_bits)
        return cls(
            operand=operand,
            feasible=feasible,
            infeasible=tuple(
                Infeasible(point.ratio, point.content_budget, point.quality_budget)
                for point in own
                if not point.feasible
            ),
            best=tuple(best),
            own=_own_point(case, feasible, best, operand, widths),
        )

    def in_words(self) -> Iterator[str]:
        """Lines: how many points, which are not feasible, where the plan lies."""
        count = len(self.feasible) + len(self.infeasible)
        yield f"{self.operand}s: {count} points, {len(self.best)} on the frontier"
        if self.infeasible:
            more = f" and {len(self.infeasible) - _NAMED} more" if len(self.infeasible) > _NAMED else ""
            named = "; ".join(map(budgets_in_words, self.infeasible[:_NAMED]))
            yield f"{self.operand}s: {len(self.infeasible)} of {count} can't be kept: {named}{more}"
        yield f"{self.operand}s: {_own_in_words(self.own)}"


def frontiers_of(case: Case, points: Sequence[Point], widths: Widths) -> tuple[Frontier, ...]:
    """Of each operand that the sweep has points of."""
    swept = {point.operand for point in points}
    return tuple(Frontier.of(case, points, operand, widths) for operand in Operand if operand in swept)


def budgets_in_words(point: Infeasible) -> str:
    """`content 2.1, quality 4`."""
    return f"content {point.content_budget:.4g}, quality {point.quality_budget:.4g}"


def _own_in_words(own: OwnPoint) -> str:
    if own.mean_bits is None:
        return "the plan quantizes none"
    if own.objective is None:
        return f"the plan has {own.mean_bits:.4f} bits; its objective is not shown: {own.missing}"
    place = "fewer bits than any point of the frontier"
    if own.below_frontier is not None:
        side = "below" if own.below_frontier >= 0 else "above"
        place = f"{abs(own.below_frontier):.4g} {side} the frontier"
    return f"the plan has {own.mean_bits:.4f} bits and the objective {own.objective:.4f}, {place}"


def _own_point(
    case: Case, feasible: Sequence[Point], best: Sequence[Point], operand: Operand, widths: Widths
) -> OwnPoint:
    bits = {layer.name: case.bits(operand, layer.name) for layer in case.table}
    sizes = {name: case.size(operand, case.table[name]) for name in bits if bits[name] < FLOAT_BITS}
    if not sizes:
        return OwnPoint(None, None, None, f"the plan quantizes no {operand}")
    mean = sum(bits[name] * size for name, size in sizes.items()) / sum(sizes.values())
    missing = _why_not(case, feasible, operand, bits, widths)
    if missing:
        return OwnPoint(mean, None, None, missing)
    subject = _subject(case, bits, operand, widths)
    objective = sum(scaled_score(subject, part, bits) for part in parts_of(operand))
    reached = [point.objective for point in best if point.mean_bits <= mean + _TOLERANCE]
    return OwnPoint(mean, objective, max(reached) - objective if reached else None, "")


def _why_not(
    case: Case, feasible: Sequence[Point], operand: Operand, bits: Mapping[LayerName, int], widths: Widths
) -> str:
    """Why the plan's objective can't be compared with the sweep's; empty if it can."""
    if case.sensitivity is None or set(case.sensitivity.scores) != set(Operand):
        return "that needs the sensitivities of weights and activations"
    if unmeasured := [str(part) for part in Part if not set(widths[part]) <= set(case.widths(part.operand))]:
        return f"some widths of {' and '.join(unmeasured)} were not measured"
    for part in parts_of(operand):
        own = {bits[layer.name] for layer in case.layers(part)}
        allowed = {*widths[part], *([FLOAT_BITS] if operand is Operand.ACTIVATION else [])}
        if not own <= allowed:
            other = f"it has bits in {part} other than {', '.join(map(str, widths[part]))}"
            return other + _with_widths(part, own | set(widths[part]), case)
    spans = _spans(_subject(case, bits, operand, widths), operand)
    if not all(_belongs(point, spans) for point in feasible):
        return (
            "the sweep was made with other sensitivities, metrics, widths or protected layers; sweep again "
            "with the plan's, and the --widths that `explain` is given"
        )
    return ""


def _with_widths(part: Part, wanted: set[int], case: Case) -> str:
    """What to do about a plan's bits that the sweep could not choose, if there are scores at them."""
    chosen = sorted(wanted - {FLOAT_BITS} if part.operand is Operand.ACTIVATION else wanted)
    unmeasured = [str(bits) for bits in chosen if bits not in case.widths(part.operand)]
    if unmeasured:
        return f", and {', '.join(unmeasured)} were not measured"
    option = f"--widths {part}={','.join(map(str, chosen))}"
    return f"; sweep again with {option}, and give `explain` the same"


def _subject(case: Case, bits: Mapping[LayerName, int], operand: Operand, widths: Widths) -> Subject:
    """What the sweep's programmes were made of, if the plan's protected layers were theirs."""
    assert case.sensitivity is not None
    floating = {name for name, width in bits.items() if width == FLOAT_BITS}
    protected = floating if operand is Operand.ACTIVATION else set()
    return Subject(case.table, case.sensitivity, case.metrics, widths, case.resolution, frozenset(protected))


def _spans(subject: Subject, operand: Operand) -> tuple[tuple[float, float], ...]:
    """The lowest and the highest score that the content and the quality programme can have."""
    rows = (
        [
            [subject.score(part, layer, bits) for bits in subject.widths[part]]
            for layer in subject.layers(part)
        ]
        for part in parts_of(operand)
    )
    return tuple((sum(map(min, part)), sum(map(max, part))) for part in rows)


def _belongs(point: Point, spans: Sequence[tuple[float, float]]) -> bool:
    """Whether a point's objective is what its scores come to within these spans."""
    scores = (point.content_score, point.quality_score)
    shares = (
        (score - worst) / (best - worst) if best > worst else 0.0
        for score, (worst, best) in zip(scores, spans, strict=True)
    )
    return math.isclose(sum(shares), point.objective, abs_tol=_TOLERANCE)
