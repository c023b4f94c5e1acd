"""What quantizing the text embedding alone costs: a document, and a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from statistics import mean

from pydantic.dataclasses import dataclass
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.files import write_text


class TextEmbed(StrEnum):
    """How the text embedding is quantized, with one scale for all of it.

    `FP8`: E4M3, all tokens. `INT8`: asymmetric eight bits, all tokens. `BOS`: the same eight bits without
    token 0, which stays in floating point.
    """

    FP8 = "fp8"
    INT8 = "int8"
    BOS = "bos"


@dataclass(frozen=True, slots=True, config=STRICT)
class TextEmbedRow:
    """One way; each figure a prompt's, against full precision.

    Attributes:
        way: how.
        sqnr_db: of the UNet's output.
        psnr_db: of the picture.
        ssim: of the picture, with the whole of it as one window.
    """

    way: TextEmbed
    sqnr_db: tuple[float, ...]
    psnr_db: tuple[float, ...]
    ssim: tuple[float, ...]


@dataclass(frozen=True, slots=True, config=STRICT)
class TextEmbedReport:
    """Everything that was measured (`text-embed.json`)."""

    model_digest: str
    ranges_digest: str
    resolution: int
    prompts: tuple[str, ...]
    seed: int
    layers: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    rows: tuple[TextEmbedRow, ...]
    version: int = 1

    def write(self, path: Path) -> None:
        """Writes the JSON document."""
        write_text(path, to_json(self))

    def table(self) -> Table:
        """Means over the prompts, a row a way, the nearest to full precision first."""
        view = Table(
            *("text embedding", "SQNR dB", "PSNR dB", "SSIM"),
            box=SIMPLE_HEAD,
            title=f"text embedding of {self.layers} layers alone, {len(self.prompts)} prompts at "
            f"{self.resolution} pixels",
            title_justify="left",
        )
        for column in view.columns[1:]:
            column.justify = "right"
        for row in sorted(self.rows, key=lambda row: -mean(row.ssim)):
            figures = f"{mean(row.sqnr_db):.2f}", f"{mean(row.psnr_db):.2f}", f"{mean(row.ssim):.5f}"
            view.add_row(row.way, *figures)
        return view
