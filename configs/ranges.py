"""Calibrated activation ranges (`ranges.json`): one table serves every plan of a model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import DigestError, ModelError
from mixdq.configs.files import sha256_of_text, write_text
from mixdq.configs.layers import LayerName, LayerSpec, LayerTable, ModelIdentity
from mixdq.configs.plan import PrecisionPlan

BOS_TOLERANCE = 1e-3
"""The relative change of the text embedding's row 0 up to which it counts as constant."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Range:
    """The least and the greatest value that a tensor took."""

    minimum: float
    maximum: float

    def __or__(self, other: Range) -> Range:
        return Range(min(self.minimum, other.minimum), max(self.maximum, other.maximum))


@dataclass(frozen=True, slots=True, config=STRICT)
class CalibrationRun:
    """What was run to measure the ranges: enough to run it again."""

    prompts: int
    prompts_digest: str
    seed: int
    resolutions: tuple[int, ...]
    steps: int = 1


@dataclass(frozen=True, config=STRICT)
class RangeTable:
    """Input ranges of every quantizable layer over the calibration prompts.

    Attributes:
        model: the model that was run.
        layers_digest: `LayerTable.digest` of its architecture.
        calibration: the prompts, seed and resolutions.
        bos: row 0 of the text embedding (`cross_attention_dim` values) of the first prompt.
        bos_change: the most that row 0 changed over the prompts, relative to its largest magnitude.
        bos_range: what row 0 ranges over.
        layers: per layer one range, or two for a shortcut that can be split (first half, second half).
            Layers that read the text embedding are measured without row 0.
    """

    model: ModelIdentity
    layers_digest: str
    calibration: CalibrationRun
    bos: Annotated[tuple[float, ...], Field(min_length=1)]
    bos_change: float
    bos_range: Range
    layers: Annotated[Mapping[LayerName, tuple[Range, ...]], Field(min_length=1)]
    version: Literal[1] = 1

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the table's file form."""
        return sha256_of_text(to_json(self))

    def __getitem__(self, name: LayerName) -> tuple[Range, ...]:
        return self.layers[name]

    def input_ranges(self, layer: LayerSpec, plan: PrecisionPlan) -> tuple[Range, ...]:
        """The range of each of a layer's quantized inputs under a plan: one, or two if the plan splits it."""
        measured = self[layer.name]
        if plan.splits(layer):
            return measured
        whole = measured[0]
        for other in measured[1:]:
            whole |= other
        if layer.reads_text and not plan.takes_bos_out(layer):
            whole |= self.bos_range
        return (whole,)

    def constant_bos(self) -> tuple[float, ...]:
        """Row 0 of the text embedding, if it is the same for every prompt.

        Raises:
            ModelError: it is not; BOS-aware quantization would be wrong.
        """
        if self.bos_change > BOS_TOLERANCE:
            raise ModelError(
                f"row 0 of {self.model.name}'s text embedding changes with the prompt (by "
                f"{self.bos_change:.2g} of its maximum; constant is at most {BOS_TOLERANCE}): its text "
                "encoders are not causal or were changed, so a constant in its place would be wrong; use "
                "--no-bos-aware"
            )
        return self.bos

    def check(self, table: LayerTable) -> None:
        """Refuses ranges that were measured on another model.

        Raises:
            DigestError: another model, or layers without their ranges.
        """
        if self.model.digest != table.model.digest or self.layers_digest != table.digest:
            raise DigestError(
                f"the ranges were measured on {self.model.name} ({self.model.digest[:12]}), not on "
                f"{table.model.name} ({table.model.digest[:12]}); run `mixdq-compile calibrate` on this model"
            )
        if missing := [layer.name for layer in table if layer.name not in self.layers]:
            raise DigestError(
                f"the ranges lack {missing[0]} (of {len(missing)} layers); "
                "run `mixdq-compile calibrate` again"
            )
        for layer in table:
            wanted, found = 1 if layer.split is None else 2, len(self[layer.name])
            if found != wanted:
                raise DigestError(
                    f"the ranges hold {found} for {layer.name} where {wanted} is wanted (one an input, two a "
                    "shortcut that can be split); run `mixdq-compile calibrate` again"
                )

    def write(self, path: Path) -> None:
        """Writes `ranges.json`."""
        write_text(path, to_json(self))

    @classmethod
    def read(cls, path: Path) -> RangeTable:
        """Reads `ranges.json`.

        Raises:
            ModelError: the file does not have the form of a range table.
            StorageError: the file can't be read.
        """
        return read_json(cls, path, ModelError)
