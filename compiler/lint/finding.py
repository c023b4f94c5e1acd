"""What a rule found in a graph or an engine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Whether a finding fails the lint.

    `FAILURE`: the engine is slower, larger or worse than its plan promises, or does not build.
    `NOTE`: worth knowing, and asked for by the plan.
    """

    FAILURE = "failure"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that breaks a rule.

    Attributes:
        rule: the rule's name: `duplicate-qdq`.
        where: the layer or node.
        found: what is there.
        todo: what to do about it.
        severity: whether it fails the lint.
    """

    rule: str
    where: str
    found: str
    todo: str
    severity: Severity = Severity.FAILURE


@dataclass(frozen=True, slots=True)
class EngineLayers:
    """What is known of a built engine's layers.

    Attributes:
        engine: the file, relative to the bundle's folder.
        target: what it was built for.
        read: whether its layers were read.
        said: what was read, or why nothing was.
        findings: planned layers that it computes in floating point.
    """

    engine: str
    target: str
    read: bool
    said: str
    findings: tuple[Finding, ...] = ()


REBUILD = "build the bundle again with this mixdq; if it stays, a pass is at fault"
"""What to do about a graph that our own passes should have made otherwise."""
