"""Does a bundle run on this machine? Every target of it, at every resolution, measured and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.worker import Report, run_in_child
from mixdq.configs.bundle import BUNDLE_FILE, Bundle
from mixdq.configs.errors import MixdqError, TargetError
from mixdq.configs.files import sha256_of_file
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.configs.target import Backend, Target
from mixdq.eval.selftest_report import (
    Outcome,
    SelftestReport,
    TargetFigures,
    TargetResult,
)
from mixdq.eval.selftest_run import Place, compare_engines, engine_figures, picture_figures, run_target
from mixdq.runtime.engine import Array

_PACKAGES = ("mixdq", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx-cu13", "cuda-bindings")
_HOST = ("cpu", "cpu")


@dataclass(frozen=True, slots=True)
class Drawing:
    """What every target draws: the prompt, the noise, and how often it is measured."""

    prompt: str
    seed: int
    rounds: int


def selftest(root: Path, targets: Sequence[str], drawing: Drawing, report: Report) -> SelftestReport:
    """Runs every target of a bundle that this machine can execute.

    Each runs in a process of its own: its memory is measured, and a crash is a failed target and no more.

    Args:
        root: the bundle's folder.
        targets: which of its targets; empty for all.
        drawing: what to draw.
        report: told how far it is.

    Raises:
        BundleError: no bundle there.
        TargetError: a target that the bundle was not built for, or none that can be executed here.
    """
    bundle = Bundle.read(root)
    built = sorted({engine.target for engine in bundle.engines}, key=lambda name: (name != "cpu", name))
    for name in targets:
        Target.parse(name)
        if name not in built:
            raise TargetError(f"{root} was built for {', '.join(built)}, not for {name}; choose one of them")
    tester = _Tester(root, drawing, report, comparable="cpu" in built)
    results = [tester.test(*run) for run in _runs([name for name in built if not targets or name in targets])]
    if all(result.outcome is Outcome.NOT_RUN for result in results):
        reasons = "; ".join(f"{result.name}: {result.reason}" for result in results)
        raise TargetError(f"nothing of {root} can be executed on this machine: {reasons}")
    return SelftestReport(
        model=bundle.model.name,
        model_digest=bundle.model.digest,
        plan=bundle.plan_summary,
        plan_digest=bundle.plan_digest,
        bundle_sha256=sha256_of_file(root / BUNDLE_FILE),
        prompt=drawing.prompt,
        seed=drawing.seed,
        rounds=drawing.rounds,
        machine=describe_machine(),
        versions=installed_versions(*_PACKAGES),
        results=tuple(results),
    )


def _runs(targets: Sequence[str]) -> list[tuple[str, str]]:
    """Targets and devices; ONNX Runtime's graphs run on both, on the CPU first: the others are compared."""
    runs = []
    for target in targets:
        on_cpu = Target.parse(target).backend is Backend.CPU
        runs += [(target, "cpu"), (target, "cuda")] if on_cpu else [(target, "cuda")]
    return runs


class _Tester:
    """Tests one target after another; keeps ONNX Runtime's pictures for those that follow."""

    def __init__(self, root: Path, drawing: Drawing, report: Report, *, comparable: bool) -> None:
        self._root, self._drawing, self._report, self._comparable = root, drawing, report, comparable
        self._references: Mapping[int, Array] = {}

    def test(self, target: str, device: str) -> TargetResult:
        try:
            figures = self._measure(target, device)
        except TargetError as error:
            return TargetResult(target, device, Outcome.NOT_RUN, str(error), None)
        except MixdqError as error:
            return TargetResult(target, device, Outcome.FAILED, str(error), None)
        except RuntimeError as error:  # a defect; the other targets are tested all the same
            reason = str(error).strip().splitlines()[-1]
            return TargetResult(target, device, Outcome.FAILED, f"defect: {reason}", None)
        faults = figures.faults()
        return TargetResult(target, device, Outcome.FAILED if faults else Outcome.PASSED, faults, figures)

    def _measure(self, target: str, device: str) -> TargetFigures:
        what = (target, device, self._drawing.prompt, self._drawing.seed, self._drawing.rounds)
        done = run_in_child(run_target, self._root, *what, report=self._report)
        agreement: Mapping[Place, float] = {}
        references = self._references
        if (target, device) == _HOST:
            self._references = done.value.pictures
        elif self._comparable:
            compared = run_in_child(compare_engines, self._root, done.value.seen, report=self._report)
            agreement = compared.value
        return TargetFigures(
            files=done.value.files,
            engines=engine_figures(done.value, agreement),
            pictures=picture_figures(done.value, references),
            host_mib=done.peak_mib,
            gpu_mib=done.value.gpu_mib,
        )
