"""The capability tables for people and for programs, with what a builder said of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table

from mixdq.compiler.legal.probe import Finding
from mixdq.compiler.legal.probe_together import Together
from mixdq.configs.capability import BackendTable, Capability, Entry, SourceKind, capabilities_of
from mixdq.configs.layers import Kind


def in_words(table: BackendTable) -> Iterator[RenderableType]:
    """One back end on all its compute capabilities: a row a form and kind of layer."""
    columns = capabilities_of(table)
    built = "" if table.built else ": planned, not built"
    view = Table(title=f"{table.product}{built}", title_justify="left")
    for name in ("layer", "form", "mixdq writes it", *(_column(one) for one in columns), "known"):
        view.add_column(name)
    for entry in table.entries:
        taken = ("yes" if entry.takes(one.sm) else "no" for one in columns)
        view.add_row(_kinds(entry), str(entry.form), "yes" if entry.emitted else "no", *taken, _known(entry))
    yield view


def one_in_words(capability: Capability) -> Iterator[RenderableType]:
    """One target, with the reasons of what it refuses."""
    built = "" if capability.table.built else ": planned, not built"
    view = Table(title=f"{capability} ({capability.table.product}){built}", title_justify="left")
    for name in ("layer", "form", "legal", "mixdq writes it", "because", "known"):
        view.add_column(name)
    for entry in capability.table.entries:
        legal = entry.takes(capability.sm)
        written = "yes" if entry.emitted and legal else "no"
        reason = entry.reason(capability.sm)
        view.add_row(_kinds(entry), str(entry.form), "yes" if legal else "no", written, reason, _known(entry))
    yield view


def records(capabilities: Iterable[Capability]) -> list[dict[str, object]]:
    """One record a target, kind of layer and form."""
    return [
        {
            "target": str(capability),
            "kind": str(kind),
            "form": str(entry.form),
            "precision": str(entry.form.precision),
            "legal": entry.takes(capability.sm),
            "written": entry.emitted,
            "reason": entry.reason(capability.sm),
            "source": str(entry.source.kind),
            "what": entry.source.what,
        }
        for capability in capabilities
        for kind in Kind
        for entry in capability.entries(kind)
    ]


def probe_records(findings: Iterable[Finding]) -> list[dict[str, object]]:
    """One record a graph that a builder was given."""
    return [
        {
            "target": str(finding.capability),
            "layer": str(finding.layer),
            "form": str(finding.entry.form),
            "shipped": finding.entry.takes(finding.capability.sm),
            "taken": finding.taken,
            "message": finding.message,
        }
        for finding in findings
    ]


def probe_in_words(findings: Sequence[Finding], skipped: Mapping[str, str]) -> Iterator[RenderableType]:
    """How many graphs were tried, the differences, and what could not be asked.

    Args:
        findings: all that were tried.
        skipped: why a back end could not be asked, by its name.
    """
    for finding in (finding for finding in findings if finding.differs):
        yield f"DIFFERS  {finding}"
    for backend in dict.fromkeys(finding.capability.table.backend for finding in findings):
        own = [finding for finding in findings if finding.capability.table.backend == backend]
        taken, differing = sum(one.taken for one in own), sum(one.differs for one in own)
        targets = ", ".join(dict.fromkeys(str(one.capability) for one in own))
        says = f"{differing} differ from the shipped table" if differing else "all as the shipped table says"
        yield f"{targets}: {len(own)} graphs, {taken} taken, {len(own) - taken} refused; {says}"
    yield from _not_asked(skipped)


def together_records(found: Iterable[Together]) -> list[dict[str, object]]:
    """One record a target: what became of its one graph."""
    return [
        {
            "target": str(one.capability),
            "layers": one.layers,
            "taken": one.taken,
            "message": one.message,
            "engine_bytes": one.engine_bytes,
            "seconds": one.seconds,
            "peak_mib": one.peak_mib,
        }
        for one in found
    ]


def together_in_words(found: Iterable[Together], skipped: Mapping[str, str]) -> Iterator[RenderableType]:
    """A line a target, and what could not be asked."""
    yield from map(str, found)
    yield from _not_asked(skipped)


def _not_asked(skipped: Mapping[str, str]) -> Iterator[str]:
    return (f"{backend} was not asked: {reason}" for backend, reason in skipped.items())


def _column(capability: Capability) -> str:
    if capability.sm is None:
        return capability.table.backend
    return f"{capability.sm // 10}.{capability.sm % 10}"


def _kinds(entry: Entry) -> str:
    return " and ".join(entry.kinds)


def _known(entry: Entry) -> str:
    if entry.source.kind is SourceKind.PROBED:
        return f"probed: {entry.source.what}"
    return f"documented: {entry.source.what}"
