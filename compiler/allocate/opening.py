"""What is allocated, of the files and words that say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mixdq.compiler.allocate.protection import protected_layers
from mixdq.compiler.allocate.subject import Subject
from mixdq.compiler.allocate.words import parse_widths, read_sensitivities
from mixdq.configs.errors import PlanError
from mixdq.configs.layers import Group, LayerTable
from mixdq.configs.mixdq_format.protected import read_protected
from mixdq.configs.sensitivity import Metric, Objective, first_ten


def open_subject(
    table: LayerTable,
    sensitivity: Sequence[Path],
    widths: Sequence[str],
    metrics: Mapping[Group, Metric],
    protect: float | Path,
    resolution: int,
    objective: Objective,
) -> Subject:
    """A model's layers with their sensitivities.

    Args:
        table: the layers.
        sensitivity: one table of mixdq's, or MixDQ's files.
        widths: of single programmes, `quality.weight=2,4,8`; the paper's of the others.
        metrics: what decides in each group.
        protect: share of each group's activations that stays FP16, or MixDQ's file of such layers.
        resolution: pixels at which activations are counted.
        objective: what is added up.

    Raises:
        PlanError: a malformed or incomplete table, widths that were not measured, unknown layers.
        DigestError: a table of another model.
    """
    scores = read_sensitivities(sensitivity, table)
    if isinstance(protect, Path):
        names = read_protected(protect)
        if unknown := set(names) - set(table.by_name):
            raise PlanError(
                f"{protect} names {first_ten(unknown)}, which {table.model.name} does not have; "
                "it belongs to another model"
            )
    else:
        names = protected_layers(table, scores, protect, metrics)
    return Subject(
        table, scores, metrics, parse_widths(widths), resolution, frozenset(names), objective=objective
    )
