"""How alike each picture is to the reference's of the same prompt and seed: SSIM, PSNR, SQNR, LPIPS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL.Image import Image

from mixdq.configs.errors import EvaluationError
from mixdq.configs.sqnr import IDENTICAL_PSNR_DB
from mixdq.eval.quality.found import Found, PictureScores, Watch
from mixdq.eval.quality.pairs import Places
from mixdq.eval.quality.pictures import DrawnSet, PictureSet
from mixdq.eval.quality.request import Metric, QualityRequest
from mixdq.eval.scorer import Scores
from mixdq.eval.scorers.lpips import open_lpips
from mixdq.eval.similarity import SSIM_WINDOW, pixel_sqnr_db, psnr_db, ssim, whole_ssim

_MEASURES: tuple[tuple[Metric, str, Callable[[Image, Image], float]], ...] = (
    (Metric.SSIM, "SSIM (whole picture)", whole_ssim),
    (Metric.SSIM, f"SSIM (window {SSIM_WINDOW})", ssim),
    (Metric.PSNR, "PSNR dB", psnr_db),
    (Metric.SQNR, "SQNR dB", pixel_sqnr_db),
)
_AT_ONCE = 64
"""Pairs that are held in memory for LPIPS."""


def compare_pairs(
    request: QualityRequest,
    reference: PictureSet,
    sets: Sequence[DrawnSet],
    places: Sequence[Places],
    watch: Watch,
) -> Found:
    """Every measure of pairs that is wanted.

    Args:
        request: what to measure.
        reference: the pictures to be like.
        sets: those to score.
        places: of each set, where its partner of each of the reference's pictures is.
        watch: for progress.

    Raises:
        EvaluationError: photographs have no pairs and a measure of pairs was asked for; or no weights.
    """
    wanted = [(metric, name, measure) for metric, name, measure in _MEASURES if request.wants(metric)]
    with_lpips = request.wants(Metric.LPIPS)
    if not isinstance(reference, DrawnSet):
        return _without_pairs(request, reference, [metric for metric, _, _ in wanted], with_lpips)
    found = Found()
    if wanted:
        table = [
            _compare(reference, drawn, where, [measure for _, _, measure in wanted], watch)
            for drawn, where in zip(sets, places, strict=True)
        ]
        found = Found(
            scores=tuple(
                PictureScores(name, None, True, tuple(rows[:, column] for rows in table))
                for column, (_, name, _) in enumerate(wanted)
            ),
            notes=tuple(_identical(sets, table, [metric for metric, _, _ in wanted])),
        )
    return found.joined(_lpips(request, reference, sets, places, watch)) if with_lpips else found


def _without_pairs(
    request: QualityRequest, reference: PictureSet, metrics: Sequence[Metric], with_lpips: bool
) -> Found:
    reason = f"{reference.folder} holds photographs without a manifest: there are no pairs to compare"
    names = {*metrics, *([Metric.LPIPS] if with_lpips else [])}
    if request.metrics is not None and names:
        raise EvaluationError(
            f"{reason}, so {', '.join(sorted(names))} can't be measured; leave them out, or give a "
            "reference that `mixdq-eval images` drew"
        )
    return Found(not_scored={name.upper(): reason for name in sorted(names)})


def _compare(
    reference: DrawnSet,
    drawn: DrawnSet,
    places: Places,
    measures: Sequence[Callable[[Image, Image], float]],
    watch: Watch,
) -> Scores:
    """`[pair, measure]`."""
    report = watch(f"pairs of {drawn.folder.name}")
    rows = []
    for done, (theirs, ours) in enumerate(enumerate(places), start=1):
        picture, expected = drawn.load(ours), reference.load(theirs)
        rows.append([measure(picture, expected) for measure in measures])
        report(done, len(places))
    return np.array(rows)


def _identical(sets: Sequence[DrawnSet], table: Sequence[Scores], metrics: Sequence[Metric]) -> Iterator[str]:
    """How many equal pairs, whose decibels are a stand-in for infinity, are in each mean."""
    if Metric.PSNR not in metrics:
        return
    for drawn, rows in zip(sets, table, strict=True):
        count = int((rows[:, metrics.index(Metric.PSNR)] == IDENTICAL_PSNR_DB).sum())
        if count:
            yield (
                f"{count} of {len(rows)} pictures of {drawn.folder} equal the reference's in every pixel; "
                f"each counts as {IDENTICAL_PSNR_DB:.0f} dB in the mean of PSNR dB and SQNR dB"
            )


def _lpips(
    request: QualityRequest,
    reference: DrawnSet,
    sets: Sequence[DrawnSet],
    places: Sequence[Places],
    watch: Watch,
) -> Found:
    path = request.weights.lpips
    if path is None:
        return Found()
    metric = open_lpips(path, request.device, request.batch)
    rows = []
    for drawn, where in zip(sets, places, strict=True):
        report = watch(f"LPIPS of {drawn.folder.name}")
        parts = []
        for start in range(0, len(where), _AT_ONCE):
            part = range(start, min(start + _AT_ONCE, len(where)))
            pictures = [drawn.load(where[place]) for place in part]
            parts.append(metric.distance(pictures, [reference.load(place) for place in part]))
            report(part.stop, len(where))
        rows.append(np.concatenate(parts))
    return Found(scores=(PictureScores(metric.name, metric.weights_sha256, False, tuple(rows)),))
