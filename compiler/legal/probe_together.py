"""Asks a builder for one engine of everything that its table calls legal, instead of one form at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.builders import build
from mixdq.compiler.legal.joint_graph import write_joint_graph
from mixdq.compiler.legal.probe import target_of
from mixdq.compiler.legal.probe_graphs import ProbeLayer
from mixdq.compiler.worker import Report, run_in_child
from mixdq.configs.capability import Capability
from mixdq.configs.errors import GraphError, MachineError
from mixdq.configs.form import Form
from mixdq.configs.target import Backend, Target

_PLAIN = BuildOptions(timing_cache=None, strip_weights=False)


@dataclass(frozen=True, slots=True)
class Together:
    """What became of one graph that holds each layer in each of its legal forms.

    Attributes:
        capability: the target.
        layers: how many it holds.
        message: why the builder refused it, or that it crashed; empty if it took it.
        engine_bytes: of the engine; None of a refused one, and where the graph itself is the engine.
        seconds: of writing the graph and building it; None if the builder crashed.
        peak_mib: the memory that this took; None likewise.
    """

    capability: Capability
    layers: int
    message: str
    engine_bytes: int | None
    seconds: float | None
    peak_mib: float | None

    @property
    def taken(self) -> bool:
        """Whether the builder took it."""
        return not self.message

    def __str__(self) -> str:
        graph = f"{self.capability}: one graph of {self.layers} layers"
        if not self.taken:
            return f"{graph} refused: {self.message}"
        size = "" if self.engine_bytes is None else f"; engine of {self.engine_bytes / 1e6:,.1f} MB"
        return f"{graph} taken{size}; {self.seconds:.1f} s, {self.peak_mib:,.0f} MiB"


def legal_parts(capability: Capability, layers: Sequence[ProbeLayer]) -> tuple[tuple[ProbeLayer, Form], ...]:
    """Each layer in each form that the shipped table calls legal, also those that mixdq can't write yet."""
    return tuple(
        (layer, form)
        for layer in layers
        for form in capability.forms(layer.kind, unwritten=True)
        if layer.fits(form)
    )


def probe_together(capability: Capability, layers: Sequence[ProbeLayer], report: Report) -> Together:
    """Builds one graph of all legal forms of layers, in a child process that may crash.

    Args:
        capability: as `probeable` gave it.
        layers: to try.
        report: told how far the builder is.
    """
    parts = legal_parts(capability, layers)
    try:
        done = run_in_child(try_together, target_of(capability), parts, report=report)
    except MachineError as error:
        return Together(capability, len(parts), str(error), None, None, None)
    message, size = done.value
    return Together(capability, len(parts), message, size, done.seconds, done.peak_mib)


def try_together(
    report: Report, target: Target, parts: Sequence[tuple[ProbeLayer, Form]]
) -> tuple[str, int | None]:
    """Why the builder that compiles bundles refuses one graph of all, empty if not; the engine's bytes."""
    report("writing", 0, None)
    with tempfile.TemporaryDirectory(prefix="mixdq-probe-") as folder:
        graph = write_joint_graph(parts, target.dialect.float_type, Path(folder) / "joint.onnx")
        engine = None if target.backend is Backend.CPU else graph.path.with_suffix(".engine")
        try:
            build(report, target, graph.path, engine, graph.inputs, graph.outputs, (), _PLAIN)
        except GraphError as error:
            return str(error), None
        return "", None if engine is None else engine.stat().st_size
