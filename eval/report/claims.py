"""What the found results say to every claim of the source documents: a pure function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

from mixdq.configs.claim import Check, Claim, Figure, Lacking, NotHere, ShownBy, Wanted, read_claims
from mixdq.eval.report.claims_rows import Row, matching, number, rows_of
from mixdq.eval.report.claims_verdict import Finding, State, Verdict

_DIGITS = 12
"""Of a digest, for people."""

_WHOLE = 1000
"""Figures from this on are shown without decimals."""


class AnyDocument(Protocol):
    """A document that was found."""

    @property
    def name(self) -> str:
        """Its path, for people."""

    @property
    def sha256(self) -> str:
        """Of its file."""

    @property
    def content(self) -> Any:
        """What it says."""


class AnyFound(Protocol):
    """Documents by kind: `mixdq.eval.report.found.Found`."""

    def documents(self) -> Iterable[tuple[str, AnyDocument]]:
        """Each with the name of its kind."""


def judge_claims(found: AnyFound, claims: Sequence[Claim] | None = None) -> tuple[Verdict, ...]:
    """A verdict on each claim, in their order.

    Args:
        found: the documents.
        claims: those that ship, if not given.

    Raises:
        EvaluationError: a file of claims has another form, or a figure can't be taken as its claim says.
    """
    by_kind: dict[str, list[AnyDocument]] = {}
    for kind, document in found.documents():
        by_kind.setdefault(kind, []).append(document)
    return tuple(
        Verdict(claim, tuple(_finding(claim, check, by_kind) for check in claim.checks))
        for claim in (read_claims() if claims is None else claims)
    )


def _finding(claim: Claim, check: Check, by_kind: Mapping[str, Sequence[AnyDocument]]) -> Finding:
    def of(state: State, ours: str, apart: str = "", evidence: tuple[str, ...] = ()) -> Finding:
        command = check.command or claim.command
        return Finding(check.what, state, check.theirs, ours, apart, evidence, command, check.beside)

    match check.rule:
        case ShownBy(tests):
            return of(State.MET, f"shown by {_count(len(tests), 'test')}", evidence=tests)
        case NotHere(needs):
            return of(State.NOT_MEASURABLE, f"needs {needs}")
        case Lacking(lacks):
            return of(State.UNMET, "not done", lacks)
        case Figure() as figure:
            values = list(_values(figure, by_kind.get(figure.document, ())))
            if not values:
                if check.needs:
                    return of(State.NOT_MEASURABLE, f"needs {check.needs}")
                return of(State.NOT_FOUND, "")
            worst = max(values, key=lambda value: _excess(figure, value.amount))
            apart = _apart(figure, worst.amount)
            return of(
                State.UNMET if apart else State.MET,
                _shown(figure, worst.amount, len(values)),
                apart,
                (worst.source,),
            )


@dataclass(frozen=True, slots=True)
class _Value:
    """A figure, and the document that it is of."""

    amount: float
    source: str


def _values(figure: Figure, documents: Sequence[AnyDocument]) -> Iterator[_Value]:
    """The figure of each row, or of each pair of rows, of all documents."""
    for document in documents:
        source = f"{document.name} (sha256 {document.sha256[:_DIGITS]})"
        ours = _amounts(figure, document, figure.where)
        other = figure.over if figure.over is not None else figure.minus
        if other is None:
            yield from (_Value(amount, source) for _, amount in ours)
            continue
        theirs = _amounts(figure, document, {**figure.where, **other})
        combine = _divided if figure.over is not None else _less
        for (pair, amount), (other_pair, other_amount) in product(ours, theirs):
            if pair == other_pair:
                yield _Value(combine(amount, other_amount), source)


def _amounts(
    figure: Figure, document: AnyDocument, where: Mapping[str, Wanted]
) -> Sequence[tuple[tuple[object, ...], float]]:
    """The figures of a document's rows, each with what it is paired by."""
    found: list[tuple[tuple[object, ...], float]] = []
    for row in matching(rows_of(document.content, figure.rows), where):
        amount = number(row, figure.take)
        unit = number(row, figure.per) if figure.per else 1.0
        less = number(row, figure.less) if figure.less else 0.0
        if amount is not None and unit is not None and less is not None:
            found.append((_pair(row, figure.by), _divided(amount - less, unit)))
    return found


def _pair(row: Row, by: Sequence[str]) -> tuple[object, ...]:
    return tuple(row.get(field) for field in by)


def _divided(one: float, other: float) -> float:
    return one / other if other else float("inf")


def _less(one: float, other: float) -> float:
    return one - other


def _excess(figure: Figure, amount: float) -> float:
    """How far a figure is outside of its bounds; negative inside."""
    over = amount - figure.at_most if figure.at_most is not None else -float("inf")
    under = figure.at_least - amount if figure.at_least is not None else -float("inf")
    return max(over, under)


def _apart(figure: Figure, amount: float) -> str:
    bounds: list[tuple[float | None, Callable[[float], float], str]] = [
        (figure.at_most, lambda bound: amount - bound, "more than the most that is right"),
        (figure.at_least, lambda bound: bound - amount, "less than the least that is right"),
    ]
    for bound, beyond, words in bounds:
        if bound is not None and beyond(bound) > 0:
            return f"{beyond(bound):.3g}{_unit(figure)} {words}, {bound:g}{_unit(figure)}"
    return ""


def _shown(figure: Figure, amount: float, count: int) -> str:
    whole = amount.is_integer() or abs(amount) >= _WHOLE
    text = f"{amount:,.0f}" if whole else f"{amount:.4g}"
    which = "most" if figure.at_least is None else "least" if figure.at_most is None else "worst"
    return f"{text}{_unit(figure)}" + (f" (the {which} of {count})" if count > 1 else "")


def _unit(figure: Figure) -> str:
    return f" {figure.unit}" if figure.unit else ""


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
