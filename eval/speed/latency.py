"""Times of bundles and of the reference, one process a case, into a table that can be continued."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mixdq.compiler.worker import Report, run_in_child
from mixdq.configs.errors import MachineError
from mixdq.configs.latency_table import LatencyRow, LatencyTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.eval.speed.bundle_subject import BundleSubject
from mixdq.eval.speed.kernel_run import PROFILE, all_kernels, require_profile
from mixdq.eval.speed.latency_run import CaseTimes, Rounds, measure_case
from mixdq.eval.speed.measured_files import continued, here
from mixdq.eval.speed.out_of_memory import killed
from mixdq.eval.speed.subject import Case
from mixdq.eval.timing import Spread


def measure_latency(
    cases: Sequence[Case], rounds: Rounds, out: Path, report: Report, *, layers: bool
) -> LatencyTable:
    """Measures every case in turn, each in a process of its own.

    The table is written after each of them; those that it holds already, measured in the same way from the
    same files on this machine, are not measured again.

    Args:
        cases: what to measure.
        rounds: how often.
        out: the table's file; it may hold other cases, which are kept.
        report: told how far it is.
        layers: whether to measure the UNet's kernels, too.

    Raises:
        EvaluationError: the file was measured on another machine or with other versions; or a case's kernels
            can't be told apart by layers.
        MixdqError: a case can't be loaded or drawn.
    """
    table = continued(out, LatencyTable.read) or LatencyTable((), *here())
    for case in cases if layers else ():
        require_profile(case.subject)
    for place, case in enumerate(cases):
        digest = case.digest("latency", rounds.warmup, rounds.repeats)
        done = [row for row in table.rows if row.run_digest == digest]
        if done and (not layers or any(row.kind == "layer" for row in done)):
            continue

        def tell(phase: str, done: int, total: int | None, case: Case = case, place: int = place) -> None:
            report(f"{place + 1} of {len(cases)}: {case.title}: {phase}", done, total)

        try:
            times = run_in_child(measure_case, case, rounds, layers, report=tell).value
        except MachineError as error:
            raise killed(error, case) from error
        table = table.updated(_rows(case, times, digest))
        table.write(out)
    return table


def _rows(case: Case, times: CaseTimes, digest: str) -> list[LatencyRow]:
    rows = [
        _row(case, digest, ("stage", name, case.subject.label.precision), times.clocks[name], spread)
        for name, spread in times.stages.items()
    ]
    if times.kernels is not None:
        assert isinstance(case.subject, BundleSubject)
        plan = PrecisionPlan.read(case.subject.root / "plan.yaml")
        precisions = {str(name): str(precision) for name, precision in plan.layers.items()}
        whole = case.subject.label.precision
        rows += [
            _row(
                case,
                digest,
                (kind, name, precisions.get(name, whole)),
                PROFILE,
                spread,
            )
            for kind, name, spread in all_kernels(times.kernels)
        ]
    return rows


def _row(case: Case, digest: str, what: tuple[str, str, str], clock: str, spread: Spread) -> LatencyRow:
    label = case.subject.label
    kind, name, precision = what
    return LatencyRow(
        name=name,
        kind=kind,
        precision=precision,
        plan_digest=label.plan_digest,
        target=label.target,
        device=label.device,
        resolution=case.resolution,
        batch=case.batch,
        median_us=round(spread.median, 2),
        lower_quartile_us=round(spread.lower_quartile, 2),
        upper_quartile_us=round(spread.upper_quartile, 2),
        p95_us=round(spread.p95, 2),
        runs=spread.count,
        source=label.source,
        model=label.model,
        steps=case.drawing.steps,
        clock=clock,
        run_digest=digest,
    )
