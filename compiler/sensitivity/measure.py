"""The measurement itself, in a child process: calibrate, open the model, one layer after another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mixdq.compiler.sensitivity.code import MEASURING_CODE
from mixdq.compiler.sensitivity.finished import finished_table
from mixdq.compiler.sensitivity.header import Header
from mixdq.compiler.sensitivity.journal import Entry, Journal
from mixdq.compiler.sensitivity.order import SensitivityOrder
from mixdq.compiler.sensitivity.pace import expected_s, in_words
from mixdq.compiler.sensitivity.room import check_room
from mixdq.compiler.sensitivity.selection import select
from mixdq.compiler.sources import code_digest
from mixdq.compiler.torch_stages import CalibrationOrder, calibrate_layers, find_layers
from mixdq.compiler.worker import Report
from mixdq.configs.errors import EvaluationError, MixdqError, RequestError
from mixdq.configs.layers import LayerSpec, LayerTable
from mixdq.configs.ranges import RangeTable
from mixdq.configs.sensitivity import Metric, SensitivityTable, first_ten
from mixdq.configs.target import Dialect
from mixdq.export.one_step_size import prompts_at_once

if TYPE_CHECKING:
    from mixdq.export.sensitivity.meter import Meter


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run measured.

    Attributes:
        layers: the model's.
        entries: all that is measured by now, in the order of the layers.
        now: how many layers this run added.
        opening_s: seconds before the first of them: calibration, loading, full precision.
        header: how it was measured; None where nothing had to be.
        table: of all layers, which is written; None while some are missing, and where nothing had to be.
        finished: the file that held the asked table already; None otherwise.
    """

    layers: LayerTable
    entries: tuple[Entry, ...]
    now: int
    opening_s: float
    header: Header | None
    table: SensitivityTable | None
    finished: Path | None = None


def measure(report: Report, order: SensitivityOrder) -> Outcome:
    """Measures what is not in the journal yet; with all layers there, writes the table and drops the journal.

    A table that an earlier run finished is left as it is.

    Raises:
        EvaluationError: the journal or the table is another measurement's, or damaged.
        MachineError: another process is at work on the journal, or memory is too little.
        ModelError: values that are not finite.
        RequestError: a pattern that matches no layer.
        StorageError: the disk is full; what was measured is kept.
        TargetError: no such device.
    """
    begun = time.perf_counter()
    layers = find_layers(report, order.source, (order.resolution,))
    selected = select(layers, order.layers, order.sample)
    if finished_table(order, layers) is not None:
        return Outcome(layers, (), 0, time.perf_counter() - begun, None, None, order.out)
    with Journal.open(order.journal, restart=order.restart) as journal:
        header, ranges = _settle(report, order, layers, journal)
        left = [layer for layer in selected if layer.name not in journal.done]
        if left:
            _measure_layers(report, order, layers, ranges, header, journal, left, len(selected))
        entries = tuple(journal.done[layer.name] for layer in layers if layer.name in journal.done)
        table = None
        if len(entries) == len(layers):
            table = _table(order, layers, entries)
            table.write(order.out)
            journal.remove()
    now = [journal.done[layer.name].seconds for layer in left]
    opening_s = time.perf_counter() - begun - sum(now)
    return Outcome(layers, entries, len(left), opening_s, header, table)


def _settle(
    report: Report, order: SensitivityOrder, layers: LayerTable, journal: Journal
) -> tuple[Header, RangeTable]:
    """Everything that decides the figures, compared with what the journal was begun with, and the ranges."""
    import torch

    from mixdq.export.device import device_words, find_device

    device = find_device(order.device)
    if order.precision != "float32" and device == "cpu":
        raise RequestError(f"--precision {order.precision} is for GPUs; use float32 with --device cpu")
    kept = journal.header
    batch = order.batch or prompts_at_once(order.resolution, device, order.trials)

    def header(ranges_digest: str) -> Header:
        return Header(
            model=layers.model.name,
            model_digest=layers.model.digest,
            layers_digest=layers.digest,
            ranges_digest=ranges_digest,
            prompts=len(order.prompts),
            prompts_digest=order.measurement.prompts_digest,
            seed=order.seed,
            resolution=order.resolution,
            widths=order.widths,
            bos_aware=order.bos_aware,
            every_metric=order.every_metric,
            device=device_words(device),
            threads=torch.get_num_threads() if device == "cpu" else None,
            precision=order.precision,
            batch=min(batch, len(order.prompts)),
            compiled=order.compile_decoder,
            torch=torch.__version__,
            code=code_digest(*MEASURING_CODE),
        )

    if kept is not None:
        header(kept.ranges_digest).check(kept, str(journal.path))
        _check_names(journal, layers)
    report("reckoning the memory", 0, None)
    check_room(order, device, header("").batch)
    ranges = _ranges(report, order, layers, device, kept)
    ranges.check(layers)
    made = header(ranges.digest)
    journal.begin(made)
    return made, ranges


def _check_names(journal: Journal, layers: LayerTable) -> None:
    if unknown := set(journal.done) - set(layers.by_name):
        raise EvaluationError(
            f"{journal.path} is damaged: it holds {first_ten(unknown)}, which {layers.model.name} does not "
            "have; drop it with --restart"
        )


def _ranges(
    report: Report, order: SensitivityOrder, layers: LayerTable, device: str, kept: Header | None
) -> RangeTable:
    """The ranges given, or those that the journal was begun with, or new ones over the same prompts."""
    from mixdq.export.device import gpu_memory

    if order.ranges is not None:
        return order.ranges
    if kept is not None:
        with suppress(MixdqError):  # a missing or changed file is made again
            found = RangeTable.read(order.ranges_file)
            if found.digest == kept.ranges_digest:
                return found
    calibration = CalibrationOrder(order.source, order.prompts, order.seed, (order.resolution,), 1, device)
    with gpu_memory(
        "measure the ranges with `mixdq-compile calibrate` on the CPU, and give them with --ranges"
    ):
        ranges = calibrate_layers(report, calibration, layers)
    ranges.write(order.ranges_file)
    _free_gpu(device)
    return ranges


def _measure_layers(
    report: Report,
    order: SensitivityOrder,
    layers: LayerTable,
    ranges: RangeTable,
    header: Header,
    journal: Journal,
    left: Sequence[LayerSpec],
    total: int,
) -> None:
    import torch

    from mixdq.export.device import find_device, gpu_memory
    from mixdq.export.one_step import OneStep
    from mixdq.export.repeatable import repeatable
    from mixdq.export.sensitivity.meter import Meter, Question

    report("opening the model", 0, None)
    advice = f"use a smaller --batch than {header.batch} with --restart, or fewer widths"
    with repeatable(), gpu_memory(advice):
        run = OneStep(
            order.source,
            order.prompts,
            seed=order.seed,
            resolution=order.resolution,
            batch=header.batch,
            device=find_device(order.device),
            dtype=getattr(torch, order.precision),
            compile_decoder=order.compile_decoder,
        )
        question = Question(order.widths, order.bos_aware, order.every_metric, Dialect.ORT)
        _go_on(report, Meter(run, layers, ranges, question), layers, journal, left, total)


def _go_on(
    report: Report, meter: Meter, layers: LayerTable, journal: Journal, left: Sequence[LayerSpec], total: int
) -> None:
    """One layer after another, each in the journal before the next."""
    report("layers", total - len(left), total)
    pace = []
    for index, layer in enumerate(left):
        start = time.perf_counter()
        scores = meter.measure(layer)
        seconds = round(time.perf_counter() - start, 4)
        journal.add(Entry(layer.name, seconds, scores))
        pace.append((layer.group, seconds))
        still = expected_s(pace, [other.group for other in left[index + 1 :]])
        report(f"layers, {in_words(still)} left", total - len(left) + index + 1, total)


def _table(order: SensitivityOrder, layers: LayerTable, entries: Sequence[Entry]) -> SensitivityTable:
    scores = {
        operand: {
            metric: {
                entry.layer: entry.scores[operand][metric]
                for entry in entries
                if metric in entry.scores[operand]
            }
            for metric in Metric
        }
        for operand in order.widths
    }
    table = SensitivityTable(
        model=layers.model,
        layers_digest=layers.digest,
        measurement=order.measurement,
        widths=order.widths,
        scores=scores,
    )
    table.check(layers)
    return table


def _free_gpu(device: str) -> None:
    """Gives back what calibration left in torch's store of GPU memory."""
    if device == "cuda":
        import gc

        import torch

        gc.collect()
        torch.cuda.empty_cache()
