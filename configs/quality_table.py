"""How good the pictures of a plan are: what the selection of plans and the report read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text


@dataclass(frozen=True, slots=True, config=STRICT)
class Score:
    """One metric of one set of pictures.

    Attributes:
        metric: its name, with what it was computed by: `FID-EffLite0`, `CLIP ViT-L/14`, `SSIM (window 7)`.
        value: the mean, or the distance.
        low: lower end of the 95 % bootstrap interval; None where there is none (FID).
        high: upper end.
        count: how many pictures; scores of different counts are never compared.
        higher_is_better: which way it goes.
        against_reference: mean difference to the reference set's own score on the same prompts and seeds,
            with its 95 % interval: `(mean, low, high)`; None for metrics that compare the two sets.
        weights_sha256: digest of the weights that it was computed with; None if it has none.
    """

    metric: str
    value: float
    low: float | None
    high: float | None
    count: int
    higher_is_better: bool
    against_reference: tuple[float, float, float] | None
    weights_sha256: str | None


@dataclass(frozen=True, slots=True, config=STRICT)
class QualityRow:
    """The scores of one set of pictures.

    Attributes:
        pictures: the set's folder.
        manifest_sha256: digest of its manifest, which says what drew it.
        plan: in words.
        plan_digest: None for the reference pipeline.
        resolution: pixels.
        steps: denoising steps.
        scores: every metric that could be computed.
    """

    pictures: str
    manifest_sha256: str
    plan: str
    plan_digest: str | None
    resolution: int
    steps: int
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True, config=STRICT)
class QualityTable:
    """Quality of several sets against one reference set (`quality.json`).

    Attributes:
        reference: folder of the reference pictures.
        reference_sha256: digest of its manifest, or over its files' digests if it has none.
        rows: one a set.
        not_scored: metrics that could not be computed, and why (weights that are missing).
        machine: where.
        versions: packages, by name.
    """

    reference: str
    reference_sha256: str
    rows: tuple[QualityRow, ...]
    not_scored: Mapping[str, str]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    version: int = 1

    def write(self, path: Path) -> None:
        """Writes the table."""
        write_text(path, to_json(self))

    @classmethod
    def read(cls, path: Path) -> QualityTable:
        """Reads a table.

        Raises:
            EvaluationError: the file has another form.
            StorageError: there is none.
        """
        return read_json(cls, path, EvaluationError)
