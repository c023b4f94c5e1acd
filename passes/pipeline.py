"""The passes in their order."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, RemoveUnusedNodesPass

from mixdq.configs.clipping import Rounder, nearest_even
from mixdq.configs.errors import MixdqError
from mixdq.configs.layers import LayerTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect
from mixdq.passes.center_activations import CenterActivationsPass
from mixdq.passes.check_form import CheckFormPass
from mixdq.passes.insert_qdq import InsertQdqPass
from mixdq.passes.mend_concat import MendConcatPass
from mixdq.passes.name_blocks import NameBlocksPass
from mixdq.passes.name_layers import NameLayersPass
from mixdq.passes.precompute_bos import PrecomputeBosPass
from mixdq.passes.specialize_shapes import SpecializeShapesPass
from mixdq.passes.split_shortcuts import SplitShortcutsPass
from mixdq.passes.widen_float import WidenFloatPass


def unet_pipeline(
    plan: PrecisionPlan,
    table: LayerTable,
    ranges: RangeTable | None,
    dialect: Dialect,
    rounder: Rounder = nearest_even,
) -> ir.passes.Sequential:
    """The exported UNet to the planned one; sizes stay symbolic.

    Args:
        plan: one precision a layer.
        table: the model's layers.
        ranges: calibrated ranges; may be None if the plan quantizes nothing.
        dialect: the form of graph that the target reads.
        rounder: chooses the integers of the weights.
    """
    steps: list[ir.passes.PassBase] = [
        MendConcatPass(),
        NameLayersPass(table),
        NameBlocksPass(),
        *_plain(dialect),
    ]
    if ranges is not None:
        steps += [
            PrecomputeBosPass(plan, table, ranges),
            SplitShortcutsPass(plan, table),
            InsertQdqPass(plan, table, ranges, dialect, rounder),
        ]
        if dialect.symmetric:
            steps.append(CenterActivationsPass(plan, table))
    return ir.passes.Sequential(*steps, CheckFormPass(plan, table, dialect))


def component_pipeline(dialect: Dialect) -> ir.passes.Sequential:
    """Any other component, which stays in floating point."""
    return ir.passes.Sequential(*_plain(dialect))


def resolution_pipeline(sizes: dict[str, tuple[int, ...]]) -> ir.passes.Sequential:
    """A graph with symbolic sizes to one resolution.

    Args:
        sizes: the whole shape of each input that has symbolic sizes.
    """
    return ir.passes.Sequential(SpecializeShapesPass(sizes), RemoveUnusedNodesPass())


def apply(pipeline: ir.passes.Sequential, model: ir.Model) -> None:
    """Runs a pipeline on a model, in place.

    Raises:
        MixdqError: what a pass raised, without onnx_ir's wrapping.
    """
    try:
        pipeline(model)
    except ir.passes.PassError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, MixdqError):
            cause = cause.__cause__
        if cause is None:
            raise
        raise cause from error


def _plain(dialect: Dialect) -> list[ir.passes.PassBase]:
    widen: list[ir.passes.PassBase] = [WidenFloatPass()] if dialect is Dialect.ORT else []
    return [ClearMetadataAndDocStringPass(), *widen]
