"""One role's layers at W8A8 and nothing else: what each type of layer does to the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass as values
from pathlib import Path

from mixdq.configs.documents import read_json, to_json
from mixdq.configs.errors import EvaluationError, StorageError
from mixdq.configs.files import write_text
from mixdq.configs.layers import LayerTable, Role
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect
from mixdq.eval.ablation.role_rows import ByRole, RoleRow, TextLayerRow
from mixdq.eval.ablation.text_layers import measure_text_layers
from mixdq.eval.quality.found import Watch
from mixdq.export.judge import Judge
from mixdq.export.one_step import OneStep
from mixdq.export.source import SourceModel

_BITS = 8
_BATCH = 8


def measure_by_role(
    source: SourceModel,
    table: LayerTable,
    ranges: RangeTable,
    prompts: Sequence[str],
    *,
    seed: int,
    resolution: int,
    header_digest: str,
    path: Path,
    watch: Watch,
) -> ByRole:
    """Judges each role alone; figures of an earlier run of the same model and prompts are read again.

    Args:
        source: the model.
        table: its layers.
        ranges: its calibrated ranges.
        prompts: what to draw.
        seed: of the first picture's noise.
        resolution: pixels.
        header_digest: of the ablation.
        path: the file of the figures.
        watch: told of the progress.

    Raises:
        MixdqError: a model or ranges that don't fit, or results that are not finite.
    """
    try:
        known = read_json(ByRole, path, EvaluationError)
    except (EvaluationError, StorageError):
        known = None
    wanted = (header_digest, ranges.digest, len(prompts))
    if known is not None and (known.header_digest, known.ranges_digest, known.prompts) == wanted:
        return known
    model = _Model(source, table, ranges, seed, resolution)
    made = ByRole(*wanted, model.judge_roles(prompts, watch), model.judge_text_layers(prompts, watch))
    write_text(path, to_json(made))
    return made


def role_plan(table: LayerTable, role: Role, *, bos_aware: bool) -> PrecisionPlan:
    """The layers of a role at W8A8, all others in floating point."""
    return PrecisionPlan(
        layers_digest=table.digest,
        model_digest=None,
        bos_aware=bos_aware,
        split_shortcuts=True,
        layers={layer.name: Precision(_BITS, _BITS) if layer.role is role else FP16 for layer in table},
    )


@values(frozen=True, slots=True)
class _Model:
    """What is judged, and how."""

    source: SourceModel
    table: LayerTable
    ranges: RangeTable
    seed: int
    resolution: int

    def judge_roles(self, prompts: Sequence[str], watch: Watch) -> tuple[RoleRow, ...]:
        judge = Judge(self._run(prompts), self.table, self.ranges, Dialect.ORT)
        roles = [role for role in Role if any(layer.role is role for layer in self.table)]
        report, rows = watch("roles, each alone"), []
        for role in roles:
            for bos_aware in (False, True):
                found = judge.judge(role_plan(self.table, role, bos_aware=bos_aware))
                count = sum(layer.role is role for layer in self.table)
                rows.append(RoleRow(role, bos_aware, count, found.sqnr_db, found.ssim, found.psnr_db))
                report(len(rows), 2 * len(roles))
        return tuple(rows)

    def judge_text_layers(self, prompts: Sequence[str], watch: Watch) -> tuple[TextLayerRow, ...]:
        run = self._run(prompts[:_BATCH])
        return measure_text_layers(run, self.table, self.ranges, watch("the text's layers, each alone"))

    def _run(self, prompts: Sequence[str]) -> OneStep:
        return OneStep(self.source, prompts, seed=self.seed, resolution=self.resolution, batch=_BATCH)
