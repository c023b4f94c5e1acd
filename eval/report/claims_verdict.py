"""What became of a claim, and of each check of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from mixdq.configs.claim import Claim


class State(StrEnum):
    """How a claim stands, the gravest first: a claim stands as the gravest of its checks."""

    UNMET = "unmet"
    NOT_MEASURABLE = "not measurable here"
    NOT_FOUND = "not in these folders"
    MET = "met"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check.

    Attributes:
        what: was asked.
        state: what became of it.
        theirs: the source's figure.
        ours: the figure that was found, or by what it is shown, or what it needs.
        apart: by how much it is not what it should be, or what is lacking; empty unless it is unmet.
        evidence: documents with their digests, or tests.
        command: what measures it.
        beside: whether it is of another model, and decides nothing.
    """

    what: str
    state: State
    theirs: str
    ours: str
    apart: str
    evidence: tuple[str, ...]
    command: str
    beside: bool

    @property
    def shown_by(self) -> bool:
        """Whether it is tests that show it."""
        return bool(self.evidence) and all("::" in each for each in self.evidence)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One claim.

    Attributes:
        claim: what was claimed.
        findings: one a check, in the claim's order.
    """

    claim: Claim
    findings: tuple[Finding, ...]

    @property
    def state(self) -> State:
        """The gravest of the checks that decide."""
        order = list(State)
        return min((one.state for one in self.findings if not one.beside), key=order.index)

    @property
    def theirs(self) -> str:
        """The source's figures."""
        return self.claim.theirs or _joined(one.theirs for one in self.findings)

    @property
    def ours(self) -> str:
        """What was found, check by check: `layers that differ: 0`; checks by tests together at the end."""
        shown = [one for one in self.findings if one.shown_by]
        tests = len(dict.fromkeys(test for one in shown for test in one.evidence))
        found = [f"{one.what}: {one.ours}" for one in self.findings if one.ours and not one.shown_by]
        return _joined([*found, f"shown by {tests} test{'' if tests == 1 else 's'}" if tests else ""])

    @property
    def by_how_much(self) -> str:
        """Which checks are not met, and by how much; empty if all are."""
        return _joined(f"{one.what}: {one.apart}" for one in self.findings if one.apart and not one.beside)

    @property
    def evidence(self) -> str:
        """Documents and tests that say so."""
        return _joined(each for one in self.findings for each in one.evidence)

    @property
    def command(self) -> str:
        """What measures it."""
        return self.claim.command


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(filter(None, texts)))
