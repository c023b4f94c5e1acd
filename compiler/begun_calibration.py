"""A calibration that was stopped goes on: what its batches saw lies beside the ranges that it will write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import MixdqError, ModelError
from mixdq.configs.files import write_text
from mixdq.export.seen import Seen

CALIBRATION_CODE = (
    *("mixdq.export.calibrate", "mixdq.export.calibrate_size", "mixdq.export.layers", "mixdq.export.modules"),
    *("mixdq.export.reference", "mixdq.export.seen", "mixdq.export.weights", "mixdq.configs.layers"),
    "mixdq.configs.ranges",
)
"""What decides the ranges, for `code_digest`."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Conditions:
    """All that decides the ranges, to the bit.

    Attributes:
        model_digest: of configurations and weights.
        layers_digest: of the architecture.
        prompts_digest: SHA-256 of the prompts.
        seed: of the noise.
        resolutions: pixels, in order.
        steps: of the sampler.
        device: `cpu`, or the GPU's name.
        threads: of the CPU, on which the order of its sums depends; None on a GPU.
        packages: versions of those that compute.
        code: digest of what calibrates.
    """

    model_digest: str
    layers_digest: str
    prompts_digest: str
    seed: int
    resolutions: tuple[int, ...]
    steps: int
    device: str
    threads: int | None
    packages: Mapping[str, str]
    code: str


@dataclass(frozen=True, slots=True, config=STRICT)
class BegunCalibration:
    """What a calibration saw, and under which conditions; written whole after every batch."""

    conditions: Conditions
    seen: Seen

    def write(self, path: Path) -> None:
        """Writes it in place of what its earlier batches saw."""
        write_text(path, to_json(self))


def take_up(path: Path, conditions: Conditions) -> Seen | None:
    """What the same calibration saw before it was stopped.

    None if there is nothing, or it was of another calibration or is damaged: then it begins anew, as every
    stage does that what it depends on has changed for.
    """
    try:
        begun = read_json(BegunCalibration, path, ModelError)
    except MixdqError:
        return None
    return begun.seen if begun.conditions == conditions else None
