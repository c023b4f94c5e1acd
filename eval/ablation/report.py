"""An ablation's figures (`ablation.json`), and what the paper has in their places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text
from mixdq.configs.quality_table import Difference, Score
from mixdq.eval.ablation.header import Header
from mixdq.eval.ablation.role_rows import ByRole

ABLATION_FILE = "ablation.json"

_ALIKE = 0.02
"""Ratios of FIDs nearer to 1 than this say that nothing changed."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Costs:
    """What a plan comes to, over the quantizable layers; without scales, biases and other parameters.

    Attributes:
        weight_bits: mean, weighted by the number of weights.
        activation_bits: mean, weighted by the values that a layer reads, those in floating point with 16.
        packed_bytes: the weights, packed to their widths.
        bops: bit operations of one image: MACs times weight bits times activation bits.
        protected: activations in floating point of layers whose weight is quantized.
    """

    weight_bits: float
    activation_bits: float
    packed_bytes: int
    bops: int
    protected: int


@dataclass(frozen=True, slots=True, config=STRICT)
class Comparison:
    """A step's effect here and in the paper, each as its FID over that of an earlier row.

    Attributes:
        against: the earlier row's name.
        paper: the paper's ratio, of SDXL-Turbo's FIDs.
        ours: the ratio here, of what `metric` names.
        metric: FID-EffLite0 to the training pictures, or to full precision's.
        agrees: whether both rise, both fall, or both stay within 2 %.
    """

    against: str
    paper: float
    ours: float
    metric: str
    agrees: bool

    @classmethod
    def of(
        cls, against: str, paper: tuple[float, float], ours: tuple[float, float], metric: str
    ) -> Comparison:
        """Of pairs (this row's, the earlier row's)."""
        theirs, here = paper[0] / paper[1], ours[0] / ours[1]
        return cls(against, theirs, here, metric, _side(theirs) == _side(here))


@dataclass(frozen=True, slots=True, config=STRICT)
class AblationRow:
    """One configuration.

    Attributes:
        name: the row's, and that of its folders.
        label: for people.
        plan: precisions in words.
        plan_digest: of `plans/NAME.yaml`.
        how: how the plan came to be.
        costs: effective bits, bytes and bit operations.
        manifest_sha256: of its pictures.
        quality: scores against full precision's pictures.
        refused: metrics whose control these pictures failed, and what it gave.
        training: scores against the training pictures.
        step: how much nearer to full precision than the step before in the same budget, picture by picture.
        paper_fid: the paper's figure and its table; None if it has none.
        comparison: with the paper; None where the paper has no figure, or nothing to compare was measured.
    """

    name: str
    label: str
    plan: str
    plan_digest: str
    how: str
    costs: Costs
    manifest_sha256: str
    quality: tuple[Score, ...]
    refused: Mapping[str, str]
    training: tuple[Score, ...]
    step: Difference | None
    paper_fid: tuple[float, str] | None
    comparison: Comparison | None

    def score(self, metric: str, *, training: bool = False) -> Score | None:
        """The score whose name begins so, or None."""
        scores = self.training if training else self.quality
        return next((score for score in scores if score.metric.startswith(metric)), None)


@dataclass(frozen=True, slots=True, config=STRICT)
class Ablation:
    """An ablation (`ablation.json`).

    Attributes:
        header: what all rows share.
        rows: in the table's order; full precision is the first.
        by_role: each role alone; None if that was not asked for.
        training_sha256: over the training pictures; None without them.
        training_count: how many they are.
        not_scored: metrics that could not be measured, and why.
        failed_controls: controls that did not give what they must, in words; their scores are refused.
        command: as it was given.
        machine: where.
        versions: packages, by name.
    """

    header: Header
    rows: tuple[AblationRow, ...]
    by_role: ByRole | None
    training_sha256: str | None
    training_count: int
    not_scored: Mapping[str, str]
    failed_controls: tuple[str, ...]
    command: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    version: int = 1

    def write(self, folder: Path) -> None:
        """Writes `ablation.json`."""
        write_text(folder / ABLATION_FILE, to_json(self))

    @classmethod
    def read(cls, folder: Path) -> Ablation:
        """Reads `ablation.json`.

        Raises:
            EvaluationError: the file has another form.
            StorageError: there is none.
        """
        return read_json(cls, folder / ABLATION_FILE, EvaluationError)


def _side(ratio: float) -> int:
    return 0 if abs(ratio - 1) <= _ALIKE else 1 if ratio > 1 else -1
