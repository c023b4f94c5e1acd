"""What the demo measured: a file for programs and a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic.dataclasses import dataclass
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mixdq.configs.documents import STRICT, to_json
from mixdq.configs.files import write_text
from mixdq.eval.timing import Timing

_MB = 1e6


@dataclass(frozen=True, slots=True, config=STRICT)
class Similarity:
    """Likeness to the full-precision pictures of the same prompts and seeds, one value a prompt."""

    psnr_db: tuple[float, ...]
    ssim: tuple[float, ...]

    @property
    def mean_psnr_db(self) -> float:
        """Mean over the prompts."""
        return sum(self.psnr_db) / len(self.psnr_db)

    @property
    def mean_ssim(self) -> float:
        """Mean over the prompts."""
        return sum(self.ssim) / len(self.ssim)


@dataclass(frozen=True, slots=True, config=STRICT)
class Row:
    """One bundle at one resolution.

    Attributes:
        resolution: pixels of each side.
        variant: which bundle: `W8A8, MixDQ`.
        unet: one UNet call in ONNX Runtime.
        picture: one whole picture, text encoders and VAE included, in ONNX Runtime.
        onnx_bytes: the UNet's graph and weights for ONNX Runtime; resolutions may share the weights.
        rtx_bytes: the UNet's engine for TensorRT for RTX; None where none was built.
        similarity: None for full precision itself.
    """

    resolution: int
    variant: str
    unet: Timing
    picture: Timing
    onnx_bytes: int
    rtx_bytes: int | None
    similarity: Similarity | None


@dataclass(frozen=True, slots=True, config=STRICT)
class DemoReport:
    """Everything that the demo measured (`report.json`).

    Attributes:
        model: the model's name.
        prompts: what was drawn, with `seeds`.
        seeds: one a prompt, the same for every variant.
        rows: the measurements.
        plans: of each variant but full precision, what it is and where it is from.
        compile_s: seconds that each variant's bundle took, of this run (0 if it was up to date).
        rtx: what the RTX engines were built for, or why there are none.
        machine: processor, cores, system.
        versions: the packages that did the work.
        note: what the variants' names stand for, and what one must know of the model.
    """

    model: str
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    plans: Mapping[str, str]
    compile_s: Mapping[str, float]
    rtx: str
    machine: Mapping[str, str]
    versions: tuple[str, ...]
    note: str

    def write(self, path: Path) -> None:
        """Writes `report.json`."""
        write_text(path, to_json(self))

    def table(self) -> Table:
        """The measurements at a glance."""
        table = Table(
            title=f"{self.model}: one step, batch 1",
            caption=self._caption(),
            caption_justify="left",
            box=SIMPLE_HEAD,
        )
        table.add_column("pixels", justify="right", no_wrap=True)
        table.add_column("UNet", no_wrap=True)
        for heading in ("UNet ms", "all ms", "ONNX MB", "RTX MB", "PSNR", "SSIM"):
            table.add_column(heading, justify="right", no_wrap=True)
        previous = None
        for row in self.rows:
            if previous not in (None, row.resolution):
                table.add_section()
            table.add_row("" if row.resolution == previous else str(row.resolution), *_cells(row))
            previous = row.resolution
        return table

    def _caption(self) -> str:
        machine = ", ".join((self.machine["processor"], f"{self.machine['cores']} cores"))
        plans = "".join(f"\n- {variant}: {words}" for variant, words in self.plans.items())
        return (
            f"ms: ONNX Runtime on {machine}, median of {self.rows[0].unet.rounds}; all: with text encoders "
            f"and VAE. MB: the UNet's engine; weights of fewer bits are held in INT8 too. RTX: {self.rtx}. "
            "PSNR and SSIM: mean over "
            f"{len(self.prompts)} prompts against full precision. {self.note}\nPlans:{plans}"
        )


def _cells(row: Row) -> tuple[str, ...]:
    alike = row.similarity
    return (
        row.variant,
        f"{row.unet.median_ms:.1f}",
        f"{row.picture.median_ms:.1f}",
        f"{row.onnx_bytes / _MB:.1f}",
        "–" if row.rtx_bytes is None else f"{row.rtx_bytes / _MB:.1f}",
        "–" if alike is None else f"{alike.mean_psnr_db:.1f}",
        "–" if alike is None else f"{alike.mean_ssim:.3f}",
    )
