"""Scores of a row's pictures: against full precision's, and its distance to photographs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mixdq.configs.errors import EvaluationError, StorageError
from mixdq.configs.quality_table import QualityTable
from mixdq.eval.quality.bootstrap import Bootstrap
from mixdq.eval.quality.found import Watch
from mixdq.eval.quality.measure import measure_quality
from mixdq.eval.quality.networks import Resize
from mixdq.eval.quality.pictures import DrawnSet, PictureSet
from mixdq.eval.quality.request import Metric, QualityRequest, Weights
from mixdq.eval.reproduce.columns import SCORES
from mixdq.eval.reproduce.result import Figure

_BATCHES = {"cpu": 8, "cuda": 64}


@dataclass(frozen=True, slots=True)
class RowScores:
    """What was found of a row.

    Attributes:
        figures: by column.
        fid_metric: its name, which says of which features.
        fid_words: the same, and what it is a distance to.
        failed: controls that did not give what they must, and metrics that were refused.
    """

    figures: dict[str, Figure]
    fid_metric: str
    fid_words: str
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores rows; what was scored before, of the same pictures and weights, is read again.

    Attributes:
        folder: of the scores' files.
        full: full precision's pictures.
        reference: what FID is against; None for full precision's pictures.
        weights: of the scorers.
        with_alignment: whether the scorer that ships fits the model.
        device: where networks compute.
        bootstrap: of the intervals.
        watch: told of the progress.
    """

    folder: Path
    full: DrawnSet
    reference: PictureSet | None
    weights: Weights
    with_alignment: bool
    device: str
    bootstrap: Bootstrap
    watch: Watch

    def score(self, name: str, drawn: DrawnSet) -> RowScores:
        """The scores of a row's pictures.

        Raises:
            MixdqError: see `measure_quality`.
        """
        metrics = {Metric.SSIM, Metric.PSNR}
        metrics |= {Metric.ALIGNMENT} if self.with_alignment else set()
        metrics |= {Metric.CLIP} if self.weights.clip else set()
        metrics |= {Metric.IMAGEREWARD} if self.weights.image_reward else set()
        tables = []
        if self.reference is None:
            metrics.add(Metric.FID)
        else:
            tables.append(self._table(f"{name}-reference", self.reference, drawn, {Metric.FID}))
        tables.append(self._table(name, self.full, drawn, metrics))
        scores = [score for table in tables for score in table.rows[0].scores]
        figures = {
            key: Figure(score.value, score.low, score.high)
            for key, begins in SCORES.items()
            for score in scores
            if score.metric.startswith(begins)
        }
        if drawn.sha256 == self.full.sha256:  # of itself
            for key in ("ssim", "psnr", *(() if self.reference else ("fid",))):
                figures.pop(key, None)
        (fid,) = [score.metric for score in scores if score.metric.startswith("FID")]
        to = "full precision's pictures" if self.reference is None else "the reference pictures"
        failed = [
            f"{name}, {control.metric}, {control.name}: {control.means}"
            for table in tables
            for control in table.controls
            if not control.passed
        ]
        return RowScores(figures, fid, f"{fid} to {to}", tuple(failed))

    def _table(
        self, name: str, reference: PictureSet, drawn: DrawnSet, metrics: Iterable[Metric]
    ) -> QualityTable:
        path = self.folder / f"{name}.json"
        known = _read(path)
        if known is not None and self._holds(known, reference, drawn):
            return known
        request = QualityRequest(
            reference=reference.folder,
            generated=(drawn.folder,),
            metrics=frozenset(metrics),
            with_effnet=self.weights.inception is None,
            resize=Resize.CLEAN,
            device=self.device,
            batch=_BATCHES[self.device],
            bootstrap=self.bootstrap,
            weights=self.weights,
            cache=self.folder / "features",
        )
        table = measure_quality(request, self.watch)
        table.write(path)
        return table

    def _holds(self, known: QualityTable, reference: PictureSet, drawn: DrawnSet) -> bool:
        return (
            known.reference_sha256 == reference.sha256
            and known.rows[0].manifest_sha256 == drawn.sha256
            and known.settings["bootstrap_draws"] == str(self.bootstrap.draws)
            and known.settings["seed"] == str(self.bootstrap.seed)
        )


def _read(path: Path) -> QualityTable | None:
    """An earlier run's file; None if there is none, or one of another form."""
    try:
        return QualityTable.read(path)
    except (EvaluationError, StorageError):
        return None
