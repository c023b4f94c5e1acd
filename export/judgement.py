"""What a plan is found to be worth: how far its predictions and pictures are from full precision's."""

from __future__ import annotations

from enum import StrEnum

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT


class Measure(StrEnum):
    """What is compared with full precision; of each of them, more is better.

    `sqnr` is of the UNet's output and `x0-sqnr` of the latents that follow from it; `psnr` of the decoded
    pictures, `ssim` with one window over all of a picture, and `windowed-ssim` with a sliding one.
    """

    SQNR = "sqnr"
    X0_SQNR = "x0-sqnr"
    PSNR = "psnr"
    SSIM = "ssim"
    WINDOWED_SSIM = "windowed-ssim"


@dataclass(frozen=True, slots=True, config=STRICT)
class Fidelity:
    """Means over the prompts, each the figure of one `Measure`.

    Attributes:
        sqnr_db: dB; `mixdq.configs.sqnr.IDENTICAL_DB` where nothing differs, as of the other dB.
        x0_sqnr_db: dB.
        psnr_db: dB, of pictures with values of 0 to 1.
        ssim: 1 where nothing differs.
        windowed_ssim: likewise.
    """

    sqnr_db: float
    x0_sqnr_db: float
    psnr_db: float
    ssim: float
    windowed_ssim: float

    def __getitem__(self, measure: Measure) -> float:
        figure: float = getattr(self, FIELDS[measure])
        return figure


FIELDS = {
    Measure.SQNR: "sqnr_db",
    Measure.X0_SQNR: "x0_sqnr_db",
    Measure.PSNR: "psnr_db",
    Measure.SSIM: "ssim",
    Measure.WINDOWED_SSIM: "windowed_ssim",
}
"""The name of each figure in tables."""
