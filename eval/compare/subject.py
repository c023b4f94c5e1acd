"""A bundle with everything that its UNet is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mixdq.compiler.saved_recipe import LAYERS_FILE, PLAN_FILE, RANGES_FILE, SavedRecipe
from mixdq.configs.bundle import Bundle, Component
from mixdq.configs.errors import BundleError, DigestError, RequestError
from mixdq.configs.layers import LayerTable
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect
from mixdq.eval.compare.planned import Planned
from mixdq.export.source import SourceModel, open_source


@dataclass(frozen=True, slots=True)
class Subject:
    """A bundle, its plan and its model, at one resolution.

    Attributes:
        root: the bundle's folder.
        bundle: what was built.
        source: the model that it was compiled from.
        table: the model's layers.
        plan: the bundle's plan.
        ranges: the bundle's ranges; None if it has none, because nothing is quantized.
        resolution: pixels.
    """

    root: Path
    bundle: Bundle
    source: SourceModel
    table: LayerTable
    plan: PrecisionPlan
    ranges: RangeTable | None
    resolution: int

    @property
    def quantizes(self) -> bool:
        """Whether the plan quantizes anything."""
        return any(precision.quantizes_weight for precision in self.plan.layers.values())

    def planned(self, dialect: Dialect) -> Planned:
        """What the bundle's graph of a dialect must hold."""
        return Planned(self.table, self.plan, self.ranges, dialect)

    def graphs(self) -> Mapping[Dialect, Path]:
        """The UNet's graph of each dialect that the bundle has.

        Raises:
            BundleError: it has none.
        """
        found = {}
        for dialect in Dialect:
            folder = self.root / "onnx" / dialect
            names = (f"{Component.UNET}-{self.resolution}.onnx", f"{Component.UNET}.onnx")
            paths = [folder / name for name in names if (folder / name).is_file()]
            if paths:
                found[dialect] = paths[0]
        if not found:
            raise BundleError(
                f"{self.root} holds no UNet graph for {self.resolution} pixels in onnx/; run "
                "`mixdq-compile run` again"
            )
        return found

    def skeleton(self) -> Path:
        """The exported UNet, from which full precision is computed.

        Raises:
            BundleError: it is gone.
        """
        path = self.root / SavedRecipe.read(self.root).work / "source" / f"{Component.UNET}.onnx"
        if not path.is_file():
            raise BundleError(
                f"{path} is gone, which full precision is computed from; run `mixdq-compile run` again"
            )
        return path


def open_subject(root: Path, model: str | None, resolution: int | None) -> Subject:
    """Reads a bundle and opens its model.

    Args:
        root: the bundle's folder.
        model: the model that it was compiled from; None for the one that its recipe names.
        resolution: pixels; None for the smallest of the bundle's.

    Raises:
        BundleError: no bundle there.
        DigestError: the bundle was compiled from another model, or its plan was changed.
        RequestError: a resolution that it was not built for.
        ModelError: the model is not there.
    """
    bundle = Bundle.read(root)
    choice = SavedRecipe.read(root).choice if model is None else ModelChoice(model)
    size = min(bundle.resolutions) if resolution is None else resolution
    if size not in bundle.resolutions:
        known = ", ".join(map(str, bundle.resolutions))
        raise RequestError(f"{root} was built for {known} pixels, not for {size}; choose one of them")
    source = open_source(choice)
    if source.identity.digest != bundle.model.digest:
        raise DigestError(
            f"{root} was compiled from {bundle.model.name} ({bundle.model.digest[:12]}), not from "
            f"{choice.model} ({source.identity.digest[:12]}); give --model the model that it came from"
        )
    table, plan = LayerTable.read(root / LAYERS_FILE), PrecisionPlan.read(root / PLAN_FILE)
    if plan.digest != bundle.plan_digest:
        raise DigestError(
            f"{root / PLAN_FILE} was changed after the bundle was built; run the compiler again"
        )
    path = root / RANGES_FILE
    ranges = RangeTable.read(path) if path.is_file() else None
    if ranges is not None:
        ranges.check(table)
    return Subject(root, bundle, source, table, plan, ranges, size)
