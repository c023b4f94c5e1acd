"""Times of bundles and of the reference, in fresh processes, into a table that can be continued."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from statistics import median

from mixdq.compiler.worker import Report, run_in_child
from mixdq.configs.errors import MachineError
from mixdq.configs.latency_table import LatencyRow, LatencyRun, LatencyTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.eval.speed.bundle_subject import BundleSubject
from mixdq.eval.speed.kernel_run import PROFILE, all_kernels, require_profile
from mixdq.eval.speed.latency_row import latency_row
from mixdq.eval.speed.latency_run import CaseTimes, Rounds, measure_case
from mixdq.eval.speed.measured_files import continued, here
from mixdq.eval.speed.out_of_memory import killed
from mixdq.eval.speed.subject import Case
from mixdq.eval.timing import Spread


def measure_latency(
    cases: Sequence[Case], rounds: Rounds, out: Path, report: Report, *, layers: bool
) -> LatencyTable:
    """Measures the cases in turns, again and again, every time in a fresh process.

    Processes of the same files differ by more than the runs of one do (where memory lies, what else the
    machine does at the time), so every case has several of them, far apart.

    A case is written when the last of its processes is measured; those that the table holds already, measured
    in the same way from the same files on this machine, are not measured again.

    Args:
        cases: what to measure.
        rounds: how often.
        out: the table's file; it may hold other cases, which are kept.
        report: told how far it is.
        layers: whether to measure the UNet's kernels, too, in the first process of each case alone.

    Raises:
        EvaluationError: the file was measured on another machine or with other versions; or a case's kernels
            can't be told apart by layers.
        MixdqError: a case can't be loaded or drawn.
    """
    table = continued(out, LatencyTable.read) or LatencyTable((), *here())
    for case in cases if layers else ():
        require_profile(case.subject)
    missing = [case for case in cases if not _is_in(table, case, rounds, layers)]
    times: list[list[CaseTimes]] = [[] for _ in missing]
    for process in range(rounds.processes):
        for case, seen in zip(missing, times, strict=True):
            place = f"{cases.index(case) + 1} of {len(cases)}"
            title = f"{place}, process {process + 1} of {rounds.processes}: {case.title}"
            seen.append(_measured(case, rounds, layers and not seen, title, report))
            if len(seen) == rounds.processes:
                digest = _digest(case, rounds)
                table = table.updated(_rows(case, seen, digest), {digest: _run(case, rounds)})
                table.write(out)
    return table


def _digest(case: Case, rounds: Rounds) -> str:
    return case.digest("latency", rounds.warmup, rounds.repeats, rounds.processes)


def _is_in(table: LatencyTable, case: Case, rounds: Rounds, layers: bool) -> bool:
    digest = _digest(case, rounds)
    done = [row for row in table.rows if row.run_digest == digest]
    return bool(done) and (not layers or any(row.kind == "layer" for row in done))


def _measured(case: Case, rounds: Rounds, layers: bool, title: str, report: Report) -> CaseTimes:
    def tell(phase: str, done: int, total: int | None) -> None:
        report(f"{title}: {phase}", done, total)

    try:
        return run_in_child(measure_case, case, rounds, layers, report=tell).value
    except MachineError as error:
        raise killed(error, case) from error


def _run(case: Case, rounds: Rounds) -> LatencyRun:
    return LatencyRun(
        prompt=case.drawing.prompt,
        seed=case.drawing.seed,
        warmup=rounds.warmup,
        repeats=rounds.repeats,
        model_digest=case.subject.label.model_digest,
        engines=case.subject.engines(case.resolution),
    )


def _rows(case: Case, processes: Sequence[CaseTimes], digest: str) -> list[LatencyRow]:
    whole = case.subject.label.precision
    rates = [times.sm_mhz for times in processes if times.sm_mhz is not None]
    sm_mhz = round(median(rates)) if rates else None
    rows = []
    for name, clock in processes[0].clocks.items():
        values = [times.stages[name] for times in processes]
        spread, medians = Spread.of(list(chain(*values))), [median(one) for one in values]
        rows.append(latency_row(case, digest, ("stage", name, whole), clock, spread, medians, sm_mhz))
    kernels = processes[0].kernels
    if kernels is not None:
        assert isinstance(case.subject, BundleSubject)
        plan = PrecisionPlan.read(case.subject.root / "plan.yaml")
        precisions = {str(name): str(precision) for name, precision in plan.layers.items()}
        rows += [
            latency_row(
                case, digest, (kind, name, precisions.get(name, whole)), PROFILE, spread, [spread.median]
            )
            for kind, name, spread in all_kernels(kernels)
        ]
    return rows
