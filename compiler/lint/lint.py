"""`lint`: are the final graphs of a bundle as they must be to run fast and draw well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.lint.bundle_graphs import bundle_subjects, read_planned
from mixdq.compiler.lint.engine_layers import engine_layers
from mixdq.compiler.lint.finding import EngineLayers, Finding, Severity
from mixdq.compiler.lint.rules import findings
from mixdq.configs.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Located:
    """A finding and the graphs or engines that show it."""

    finding: Finding
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LintReport:
    """What the rules found in a bundle.

    Attributes:
        graphs: the graphs that were read.
        engines: of every engine, what is known of its layers.
        findings: failures before notes, else in the order of the rules.
    """

    graphs: tuple[str, ...]
    engines: tuple[EngineLayers, ...]
    findings: tuple[Located, ...]

    @property
    def fails(self) -> bool:
        """Whether a finding is more than a note."""
        return any(located.finding.severity is Severity.FAILURE for located in self.findings)


def lint(root: Path, *, kernels: bool) -> LintReport:
    """Applies all rules to a bundle's graphs, and compares its engines' layers where they can be had.

    Args:
        root: the bundle's folder.
        kernels: open ONNX Runtime's engines too.

    Raises:
        BundleError: no bundle there, of another version, or incomplete.
        DigestError: a file is not the one that was built.
        GraphError: a graph is no ONNX.
    """
    bundle = Bundle.read(root)
    found: dict[Finding, list[str]] = {}
    graphs = []
    planned = read_planned(root, bundle)
    for subject in bundle_subjects(root, bundle, planned):
        graphs.append(subject.name)
        for finding in findings(subject):
            found.setdefault(finding, []).append(subject.name)
    engines = engine_layers(root, bundle, planned, kernels=kernels)
    for engine in engines:
        for finding in engine.findings:
            found.setdefault(finding, []).append(engine.engine)
    located = [Located(finding, tuple(dict.fromkeys(places))) for finding, places in found.items()]
    located.sort(key=lambda each: each.finding.severity is Severity.NOTE)
    return LintReport(tuple(graphs), engines, tuple(located))
