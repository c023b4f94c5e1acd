"""The claims as a page of Markdown: each with its figures, ours beside, and what shows it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from mixdq.configs.claim import Claim
from mixdq.eval.report.claims_verdict import Finding, State, Verdict

_WIDTH = 118
_INTRODUCTION = (
    "Each claim of the paper (arXiv 2405.17873), its summary and project page, and of the earlier "
    "experiment's report and README, in our words, with their figures and ours. A claim stands as the worst "
    "of its checks: *met*; *unmet*, and by how much; *not measurable here*, because it needs what was not at "
    "hand where the results were made; *not in these folders*, with the command that makes the results. A "
    "state in brackets is of another model than the claim's, emoji-turbo in place of SDXL-Turbo, and decides "
    "nothing. No verdict is written by hand: it follows from a document, whose path and digest stand beside "
    "it, or from tests that are named."
)
_SOURCES = (
    ("paper", "The paper"),
    ("summary", "Its summary"),
    ("project page", "The project page and the released code"),
    ("repository", "The project page and the released code"),
    ("report", "The earlier experiment"),
    ("README", "The earlier experiment"),
)


def claims_page(verdicts: Sequence[Verdict], command: str) -> str:
    """The page; the same verdicts give the same bytes.

    Args:
        verdicts: of all claims.
        command: that makes the page.
    """
    return "\n".join(_lines(verdicts, command)) + "\n"


def counts_in_words(verdicts: Sequence[Verdict]) -> str:
    """`61 met, 3 unmet, 34 not measurable here, 2 not in these folders, of 100 claims`."""
    counts = Counter(verdict.state for verdict in verdicts)
    order = (State.MET, State.UNMET, State.NOT_MEASURABLE, State.NOT_FOUND)
    return ", ".join(f"{counts[state]} {state}" for state in order) + f", of {len(verdicts)} claims"


def _lines(verdicts: Sequence[Verdict], command: str) -> Iterator[str]:
    yield "# What the source documents claim, and what was found"
    yield ""
    yield from _wrapped(_INTRODUCTION)
    yield ""
    yield f"    {command}"
    yield ""
    yield f"makes this page. **{counts_in_words(verdicts)}.**"
    yield ""
    yield from _summary(verdicts)
    heading = ""
    for verdict in verdicts:
        if (found := _heading(verdict.claim)) != heading:
            heading = found
            yield from (f"## {heading}", "")
        yield from _claim(verdict)


def _summary(verdicts: Sequence[Verdict]) -> Iterator[str]:
    unmet = [verdict for verdict in verdicts if verdict.state is State.UNMET]
    if not unmet:
        return
    yield from ("## Unmet", "", "| | claim | by how much |", "|---|---|---|")
    for verdict in unmet:
        name = f"[{verdict.claim.number}](#{verdict.claim.number})"
        yield f"| {name} | {_cell(verdict.claim.says)} | {_cell(verdict.by_how_much)} |"
    yield ""


def _claim(verdict: Verdict) -> Iterator[str]:
    claim = verdict.claim
    yield f'<a id="{claim.number}"></a>'
    yield f"**{claim.number}. {claim.says}**"
    yield f"({claim.source}; tier {claim.tier}): **{verdict.state}**"
    yield ""
    if claim.theirs:
        yield from (f"- theirs: {claim.theirs}",)
    for finding in verdict.findings:
        yield f"- {_finding(finding)}"
        for each in finding.evidence:
            yield f"  - `{each}`"
        if finding.command != claim.command:
            yield f"  - `{finding.command}`"
    yield f"- `{claim.command}`"
    yield ""


def _finding(finding: Finding) -> str:
    state = f"({finding.state})" if finding.beside else f"{finding.state}"
    theirs = f", theirs {finding.theirs}" if finding.theirs else ""
    ours = f": {finding.ours}" if finding.ours else ""
    apart = f"; {finding.apart}" if finding.apart else ""
    return f"{finding.what}: {state}{ours}{theirs}{apart}"


def _heading(claim: Claim) -> str:
    return next(title for start, title in _SOURCES if claim.source.startswith(start))


def _wrapped(text: str) -> Iterable[str]:
    return textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
