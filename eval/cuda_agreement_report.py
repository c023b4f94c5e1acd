"""The CUDA back end's agreement with the simulation: a file for programs and a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median

from pydantic.dataclasses import dataclass
from rich.table import Table

from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.files import write_text
from mixdq.configs.layers import LayerName


@dataclass(frozen=True, slots=True, config=STRICT)
class Likeness:
    """How closely one way of computing follows the simulation in FP32, prompt by prompt, in decibels.

    Attributes:
        predictions: SQNR of the UNet's output; empty where only pictures are compared.
        pictures: PSNR of the pictures. But for those drawn from prompt to picture, all are decoded by the
            model's VAE in FP32, so that the UNet alone differs.
    """

    predictions: tuple[float, ...]
    pictures: tuple[float, ...]


@dataclass(frozen=True, slots=True, config=STRICT)
class CudaAgreement:
    """The agreement of a bundle's engines at one resolution.

    Attributes:
        model_digest: `ModelIdentity.digest`.
        plan_digest: `PrecisionPlan.digest`.
        target: whose engines: `cuda:sm90`.
        resolution: pixels.
        prompts: what was drawn.
        seed: of the first prompt's noise.
        machine: processor, GPU, system.
        versions: the packages that did the work.
        layers: SQNR of each quantized layer's output, fed the simulation's own input of the first prompt,
            in decibels, in the order in which they run.
        rows: by way of computing.
    """

    model_digest: str
    plan_digest: str
    target: str
    resolution: int
    prompts: tuple[str, ...]
    seed: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    layers: Mapping[LayerName, float]
    rows: Mapping[str, Likeness]

    def write(self, path: Path) -> None:
        """Writes the report as JSON."""
        write_text(path, to_json(self))

    def table(self) -> Table:
        """One row a way of computing."""
        view = Table(
            "against the simulation in FP32",
            "prediction dB: worst",
            "median",
            "picture dB: worst",
            "median",
            title=f"{self.target}, {self.resolution} pixels, {len(self.prompts)} prompts",
        )
        for words, found in self.rows.items():
            view.add_row(words, *_ends(found.predictions), *_ends(found.pictures))
        for column in view.columns[1:]:
            column.justify = "right"
        return view

    def lines(self) -> list[str]:
        """The layers in words."""
        worst = min(self.layers, key=lambda name: self.layers[name])
        return [
            f"{len(self.layers)} quantized layers, each fed the simulation's input: median "
            f"{median(self.layers.values()):.1f} dB, worst {self.layers[worst]:.1f} dB ({worst})"
        ]


def _ends(values: tuple[float, ...]) -> tuple[str, str]:
    return (f"{min(values):.1f}", f"{median(values):.1f}") if values else ("", "")
