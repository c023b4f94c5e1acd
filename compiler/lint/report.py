"""What the lint found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from mixdq.compiler.lint.finding import Severity
from mixdq.compiler.lint.lint import LintReport, Located
from mixdq.compiler.lint.rules import RULES
from mixdq.configs.documents import to_plain

_NAMED = 3


def in_words(report: LintReport) -> Iterator[RenderableType]:
    """What is known of the engines' layers, the findings as a table, and their number.

    Engines of which the same is said share a line, and so do findings that differ in their layer alone.
    """
    engines: dict[tuple[str, str], list[str]] = {}
    for engine in report.engines:
        engines.setdefault((engine.target, engine.said), []).append(engine.engine)
    for (target, said), names in engines.items():
        yield f"{target}, {_some(names, ', ')}: {said}"
    rows: dict[tuple[object, ...], list[Located]] = {}
    for located in report.findings:
        finding = located.finding
        key = (finding.severity, finding.rule, _without(finding.where, finding.found), finding.todo)
        rows.setdefault((*key, located.places), []).append(located)
    if rows:
        yield _table(rows)
    failures = sum(1 for each in report.findings if each.finding.severity is Severity.FAILURE)
    notes = len(report.findings) - failures
    yield f"{len(report.graphs)} graphs, {len(RULES)} rules: {failures} failures, {notes} notes"


def to_json(report: LintReport) -> dict[str, Any]:
    """The report as plain data, every finding by itself."""
    plain: dict[str, Any] = to_plain(report)
    return {"fails": report.fails, **plain}


def _table(rows: dict[tuple[object, ...], list[Located]]) -> Table:
    view = Table("", "rule", "where", "found", "what to do", "in", title="findings")
    for same in rows.values():
        finding, places = same[0].finding, same[0].places
        names = [located.finding.where for located in same]
        view.add_row(
            finding.severity,
            finding.rule,
            _some(names, "\n"),
            finding.found,
            finding.todo,
            _some(list(places), "\n"),
        )
    return view


def _without(name: str, text: str) -> str:
    """A finding's words without its layer's name, by which alone many differ."""
    return text.replace(name, "") if name else text


def _some(names: list[str], separator: str) -> str:
    more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return separator.join([*names[:_NAMED], *more])
