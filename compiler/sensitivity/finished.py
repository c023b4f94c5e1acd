"""The table that an earlier run finished: what was measured is not measured again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from mixdq.compiler.sensitivity.order import SensitivityOrder
from mixdq.configs.errors import DigestError, EvaluationError, PlanError
from mixdq.configs.layers import LayerTable
from mixdq.configs.sensitivity import Metric, Operand, SensitivityTable


def finished_table(order: SensitivityOrder, layers: LayerTable) -> SensitivityTable | None:
    """What an order's file holds, if it is what the order asks for; None where there is something to measure.

    That is so without a file, with `restart`, and while a journal beside the file is to be gone on with. How
    a table was computed (device, precision, ranges, batch) is not written in it, and not compared.

    Raises:
        EvaluationError: the file is no table, or one of another model or measurement.
        StorageError: it can't be read.
    """
    if order.restart or order.journal.exists() or not order.out.exists():
        return None
    try:
        table = SensitivityTable.read(order.out)
        table.check(layers)
    except (PlanError, DigestError) as error:
        raise EvaluationError(
            f"{order.out} is there and is no table of this model ({error}); give another --out, or write "
            "over it with --restart"
        ) from error
    if changes := _changes(order, table, layers):
        raise EvaluationError(
            f"{order.out} holds another measurement ({'; '.join(changes)}); give another --out, or write "
            "over it with --restart"
        )
    return table


def _changes(order: SensitivityOrder, table: SensitivityTable, layers: LayerTable) -> list[str]:
    changes = []
    asked = order.measurement
    if table.measurement is None:
        changes.append("of unknown prompts")
    else:
        changes += [
            f"{field.name.replace('_', ' ')} {str(old)[:12]}, now {str(new)[:12]}"
            for field in fields(asked)
            if (old := getattr(table.measurement, field.name)) != (new := getattr(asked, field.name))
        ]
    if dict(table.widths) != dict(order.widths):
        changes.append(f"widths {_words(table.widths)}, now {_words(order.widths)}")
    elif order.every_metric and not _has_every_metric(table, layers):
        changes.append("every metric False, now True")
    return changes


def _has_every_metric(table: SensitivityTable, layers: LayerTable) -> bool:
    return all(
        table.scores[operand].get(metric, {}).keys() >= layers.by_name.keys()
        for operand in table.widths
        for metric in Metric
    )


def _words(widths: Mapping[Operand, tuple[int, ...]]) -> str:
    return ", ".join(f"{operand} {'/'.join(map(str, bits))}" for operand, bits in widths.items())
