"""How good the pictures of a plan are: what the selection of plans and the report read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text
from mixdq.configs.layers import ModelIdentity


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
class Control:
    """A measurement whose result is known beforehand: what a metric must give to be believed.

    Attributes:
        name: `set against itself`, or `deranged prompts`.
        metric: which metric it is about.
        pictures: of which set.
        value: what it gave: the distance of the set to itself, which must be 0; or how much higher pictures
            score with their own prompts than with those of others, on average.
        low: lower end of the 95 % interval of that mean; None for a distance.
        high: upper end.
        count: how many pictures.
        passed: whether it gave what it must; if not, the metric's score is refused.
        means: what was expected and found, in words.
    """

    name: str
    metric: str
    pictures: str
    value: float
    low: float | None
    high: float | None
    count: int
    passed: bool
    means: str


@dataclass(frozen=True, slots=True, config=STRICT)
class Difference:
    """How much one set scores above another, on the same prompts and seeds.

    Attributes:
        metric: which.
        first: folder of one set.
        second: folder of the other.
        mean: of first minus second, over the pictures.
        low: lower end of its 95 % interval.
        high: upper end.
        count: how many pairs.
    """

    metric: str
    first: str
    second: str
    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True, config=STRICT)
class QualityRow:
    """The scores of one set of pictures.

    Attributes:
        pictures: the set's folder.
        manifest_sha256: digest of its manifest, which says what drew it, down to the digest of each file of
            the engines.
        prompts_digest: SHA-256 over the list of prompts and seeds that was asked for.
        model: which model, with its digest.
        plan: in words.
        plan_digest: None for the reference pipeline.
        resolution: pixels.
        steps: denoising steps.
        scheduler: the sampler's kind.
        scores: every metric that could be computed.
        refused: metrics whose control this set failed, and what it gave.
    """

    pictures: str
    manifest_sha256: str
    prompts_digest: str
    model: ModelIdentity
    plan: str
    plan_digest: str | None
    resolution: int
    steps: int
    scheduler: str
    scores: tuple[Score, ...]
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, config=STRICT)
class QualityTable:
    """Quality of several sets against one reference set (`quality.json`).

    Attributes:
        reference: folder of the reference pictures.
        reference_sha256: digest of its manifest, or over its files' digests if it has none.
        reference_count: how many pictures it holds: as many as each row's, unless they are photographs.
        reference_plan: what drew it, in words; None for photographs. Its model and prompts are each row's.
        reference_plan_digest: None for the reference pipeline and photographs.
        reference_steps: its denoising steps; None for photographs.
        rows: one a set.
        not_scored: metrics that could not be computed, and why (weights that are missing).
        machine: where.
        versions: packages, by name.
        controls: what was measured to know whether the scores can be believed.
        differences: between the rows' sets, picture by picture.
        notes: what a reader should know, such as two sets that were drawn with one plan, or other steps.
        settings: what the figures depend on beside the pictures: seed and draws of the bootstrap, resizing,
            batch, device.
    """

    reference: str
    reference_sha256: str
    reference_count: int
    reference_plan: str | None
    reference_plan_digest: str | None
    reference_steps: int | None
    rows: tuple[QualityRow, ...]
    not_scored: Mapping[str, str]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    controls: tuple[Control, ...] = ()
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    version: int = 1

    def __post_init__(self) -> None:
        """Refuses scores of different numbers of pictures in one table.

        Raises:
            EvaluationError: two rows have scores of different counts.
        """
        counts = {score.count: row.pictures for row in self.rows for score in row.scores}
        if len(counts) > 1:
            found = ", ".join(f"{folder} has {count}" for count, folder in sorted(counts.items()))
            raise EvaluationError(
                "scores of different numbers of pictures are never compared, so they can't be in one table: "
                f"{found}; score sets that were drawn from one list of prompts"
            )

    @property
    def passed(self) -> bool:
        """Whether every control gave what it must."""
        return all(control.passed for control in self.controls)

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
