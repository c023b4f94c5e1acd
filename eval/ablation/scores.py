"""The scores of one row: against full precision, and against what the model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic.dataclasses import dataclass as document

from mixdq.configs.documents import STRICT, read_json, to_json
from mixdq.configs.errors import EvaluationError, StorageError
from mixdq.configs.files import write_text
from mixdq.configs.quality_table import Difference, QualityTable, Score
from mixdq.eval.ablation.training import Training, compare_with_training
from mixdq.eval.quality.bootstrap import Bootstrap, mean_interval
from mixdq.eval.quality.found import Watch
from mixdq.eval.quality.measure import measure_quality
from mixdq.eval.quality.networks import Resize
from mixdq.eval.quality.pictures import DrawnSet
from mixdq.eval.quality.request import Metric, QualityRequest
from mixdq.eval.similarity import psnr_db

_BATCH = 8

T = TypeVar("T")


@document(frozen=True, slots=True, config=STRICT)
class FullScores:
    """A row's scores against full precision.

    Attributes:
        table: every metric that can be measured here, of this row alone.
        psnr_db: of each picture, in the order of the prompts.
    """

    table: QualityTable
    psnr_db: tuple[float, ...]
    version: int = 1


@document(frozen=True, slots=True, config=STRICT)
class TrainingScores:
    """A row's scores against the training pictures.

    Attributes:
        manifest_sha256: of the row's pictures.
        training_sha256: over the training pictures, and which belongs to which prompt.
        bootstrap: draws and seed of the intervals.
        scores: FID and KID of the sets; PSNR and SSIM where each prompt has a picture.
    """

    manifest_sha256: str
    training_sha256: str
    bootstrap: tuple[int, int]
    scores: tuple[Score, ...]
    version: int = 1


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores rows; what was scored before, of the same pictures, is read again.

    Attributes:
        folder: of the scores' files.
        full: the full-precision pictures.
        training: what the model was trained on; None if it is not at hand.
        bootstrap: of the intervals.
        watch: told of the progress.
    """

    folder: Path
    full: DrawnSet
    training: Training | None
    bootstrap: Bootstrap
    watch: Watch

    def against_full(self, name: str, drawn: DrawnSet) -> FullScores:
        """Every metric that can be measured here, against full precision."""
        path = self.folder / f"{name}.json"
        known = _read(FullScores, path)
        if known is None or not self._holds(known.table, drawn):
            table = self._measure(self.full.folder, drawn.folder, None)
            known = FullScores(table, tuple(self._psnr_db(drawn)))
            write_text(path, to_json(known))
        return known

    def against_training(self, name: str, drawn: DrawnSet) -> tuple[Score, ...]:
        """Distances to the training pictures, and likeness of pairs if there are pairs."""
        if self.training is None:
            return ()
        path = self.folder / f"{name}-training.json"
        wanted = (drawn.sha256, self.training.sha256, (self.bootstrap.draws, self.bootstrap.seed))
        known = _read(TrainingScores, path)
        if known is None or (known.manifest_sha256, known.training_sha256, known.bootstrap) != wanted:
            distances = frozenset({Metric.FID, Metric.KID})
            scores = self._measure(self.training.photographs.folder, drawn.folder, distances).rows[0].scores
            report = self.watch(f"pairs of {name} with training pictures")
            scores += compare_with_training(drawn, self.training, self.bootstrap, report)
            known = TrainingScores(*wanted, scores)
            write_text(path, to_json(known))
        return known.scores

    def step(self, names: tuple[str, str], psnr_db: tuple[FullScores, FullScores]) -> Difference:
        """How much nearer the first row's pictures are to full precision than the second's, pair by pair."""
        first, second = (np.array(scores.psnr_db) for scores in psnr_db)
        found = mean_interval(first - second, self.bootstrap)
        return Difference("PSNR dB", *names, found.mean, found.low, found.high, len(first))

    def _holds(self, known: QualityTable, drawn: DrawnSet) -> bool:
        settings = self.bootstrap.seed, self.bootstrap.draws
        return (
            known.reference_sha256 == self.full.sha256
            and known.rows[0].manifest_sha256 == drawn.sha256
            and (known.settings["seed"], known.settings["bootstrap_draws"]) == tuple(map(str, settings))
        )

    def _psnr_db(self, drawn: DrawnSet) -> list[float]:
        return [psnr_db(drawn.load(place), self.full.load(place)) for place in range(len(drawn.records))]

    def _measure(self, reference: Path, pictures: Path, metrics: frozenset[Metric] | None) -> QualityTable:
        request = QualityRequest(
            reference=reference,
            generated=(pictures,),
            metrics=metrics,
            with_effnet=True,
            resize=Resize.CLEAN,
            device="cpu",
            batch=_BATCH,
            bootstrap=self.bootstrap,
            cache=self.folder / "features",
        )
        return measure_quality(request, self.watch)


def _read(kind: type[T], path: Path) -> T | None:
    """An earlier run's file; None if there is none, or one of another form."""
    try:
        return read_json(kind, path, EvaluationError)
    except (EvaluationError, StorageError):
        return None
