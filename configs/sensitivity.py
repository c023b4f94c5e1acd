"""Sensitivity of every layer: how the model's output fares if this layer alone has few bits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import DigestError, PlanError
from mixdq.configs.files import sha256_of_text, write_text
from mixdq.configs.layers import Group, LayerName, LayerTable, ModelIdentity


class Operand(StrEnum):
    """What of a layer is quantized."""

    WEIGHT = "weight"
    ACTIVATION = "activation"


class Metric(StrEnum):
    """What is compared with full precision; of each of them, more is better.

    `sqnr_db` is of the UNet's output and `x0_sqnr_db` of the latents that follow from it, both in dB; `ssim`
    of the decoded pictures with one window over all of a picture, and `ssim_windowed` with a sliding one.
    """

    SQNR = "sqnr_db"
    X0_SQNR = "x0_sqnr_db"
    SSIM = "ssim"
    WINDOWED_SSIM = "ssim_windowed"


PAPER_METRICS: Mapping[Group, Metric] = {Group.CONTENT: Metric.SSIM, Group.QUALITY: Metric.SQNR}
"""What decides in each group (paper, section 3.2)."""


class Objective(StrEnum):
    """What a programme adds up over its layers.

    `scores` are the sensitivities themselves (paper, equation 2). Of SQNR these are decibels: to raise a
    layer from 80 to 90 counts as much as to raise another from 10 to 20, though the one is not to be seen.
    `noise` is what is lost, with its sign turned: of an SQNR the noise's power in millionths of the
    signal's, and powers of independent errors do add up; of an SSIM, in millionths, what it lacks to 1.
    """

    SCORES = "scores"
    NOISE = "noise"

    def of(self, metric: Metric, score: float) -> float:
        """What one layer's score counts."""
        if self is Objective.SCORES:
            return score
        decibels = metric in (Metric.SQNR, Metric.X0_SQNR)
        return _MILLION * (-(10 ** (-score / 10)) if decibels else score - 1)


_MILLION = 1e6


Scores = Mapping[LayerName, tuple[float, ...]]
"""One score a width, in the order of the table's widths."""

LayerScores = Mapping[Operand, Mapping[Metric, tuple[float, ...]]]
"""One layer's scores by operand and metric, one a width: means over the prompts."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Measurement:
    """What was run: enough to run it again.

    Attributes:
        prompts: how many.
        prompts_digest: SHA-256 of their text.
        seed: of the noise.
        resolution: pixels.
        steps: denoising steps.
        bos_aware: whether token 0 was left out of the quantized path of cross-attention's K and V.
    """

    prompts: int
    prompts_digest: str
    seed: int
    resolution: int
    steps: int
    bos_aware: bool


@dataclass(frozen=True, config=STRICT)
class SensitivityTable:
    """Scores of a model's layers, each quantized alone (`sensitivity.json`).

    Attributes:
        model: the model that was measured; None if the source does not say.
        layers_digest: `LayerTable.digest` of its architecture.
        measurement: what was run; None if the source does not say.
        widths: the bits that were measured, ascending, by operand.
        scores: by operand, metric and layer one score a width.
    """

    model: ModelIdentity | None
    layers_digest: str
    measurement: Measurement | None
    widths: Mapping[Operand, Annotated[tuple[int, ...], Field(min_length=1)]]
    scores: Mapping[Operand, Mapping[Metric, Scores]]
    version: Literal[1] = 1

    @field_validator("widths")
    @classmethod
    def _ascending(cls, widths: Mapping[Operand, tuple[int, ...]]) -> Mapping[Operand, tuple[int, ...]]:
        for operand, bits in widths.items():
            if list(bits) != sorted(set(bits)) or not 2 <= bits[0] <= bits[-1] <= 8:
                raise ValueError(f"the {operand} widths {bits} are not 2 to 8 bits, ascending, each once")
        return widths

    @model_validator(mode="after")
    def _one_score_a_width(self) -> SensitivityTable:
        if self.widths.keys() != self.scores.keys():
            raise ValueError("widths and scores are not of the same operands")
        for operand, metrics in self.scores.items():
            wanted = self.widths[operand]
            for metric, layers in metrics.items():
                for name, scores in layers.items():
                    if len(scores) != len(wanted):
                        raise ValueError(
                            f"{name} has {len(scores)} scores ({operand}, {metric}) for the widths {wanted}"
                        )
        return self

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the table's file form."""
        return sha256_of_text(to_json(self))

    def score(self, operand: Operand, metric: Metric, layer: LayerName, bits: int) -> float:
        """One score; the table must have been checked, and `bits` be one of its widths."""
        return self.scores[operand][metric][layer][self.widths[operand].index(bits)]

    def check(self, table: LayerTable) -> None:
        """Refuses a table that is incomplete, or was measured on another model.

        Complete means: the UNet's SQNR of every layer and SSIM of every content layer, of each operand.

        Raises:
            PlanError: layers are missing or unknown; the first ten are named.
            DigestError: same names, but another architecture or other weights.
        """
        content = {layer.name for layer in table if layer.group is Group.CONTENT}
        for operand in self.scores:
            self._check_names(operand, Metric.SQNR, set(table.by_name), table)
            self._check_names(operand, Metric.SSIM, content, table)
        if self.layers_digest != table.digest:
            raise DigestError(
                f"the sensitivity table was measured on another architecture (layers "
                f"{self.layers_digest[:12]}) than {table.model.name} (layers {table.digest[:12]}); measure "
                "this model"
            )
        if self.model is not None and self.model.digest != table.model.digest:
            raise DigestError(
                f"the sensitivity table was measured on {self.model.name} (model {self.model.digest[:12]}), "
                f"not on {table.model.name} (model {table.model.digest[:12]}); measure this model"
            )

    def require(self, operand: Operand, metric: Metric, group: Group, table: LayerTable) -> None:
        """Refuses a table without a metric of a group's layers.

        Raises:
            PlanError: names the first layer that lacks it.
        """
        found = self.scores.get(operand, {}).get(metric, {})
        missing = [layer.name for layer in table if layer.group is group and layer.name not in found]
        if missing:
            raise PlanError(
                f"the sensitivity table has no {operand} {metric} for {missing[0]} and {len(missing) - 1} "
                f"more {group} layers; measure it, or choose another metric"
            )

    def _check_names(
        self, operand: Operand, metric: Metric, needed: set[LayerName], table: LayerTable
    ) -> None:
        found = self.scores[operand].get(metric, {})
        if missing := needed - set(found):
            raise PlanError(
                f"the sensitivity table has no {operand} {metric} for {first_ten(missing)} of "
                f"{table.model.name}, {len(missing)} of {len(needed)} layers; measure these layers too"
            )
        if unknown := set(found) - set(table.by_name):
            raise PlanError(
                f"the sensitivity table names {first_ten(unknown)}, which {table.model.name} does not have; "
                "was it measured on another model?"
            )

    def write(self, path: Path) -> None:
        """Writes the table."""
        write_text(path, to_json(self))

    @classmethod
    def read(cls, path: Path) -> SensitivityTable:
        """Reads a table.

        Raises:
            PlanError: the file has another form, or scores that are no finite numbers.
            StorageError: the file can't be read.
        """
        return read_json(cls, path, PlanError)


def first_ten(names: Collection[LayerName]) -> str:
    """The first ten names, sorted, and how many more there are."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(sorted(names)[:10]) + more
