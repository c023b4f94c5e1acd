"""Asks a builder about every entry of its table: does it take a graph of one such layer?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.build_options import BuildOptions
from mixdq.compiler.builders import require_builder
from mixdq.compiler.legal.probe_graphs import ProbeLayer, probe_graph
from mixdq.compiler.ort_builder import check_onnxruntime
from mixdq.compiler.tensorrt_builder import build_tensorrt
from mixdq.compiler.worker import Call, Finished, Report, Worker
from mixdq.configs.bundle import TensorSpec
from mixdq.configs.capability import BackendTable, Capability, Entry
from mixdq.configs.errors import GraphError, MachineError, TargetError
from mixdq.configs.form import Form
from mixdq.configs.gpu import find_gpu
from mixdq.configs.target import Backend, Target

_PLAIN = BuildOptions(timing_cache=None, strip_weights=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a builder said of one form of one layer.

    Attributes:
        capability: the target.
        layer: what was multiplied.
        entry: of the shipped table.
        taken: whether the builder took it.
        message: why not, in the builder's words, or that it crashed.
    """

    capability: Capability
    layer: ProbeLayer
    entry: Entry
    taken: bool
    message: str

    @property
    def differs(self) -> bool:
        """Whether the shipped table says something else."""
        return self.taken != self.entry.takes(self.capability.sm)

    def __str__(self) -> str:
        found = "takes it" if self.taken else f"refuses it: {self.message}"
        shipped = "legal" if self.entry.takes(self.capability.sm) else "refused"
        return f"{self.capability} {self.entry.form} {self.layer}: shipped as {shipped}, the builder {found}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a child found out: the builder's name, or why it refused."""

    taken: bool
    said: str


def probeable(table: BackendTable, sm: int | None) -> tuple[Capability, ...]:
    """The targets of a back end that can be asked on this machine.

    Args:
        table: the back end's.
        sm: one compute capability alone; None for all.

    Raises:
        TargetError: the back end is not built or reads no graphs, its builder is not installed, or it builds
            for this machine's GPU alone, which is none or another.
    """
    if not table.built or table.backend == Backend.CUDA:
        what = "read no graphs" if table.built else "are planned and not built"
        raise TargetError(f"{table.product} {what}, so there is nothing to ask")
    wanted: tuple[int | None, ...] = (sm,) if sm is not None else table.capabilities or (None,)
    found = tuple(Capability(table, one) for one in wanted)
    require_builder(target_of(found[0]))
    if table.backend == Backend.TENSORRT:
        gpu = find_gpu()
        found = tuple(one for one in found if gpu is not None and one.sm == gpu.sm)
        if not found:
            has = "none" if gpu is None else f"{gpu.name} (sm{gpu.sm})"
            raise TargetError(f"{table.product} builds for this machine's GPU alone, which is {has}")
    return found


def probe(
    capabilities: Sequence[Capability], layers: Sequence[ProbeLayer], report: Report, *, refused: bool = True
) -> Iterator[Finding]:
    """Builds a graph for each entry and layer of each target, in a child process that may crash.

    Args:
        capabilities: as `probeable` gave them.
        layers: to try; each with the entries of its kind whose blocks divide its inputs.
        report: told how many graphs are done.
        refused: whether to try what the shipped table refuses too. A form is legal if all sizes are taken,
            so layers of single sizes may be taken in a form that is refused.
    """
    asked = [
        (capability, layer, entry)
        for capability in capabilities
        for entry in capability.table.entries
        for layer in layers
        if layer.kind in entry.kinds and layer.fits(entry.form) and (refused or entry.takes(capability.sm))
    ]
    worker = Worker()
    try:
        for number, (capability, layer, entry) in enumerate(asked):
            report(str(capability), number, len(asked))
            worker.submit(Call(try_graph, (target_of(capability), layer, entry.form)))
            try:
                verdict = _answer(worker)
            except MachineError as error:
                worker.stop()
                worker = Worker()
                verdict = Verdict(False, str(error))
            yield Finding(capability, layer, entry, verdict.taken, "" if verdict.taken else verdict.said)
    finally:
        worker.stop()


def try_graph(report: Report, target: Target, layer: ProbeLayer, form: Form) -> Verdict:
    """Builds one layer with the builder that compiles bundles."""
    floating = target.dialect.float_type
    with tempfile.TemporaryDirectory(prefix="mixdq-probe-") as folder:
        graph = Path(folder) / "probe.onnx"
        graph.write_bytes(probe_graph(layer, form, floating).SerializeToString())
        ends = [TensorSpec(name, floating, sizes) for name, sizes in zip("xy", layer.tensors, strict=True)]
        try:
            if target.backend is Backend.CPU:
                built = check_onnxruntime(report, graph, ends[:1], ends[1:])
            else:
                engine = graph.with_suffix(".engine")
                built = build_tensorrt(report, target, graph, engine, ends[:1], (), _PLAIN)
        except GraphError as error:
            return Verdict(False, str(error))
    return Verdict(True, built.builder)


def target_of(capability: Capability) -> Target:
    """What a builder builds for; TensorRT for this machine's GPU."""
    backend = Backend(capability.table.backend)
    return Target(backend, None if backend is Backend.TENSORRT else capability.sm)


def _answer(worker: Worker) -> Verdict:
    while True:
        message = worker.receive()
        if isinstance(message, Finished):
            assert isinstance(message.value, Verdict)
            return message.value
