"""A bundle's agreement with the simulation of its plan: a file for programs and a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic.dataclasses import dataclass
from rich.table import Table

from mixdq.configs.bundle import Bundle
from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.errors import BundleError, DigestError
from mixdq.configs.files import write_text
from mixdq.configs.layers import LayerTable
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.plan import PrecisionPlan
from mixdq.configs.ranges import RangeTable
from mixdq.configs.target import Dialect
from mixdq.eval.agreement import Agreement, measure_agreement
from mixdq.export.source import open_source


@dataclass(frozen=True, slots=True, config=STRICT)
class AgreementReport:
    """The agreement of each of a bundle's UNet graphs at one resolution.

    Attributes:
        model_digest: `ModelIdentity.digest`.
        plan_digest: `PrecisionPlan.digest`.
        resolution: pixels.
        prompt: what was drawn.
        seed: of the noise.
        dialects: the figures by the form of the graph.
    """

    model_digest: str
    plan_digest: str
    resolution: int
    prompt: str
    seed: int
    dialects: Mapping[Dialect, Agreement]

    def write(self, path: Path) -> None:
        """Writes the report as JSON."""
        write_text(path, to_json(self))

    def table(self) -> Table:
        """One row a graph."""
        view = Table(
            "graph",
            "layers",
            "worst layer dB",
            "median layer dB",
            "eps dB",
            "spread dB",
            "picture dB",
            "spread dB",
            title=f"graph against simulation, {self.resolution} pixels, {self.prompt!r}, seed {self.seed}",
        )
        for dialect, found in self.dialects.items():
            layers = list(found.layers.values())
            view.add_row(
                dialect,
                str(len(layers)),
                f"{min(layers):.1f}",
                f"{float(np.median(layers)):.1f}",
                *(f"{value:.1f}" for value in (found.noise_prediction, found.kernel_spread)),
                *(f"{value:.1f}" for value in (found.image, found.image_spread)),
            )
        for column in view.columns[1:]:
            column.justify = "right"
        return view


def measure_bundle(root: Path, model: str, *, resolution: int, prompt: str, seed: int) -> AgreementReport:
    """Compares every UNet graph of a bundle with the torch simulation of the bundle's plan.

    Args:
        root: the bundle's folder.
        model: the model that it was compiled from.
        resolution: pixels; one of the bundle's.
        prompt: what to draw.
        seed: of the noise.

    Raises:
        BundleError: no bundle there, nothing quantized, another resolution, or a batch other than 1.
        DigestError: the bundle was compiled from another model.
    """
    bundle, source = Bundle.read(root), open_source(ModelChoice(model))
    if source.identity.digest != bundle.model.digest:
        raise DigestError(
            f"{root} was compiled from {bundle.model.name} ({bundle.model.digest[:12]}), not from {model} "
            f"({source.identity.digest[:12]}); give --model the model that it came from"
        )
    if resolution not in bundle.resolutions or bundle.batch != 1:
        raise BundleError(
            f"{root} was built for {', '.join(map(str, bundle.resolutions))} pixels, batch {bundle.batch}; "
            "agreement is measured at one of its resolutions, on a bundle with batch 1"
        )
    plan = PrecisionPlan.read(root / "plan.yaml")
    if not any(precision.quantizes_weight for precision in plan.layers.values()):
        raise BundleError(
            f"{root} holds no quantized layer: there is nothing to compare; give a quantized bundle"
        )
    graphs = {dialect: root / "onnx" / dialect / f"unet-{resolution}.onnx" for dialect in Dialect}
    return AgreementReport(
        model_digest=bundle.model.digest,
        plan_digest=bundle.plan_digest,
        resolution=resolution,
        prompt=prompt,
        seed=seed,
        dialects={
            dialect: measure_agreement(
                source,
                graph,
                table=LayerTable.read(root / "layers.json"),
                plan=plan,
                ranges=RangeTable.read(root / "ranges.json"),
                dialect=dialect,
                resolution=resolution,
                prompt=prompt,
                seed=seed,
            )
            for dialect, graph in graphs.items()
            if graph.is_file()
        },
    )
