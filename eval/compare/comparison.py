"""Does a bundle's UNet compute the same in every back end? Per output and per block, on the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.unet_run import run_exported
from mixdq.compiler.worker import Report, run_in_child
from mixdq.configs.bundle import Bundle, Component, FileRecord
from mixdq.configs.errors import MixdqError, TargetError
from mixdq.configs.files import sha256_of_file
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.configs.target import Backend, Dialect, Target
from mixdq.eval.compare.planned import Array
from mixdq.eval.compare.reference import Reference, measure_reference
from mixdq.eval.compare.report import RULE, CompareReport, RunFigures, Verdict
from mixdq.eval.compare.runs import UnetRun, run_engine, run_graph
from mixdq.eval.compare.subject import Subject
from mixdq.eval.compare.tolerance import BlockFigures, ratio_db
from mixdq.export.source import SUBFOLDERS
from mixdq.runtime.sizes import at_resolution

_PACKAGES = (
    "mixdq",
    "diffusers",
    "numpy",
    "onnxruntime",
    "polygraphy",
    "tensorrt",
    "tensorrt-rtx-cu13",
    "torch",
    "transformers",
)
_NO_RUNNER = (
    "Polygraphy has no runner for packages of the CUDA back end; `mixdq-eval cuda-agreement BUNDLE` compares "
    "them"
)
FULL, TORCH = "onnxruntime full", "torch full"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What ran and what it gave.

    Attributes:
        report: the figures.
        inputs: what every run was fed.
        outputs: by run, then by module path; those of the simulations beside them.
    """

    report: CompareReport
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Mapping[str, Array]]


def compare(subject: Subject, targets: Sequence[str], prompt: str, seed: int, report: Report) -> Comparison:
    """Runs the UNet in full precision, each graph in ONNX Runtime, and each engine that can run here.

    Each runs in a process of its own, one after another. Full precision and an FP16 graph of SDXL-Turbo's
    size take 13 GB of memory in ONNX Runtime; torch reads one layer at a time.

    Args:
        subject: the bundle.
        targets: which of its targets; empty for all.
        prompt: what to draw.
        seed: of the noise.
        report: told how far it is.

    Raises:
        TargetError: a target that the bundle was not built for, or none that Polygraphy runs.
        MixdqError: a graph can't be read or run.
    """
    wanted = _choose(subject.bundle, targets)
    _require_graphs(wanted)
    subject.skeleton()  # before long work
    asked = {target.dialect for target in wanted if target.backend is not Backend.CUDA}
    found = subject.graphs()
    graphs = {dialect: path for dialect, path in found.items() if not targets or dialect in asked}
    dialects = tuple(dialect for dialect in Dialect if dialect in graphs or dialect in asked)
    blocks = run_in_child(find_blocks, next(iter(found.values())), report=report).value
    reference: Reference = run_in_child(
        measure_reference, subject, dialects, blocks, prompt, seed, report=report
    ).value
    runner = _Runner(subject, reference, report)
    runs = [runner.full()]
    runs += [runner.graph(dialect, path) for dialect, path in graphs.items()]
    runs += [runner.engine(target) for target in wanted if target.backend is not Backend.CPU]
    simulated = {_simulation(dialect): found for dialect, found in reference.simulated.items()}
    figures = CompareReport(
        model=subject.bundle.model,
        plan=subject.bundle.plan_summary,
        plan_digest=subject.bundle.plan_digest,
        ranges_digest=subject.bundle.ranges_digest,
        resolution=subject.resolution,
        batch=subject.bundle.batch,
        prompt=prompt,
        seed=seed,
        rule=RULE,
        machine=describe_machine(),
        versions=installed_versions(*_PACKAGES),
        runs=tuple(runs),
        files={},
    )
    return Comparison(figures, reference.inputs, {TORCH: reference.full, **simulated, **runner.outputs})


def find_blocks(report: Report, graph: Path) -> tuple[str, ...]:
    """The module paths of a graph's blocks."""
    report("importing onnx", 0, None)
    from mixdq.compiler.unet_session import block_names, read_graph

    return block_names(read_graph(graph))


class _Runner:
    """Runs graphs and engines, judges what they give, and keeps it."""

    def __init__(self, subject: Subject, reference: Reference, report: Report) -> None:
        self._subject, self._reference, self._report = subject, reference, report
        self.outputs: dict[str, Mapping[str, Array]] = {}

    def full(self) -> RunFigures:
        """Full precision: the export with the model's weights, in FP32."""
        subject, reference = self._subject, self._reference
        weights = subject.source.weights[SUBFOLDERS[Component.UNET]]
        done = run_in_child(
            run_exported,
            subject.skeleton(),
            weights,
            subject.table,
            Dialect.ORT,
            reference.inputs,
            report=self._report,
        )
        self.outputs[FULL] = done.value
        figures = {
            name: BlockFigures(None, ratio_db(name, array, reference.full[name]), reference.full_bounds[name])
            for name, array in done.value.items()
        }
        return RunFigures(FULL, TORCH, verdict_of(figures, None), "", None, None, None, None, figures)

    def graph(self, dialect: Dialect, path: Path) -> RunFigures:
        """A graph of the bundle, in ONNX Runtime on the CPU."""
        run = run_in_child(run_graph, path, self._reference.inputs, report=self._report).value
        return self._judge(f"onnxruntime {dialect}", dialect, run, path)

    def engine(self, target: Target) -> RunFigures:
        """An engine of the bundle, on the GPU."""
        bundle, size = self._subject.bundle, self._subject.resolution
        record = bundle.find(Component.UNET, str(target), size)
        if target.backend is Backend.CUDA:
            return _without_outputs(target, record.file, Verdict.NOT_RUN, _NO_RUNNER)
        fixed = at_resolution(record, size, bundle.pipeline.downsampling)
        profile = bundle.resolutions.index(size)
        try:
            run = run_in_child(
                run_engine,
                self._subject.root,
                fixed,
                target,
                profile,
                self._reference.inputs,
                report=self._report,
            ).value
        except TargetError as error:
            return _without_outputs(target, record.file, Verdict.NOT_RUN, str(error))
        except MixdqError as error:
            return _without_outputs(target, record.file, Verdict.FAILED, str(error))
        except RuntimeError as error:  # a defect; the figures of the other runs are kept all the same
            reason = f"defect: {str(error).strip().splitlines()[-1]}"
            return _without_outputs(target, record.file, Verdict.FAILED, reason)
        return self._judge(str(target), target.dialect, run, self._subject.root / record.file.path)

    def _judge(self, name: str, dialect: Dialect, run: UnetRun, path: Path) -> RunFigures:
        full, simulated = self.outputs[FULL], self._reference.simulated[dialect]
        bounds = self._reference.bounds[dialect]
        self.outputs[name] = run.outputs
        figures = {
            block: BlockFigures(
                ratio_db(block, array, full[block]), ratio_db(block, array, simulated[block]), bounds[block]
            )
            for block, array in run.outputs.items()
        }
        relative = path.relative_to(self._subject.root).as_posix()
        as_built = self._as_built(relative)
        return RunFigures(
            name,
            _simulation(dialect),
            verdict_of(figures, as_built),
            "",
            relative,
            sha256_of_file(path),
            as_built,
            run.seconds,
            figures,
        )

    def _as_built(self, path: str) -> bool | None:
        for engine in self._subject.bundle.engines:
            if engine.file.path == path:
                return all(file.is_intact(self._subject.root) for file in (engine.file, *engine.weights))
        return None


def _simulation(dialect: Dialect) -> str:
    return f"torch {dialect}"


def _without_outputs(target: Target, file: FileRecord, verdict: Verdict, reason: str) -> RunFigures:
    simulation = _simulation(target.dialect)
    return RunFigures(str(target), simulation, verdict, reason, file.path, file.sha256, None, None, {})


def verdict_of(figures: Mapping[str, BlockFigures], as_built: bool | None) -> Verdict:
    """How a run ended that gave figures.

    Args:
        figures: of every output.
        as_built: whether its file is the one that the bundle records; None if it records none.
    """
    if not all(found.within for found in figures.values()):
        return Verdict.OUTSIDE
    return Verdict.CHANGED if as_built is False else Verdict.WITHIN


def _require_graphs(targets: Sequence[Target]) -> None:
    """Refuses targets none of which Polygraphy runs.

    Raises:
        TargetError: says what compares them.
    """
    if all(target.backend is Backend.CUDA for target in targets):
        raise TargetError(f"{', '.join(map(str, targets))}: {_NO_RUNNER}")


def _choose(bundle: Bundle, names: Sequence[str]) -> tuple[Target, ...]:
    built = sorted({engine.target for engine in bundle.engines}, key=lambda name: (name != "cpu", name))
    if unknown := [name for name in names if name not in built]:
        raise TargetError(
            f"the bundle was built for {', '.join(built)}, not for {unknown[0]}; choose one of them"
        )
    return tuple(Target.parse(name) for name in built if not names or name in names)
