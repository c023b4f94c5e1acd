"""Plans judged in a child process, each once; what was judged before a stop is not judged again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mixdq.compiler.search.journal import Conditions, Journal, Judged
from mixdq.compiler.sensitivity.code import JUDGING_CODE
from mixdq.compiler.sensitivity.pace import in_words
from mixdq.compiler.sources import code_digest
from mixdq.compiler.torch_stages import CalibrationOrder, calibrate_layers
from mixdq.compiler.worker import Report
from mixdq.configs.errors import MixdqError, RequestError
from mixdq.configs.files import sha256_of_text
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect
from mixdq.export.judgement import Fidelity
from mixdq.export.one_step_size import prompts_at_once
from mixdq.export.source import SourceModel

LEAST_PROMPTS = 32
"""Fewer say too little about which of two plans is better (the paper's number)."""


@dataclass(frozen=True, slots=True)
class JudgeOrder:
    """On what plans are judged.

    Attributes:
        source: the checked model.
        table: its layers.
        ranges: of its activations; or what to measure them on.
        prompts: fixed for all plans.
        seed: prompt i starts from the noise of seed + i.
        resolution: pixels.
        dialect: of the quantizer.
        device: `cpu` or `cuda`; None for a GPU where there is one.
        batch: prompts at once; None for what suits device and resolution.
        out: the file that the figures go into; journal and ranges are kept beside it.
        restart: whether what an earlier run judged is dropped.
    """

    source: SourceModel
    table: LayerTable
    ranges: RangeTable | CalibrationOrder
    prompts: tuple[str, ...]
    seed: int
    resolution: int
    dialect: Dialect
    device: str | None
    batch: int | None
    out: Path
    restart: bool

    @property
    def journal(self) -> Path:
        """Where the figures of judged plans are kept."""
        return self.out.with_name(f"{self.out.name}.judged")

    @property
    def ranges_file(self) -> Path:
        """Where ranges that were measured for this order are kept."""
        return self.out.with_name(f"{self.out.stem}.ranges.json")


@dataclass(frozen=True, slots=True)
class Judgements:
    """What a run of the judge gave.

    Attributes:
        fidelities: by the plans' digests.
        conditions: under which.
        now: how many plans this run judged; the others had been judged before.
        opening_s: seconds before the first of them: calibration, loading, full precision.
        judging_s: seconds of those that were judged now.
    """

    fidelities: dict[str, Fidelity]
    conditions: Conditions
    now: int
    opening_s: float
    judging_s: float


def check_prompts(prompts: Sequence[str]) -> None:
    """Refuses too few prompts to choose by.

    Raises:
        RequestError: says how many are needed.
    """
    if len(prompts) < LEAST_PROMPTS:
        raise RequestError(
            f"plans are judged on at least {LEAST_PROMPTS} prompts, and {len(prompts)} were asked for: fewer "
            "don't tell two good plans apart; raise --prompt-count, or give a longer file with --prompts"
        )


def judge_plans(report: Report, order: JudgeOrder, plans: Sequence[PrecisionPlan]) -> Judgements:
    """Judges the plans that are not in the journal yet, each once.

    Raises:
        DigestError: a plan or ranges of another model.
        EvaluationError: the journal's plans were judged otherwise, or it is damaged.
        MachineError: another process is at work on the journal.
        ModelError: values that are not finite.
        StorageError: the disk is full; what was judged is kept.
        TargetError: no such device.
    """
    begun = time.perf_counter()
    distinct = {plan.digest: plan for plan in plans}
    for plan in distinct.values():
        plan.check(order.table)
    with Journal.open(order.journal, restart=order.restart) as journal:
        conditions, ranges = _settle(report, order, journal)
        left = {digest: plan for digest, plan in distinct.items() if digest not in journal.done}
        opened = time.perf_counter()
        if left:
            opened = _judge(report, order, conditions, ranges, journal, left, len(distinct))
        return Judgements(
            {digest: journal.done[digest] for digest in distinct},
            conditions,
            len(left),
            opened - begun,
            time.perf_counter() - opened,
        )


def _settle(report: Report, order: JudgeOrder, journal: Journal) -> tuple[Conditions, RangeTable]:
    """What decides the figures, compared with what the journal was begun with, and the ranges."""
    report("importing torch", 0, None)
    import torch

    from mixdq.export.device import device_words, find_device

    device = find_device(order.device)
    ranges = _ranges(report, order, device, journal.conditions)
    ranges.check(order.table)
    conditions = Conditions(
        model_digest=order.table.model.digest,
        layers_digest=order.table.digest,
        ranges_digest=ranges.digest,
        prompts=len(order.prompts),
        prompts_digest=sha256_of_text("\n".join(order.prompts)),
        seed=order.seed,
        resolution=order.resolution,
        dialect=order.dialect,
        device=device_words(device),
        threads=torch.get_num_threads() if device == "cpu" else None,
        batch=min(order.batch or prompts_at_once(order.resolution, device, 1), len(order.prompts)),
        torch=torch.__version__,
        code=code_digest(*JUDGING_CODE),
    )
    journal.begin(conditions)
    return conditions, ranges


def _ranges(report: Report, order: JudgeOrder, device: str, kept: Conditions | None) -> RangeTable:
    """The ranges given, or those that the journal was begun with, or new ones."""
    if isinstance(order.ranges, RangeTable):
        return order.ranges
    if kept is not None:
        with suppress(MixdqError):  # a missing or changed file is made again
            found = RangeTable.read(order.ranges_file)
            if found.digest == kept.ranges_digest:
                return found
    ranges = calibrate_layers(report, replace(order.ranges, device=device), order.table)
    ranges.write(order.ranges_file)
    return ranges


def _judge(
    report: Report,
    order: JudgeOrder,
    conditions: Conditions,
    ranges: RangeTable,
    journal: Journal,
    left: dict[str, PrecisionPlan],
    total: int,
) -> float:
    """Judges one plan after another, each in the journal before the next; when the first was begun."""
    from mixdq.export.device import find_device, gpu_memory
    from mixdq.export.judge import Judge
    from mixdq.export.one_step import OneStep
    from mixdq.export.repeatable import repeatable

    report("opening the model", 0, None)
    advice = f"what was judged is kept. Use a smaller --batch than {conditions.batch} with --restart"
    with gpu_memory(advice):
        with repeatable():
            run = OneStep(
                order.source,
                order.prompts,
                seed=order.seed,
                resolution=order.resolution,
                batch=conditions.batch,
                device=find_device(order.device),
            )
        judge = Judge(run, order.table, ranges, order.dialect)
        opened = time.perf_counter()
        before = total - len(left)
        report("plans judged", before, total)
        for number, (digest, plan) in enumerate(left.items(), start=1):
            journal.add(Judged(digest, judge.judge(plan)))
            still = (time.perf_counter() - opened) / number * (len(left) - number)
            report(f"plans judged, {in_words(still)} left", before + number, total)
    return opened
