"""What `mixdq-eval deployed` draws with what, of the options that say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.recipe import read_prompts
from mixdq.configs.capability import (
    BackendTable,
    Capability,
    capabilities_of,
    find_capability,
    shipped_capabilities,
)
from mixdq.configs.errors import BundleError, EvaluationError
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.presets import preset_for
from mixdq.configs.quantizing import Activations
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Backend
from mixdq.eval.compare.subject import Subject, open_subject
from mixdq.export.source import SourceModel


@dataclass(frozen=True, slots=True)
class DeployedOrder:
    """What is drawn with what.

    Attributes:
        source: the checked model.
        skeleton: its exported UNet, for one picture at once.
        table: its layers.
        ranges: its calibrated ranges.
        plans: the wishes, by name.
        activations: what INT8 of activations is about where zero points are refused.
        targets: to deploy for.
        prompts: one picture each.
        seed: prompt i starts from the noise of seed + i.
        resolution: pixels.

    Raises:
        EvaluationError: a plan was made legal for a target: it is no wish any more.
        PlanError: a plan of another model.
    """

    source: SourceModel
    skeleton: Path
    table: LayerTable
    ranges: RangeTable
    plans: Mapping[str, PrecisionPlan]
    activations: Activations
    targets: Sequence[Capability]
    prompts: Sequence[str]
    seed: int
    resolution: int

    def __post_init__(self) -> None:
        for name, plan in self.plans.items():
            plan.check(self.table)
            if plan.realization is not None:
                raise EvaluationError(
                    f"the plan {name} was made legal for {plan.realization.target}, so it no longer says "
                    "what was wished for; give the plan that it was made from"
                )


def open_order(
    root: Path,
    *,
    plans: Sequence[Path],
    targets: Sequence[str],
    activations: Activations,
    prompts: Path | None,
    prompt_count: int,
    seed: int,
    resolution: int | None,
    model: str | None,
) -> DeployedOrder:
    """Reads all that is drawn with.

    Args:
        root: a bundle's folder; its export is used again.
        plans: the wishes; none for the bundle's own.
        targets: `rtx:sm89`; none for all that are built and read graphs.
        activations: see `DeployedOrder`.
        prompts: a file, one a line; None for the preset's.
        prompt_count: how many of them.
        seed: of the first prompt's noise.
        resolution: one of the bundle's; None for the smallest.
        model: what the bundle was compiled from; None for what it names.

    Raises:
        BundleError: no bundle there, one without ranges, or for several pictures at once.
        EvaluationError: two plans of one name, one that was made legal for a target, or a target that reads
            no graphs.
        TargetError: no such target; names the nearest.
        MixdqError: what else is not there, or does not fit.
    """
    subject = open_subject(root, model, resolution)
    bundle = subject.bundle
    if bundle.batch != 1:
        raise BundleError(
            f"{root} was built for batch {bundle.batch}; give a bundle that was built for batch 1, whose "
            "export draws one picture at a time"
        )
    if subject.ranges is None:
        raise BundleError(
            f"{root} has no ranges, because nothing in it is quantized; give a quantized bundle"
        )
    file = prompts or preset_for(subject.source.identity.name).prompts_file
    return DeployedOrder(
        source=subject.source,
        skeleton=subject.skeleton(),
        table=subject.table,
        ranges=subject.ranges,
        plans=_plans(plans, subject),
        activations=activations,
        targets=[_drawable(find_capability(text)) for text in targets] or _drawable_targets(),
        prompts=read_prompts(file, prompt_count),
        seed=seed,
        resolution=subject.resolution,
    )


def _plans(files: Sequence[Path], subject: Subject) -> Mapping[str, PrecisionPlan]:
    if not files:
        return {"the bundle's": subject.plan}
    if len({file.stem for file in files}) < len(files):
        raise EvaluationError(
            "two plans have one name, by which the table tells them apart; rename one of "
            f"{', '.join(map(str, files))}"
        )
    return {file.stem: PrecisionPlan.read(file) for file in files}


def _drawable(target: Capability) -> Capability:
    if not _reads_graphs(target.table):
        raise EvaluationError(
            f"{target} reads no ONNX graph, which is what is drawn with here; compile a bundle for it, and "
            "compare its pictures (`mixdq-eval images`, `mixdq-eval quality`)"
        )
    return target


def _drawable_targets() -> list[Capability]:
    tables = [table for table in shipped_capabilities() if table.built and _reads_graphs(table)]
    return [target for table in tables for target in capabilities_of(table)]


def _reads_graphs(table: BackendTable) -> bool:
    """Whether engines are built from ONNX graphs; the CUDA back end compiles the model itself."""
    return table.backend != Backend.CUDA
