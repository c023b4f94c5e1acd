"""How TensorRT's builders work: what a user may choose, and what the layout brings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT

Profile: TypeAlias = Mapping[str, tuple[int, ...]]
"""The shape of every input at one resolution, by name."""


@dataclass(frozen=True, slots=True, config=STRICT)
class BuildOptions:
    """What a user may choose of a build.

    Attributes:
        timing_cache: a file of TensorRT's timings: read if it is there, and written after the build.
        strip_weights: engines without weights, which are in one file that all of them share.
    """

    timing_cache: Path | None
    strip_weights: bool
