"""A bundle's agreement with the simulation of its plan: a file for programs and a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic.dataclasses import dataclass
from rich.table import Table

from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.errors import BundleError
from mixdq.configs.files import write_text
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.configs.target import Dialect
from mixdq.eval.agreement import Agreement, measure_agreement
from mixdq.eval.compare.subject import open_subject

_PACKAGES = ("mixdq", "diffusers", "numpy", "onnx", "onnxruntime", "torch")


@dataclass(frozen=True, slots=True, config=STRICT)
class AgreementReport:
    """The agreement of each of a bundle's UNet graphs at one resolution.

    Attributes:
        model_digest: `ModelIdentity.digest`.
        plan_digest: `PrecisionPlan.digest`.
        resolution: pixels.
        prompt: what was drawn.
        seed: of the noise.
        machine: processor, GPU, system.
        versions: the packages that did the work.
        dialects: the figures by the form of the graph.
    """

    model_digest: str
    plan_digest: str
    resolution: int
    prompt: str
    seed: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]
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
        BundleError: no bundle there, nothing quantized, or a batch other than 1.
        RequestError: another resolution than the bundle's.
        DigestError: the bundle was compiled from another model.
    """
    subject = open_subject(root, model, resolution)
    bundle = subject.bundle
    if bundle.batch != 1:
        raise BundleError(
            f"{root} was built for batch {bundle.batch}; agreement is measured on a bundle with batch 1"
        )
    ranges = subject.ranges
    if not subject.quantizes or ranges is None:
        raise BundleError(
            f"{root} holds no quantized layer: there is nothing to compare; give a quantized bundle"
        )
    return AgreementReport(
        model_digest=bundle.model.digest,
        plan_digest=bundle.plan_digest,
        resolution=resolution,
        prompt=prompt,
        seed=seed,
        machine=describe_machine(),
        versions=installed_versions(*_PACKAGES),
        dialects={
            dialect: measure_agreement(
                subject.source,
                graph,
                table=subject.table,
                plan=subject.plan,
                ranges=ranges,
                dialect=dialect,
                resolution=resolution,
                prompt=prompt,
                seed=seed,
            )
            for dialect, graph in subject.graphs().items()
        },
    )
