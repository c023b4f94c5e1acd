"""What the source documents claim, theirs beside ours."""

from __future__ import annotations

from collections import Counter

from mixdq.eval.report.claims import judge_claims
from mixdq.eval.report.claims_verdict import Finding, State, Verdict
from mixdq.eval.report.results import Results
from mixdq.eval.report.view import ClaimList, ClaimRow, Section

_ORDER = (State.MET, State.UNMET, State.NOT_MEASURABLE, State.NOT_FOUND)
_SOURCES = (
    ("paper", "The paper"),
    ("summary", "Its summary"),
    ("project page", "The project page and the released code"),
    ("repository", "The project page and the released code"),
    ("report", "The earlier experiment"),
    ("README", "The earlier experiment"),
)


def claims_section(results: Results) -> Section:
    """Every claim, by the document that makes it."""
    verdicts = judge_claims(results.found)
    documents: dict[str, list[ClaimRow]] = {}
    for verdict in verdicts:
        documents.setdefault(_title(verdict), []).append(_row(verdict))
    counts = Counter(verdict.state for verdict in verdicts)
    claims = ClaimList(
        tuple((title, tuple(rows)) for title, rows in documents.items()),
        tuple((str(state), counts[state]) for state in _ORDER),
    )
    tally = ", ".join(f"{counts[state]} {state}" for state in _ORDER if counts[state])
    return Section(
        "claims",
        "Claims",
        (claims,) if verdicts else (),
        f"{len(verdicts)} claims of the documents that this project comes from: {tally}. A verdict follows "
        "from the documents named beside it, or from tests; where it can't, the command says what would "
        "measure it.",
    )


def _title(verdict: Verdict) -> str:
    return next(
        (title for start, title in _SOURCES if verdict.claim.source.startswith(start)), verdict.claim.source
    )


def _row(verdict: Verdict) -> ClaimRow:
    return ClaimRow(
        number=str(verdict.claim.number),
        source=verdict.claim.source,
        says=verdict.claim.says,
        theirs=verdict.theirs,
        ours=tuple(_finding(one) for one in verdict.findings),
        state=str(verdict.state),
        by_how_much=verdict.by_how_much,
        evidence=verdict.evidence,
        command=verdict.command,
    )


def _finding(finding: Finding) -> str:
    """`blocks that are kept: 20`; in brackets if it is of another model and decides nothing."""
    words = f"{finding.what}: {finding.ours}" if finding.ours else f"{finding.what}: {finding.state}"
    return f"({words})" if finding.beside else words
