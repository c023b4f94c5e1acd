"""What the columns of the tables are called, and how many digits they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT


@dataclass(frozen=True, slots=True, config=STRICT)
class Column:
    """One column.

    Attributes:
        key: its name in JSON and CSV, with the unit.
        heading: for people.
        digits: behind the point.
    """

    key: str
    heading: str
    digits: int


def columns_of(keys: Sequence[str], fid: str) -> tuple[Column, ...]:
    """Columns by their keys; that of FID is headed by the metric's own name, as `FID-EffLite0` is no FID."""
    return tuple(replace(COLUMNS[key], heading=fid) if key == "fid" else COLUMNS[key] for key in keys)


SCORES: Mapping[str, str] = {
    "fid": "FID",
    "clip": "CLIP",
    "image_reward": "ImageReward",
    "alignment": "emoji alignment",
    "ssim": "SSIM (whole",
    "psnr": "PSNR",
}
"""How the names of the metrics in a table of quality begin, by column."""

COLUMNS: Mapping[str, Column] = {
    column.key: column
    for column in (
        Column("fid", "FID", 2),
        Column("clip", "CLIP", 4),
        Column("image_reward", "ImageReward", 4),
        Column("alignment", "emoji alignment", 3),
        Column("ssim", "SSIM", 3),
        Column("psnr", "PSNR dB", 1),
        Column("weight_bits", "weight bits", 2),
        Column("storage", "storage ÷", 2),
        Column("compute", "compute ÷", 2),
        Column("weights_mib", "UNet weights, packed, MiB", 2),
        Column("disk_mib", "on disk, all engines, MiB", 1),
        Column("peak_mib", "peak memory MiB", 1),
        Column("memory_reduction", "peak memory ÷", 2),
        Column("picture_ms", "picture ms", 1),
        Column("unet_ms", "UNet ms", 1),
        Column("unet_speedup", "UNet ÷", 2),
        Column("quantizable_ms", "quantizable layers ms", 1),
        Column("quantize_ms", "quantization ms", 1),
        Column("rest_ms", "other layers ms", 1),
        Column("p50_ms", "p50 ms", 0),
        Column("p95_ms", "p95 ms", 0),
        Column("p99_ms", "p99 ms", 0),
        Column("made", "made", 0),
        Column("dropped", "dropped", 2),
        Column("in_time", "in time", 2),
        Column("per_s", "pictures/s", 2),
        Column("utility", "mean utility", 2),
    )
}
