"""What counts first in a choice."""

from __future__ import annotations

from enum import StrEnum


class Prefer(StrEnum):
    """What counts first among the points that meet all wishes."""

    QUALITY = "quality"
    RESOLUTION = "resolution"
    LATENCY = "latency"
    MEMORY = "memory"
