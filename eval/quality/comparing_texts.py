"""How well pictures show their prompts: CLIP, ImageReward and the dual encoder, each after a control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from mixdq.configs.errors import EvaluationError
from mixdq.configs.quality_table import Control
from mixdq.eval.alignment.scorer import open_alignment, require_emoji
from mixdq.eval.quality.derangement import control_of_prompts, derange
from mixdq.eval.quality.found import Found, PictureScores, Watch
from mixdq.eval.quality.pairs import Places
from mixdq.eval.quality.pictures import DrawnSet, PictureSet
from mixdq.eval.quality.request import Metric, QualityRequest
from mixdq.eval.scorer import Scores, TextImageScorer
from mixdq.eval.scorers import clip_file, image_reward
from mixdq.eval.scorers.clip import open_clip_scorer
from mixdq.eval.scorers.image_reward import open_image_reward

CONTROL_PICTURES = 256
"""A set's control takes at most so many of its pictures, drawn by the seed."""

_AT_ONCE = 64

Opener = Callable[[], TextImageScorer]


def compare_texts(
    request: QualityRequest,
    reference: PictureSet,
    sets: Sequence[DrawnSet],
    places: Sequence[Places],
    watch: Watch,
) -> Found:
    """Every score against prompts that is wanted and that there are weights for.

    The reference's own pictures are scored too, unless they are photographs, which have no prompts.

    Args:
        request: what to measure.
        reference: the pictures to compare with.
        sets: those to score.
        places: of each set, in which order its pictures are the reference's partners.
        watch: for progress.

    Raises:
        EvaluationError: a score was asked for, and its weights are missing or the pictures not of its kind.
    """
    openers, missing = _openers(request, reference, sets)
    found = Found(not_scored=missing)
    for open_scorer in openers:
        found = found.joined(_compare(open_scorer(), request, reference, sets, places, watch))
    return found


def _openers(
    request: QualityRequest, reference: PictureSet, sets: Sequence[DrawnSet]
) -> tuple[list[Opener], dict[str, str]]:
    """Scorers that can be opened, and why the others can't."""
    weights, device, batch = request.weights, request.device, request.batch
    openers: list[Opener] = []
    missing: dict[str, str] = {}
    if request.wants(Metric.CLIP):
        if weights.clip is not None:
            openers.append(partial(open_clip_scorer, weights.clip, device, batch))
        else:
            missing[Metric.CLIP] = f"{clip_file.HOW_TO_GET}; give it with --clip FILE_OR_FOLDER"
    if request.wants(Metric.IMAGEREWARD):
        if weights.image_reward is not None:
            openers.append(partial(open_image_reward, weights.image_reward, None, None, device, batch))
        else:
            missing[Metric.IMAGEREWARD] = f"{image_reward.HOW_TO_GET}; give it with --image-reward FILE"
    if request.wants(Metric.ALIGNMENT):
        try:
            for drawn in (reference, *sets):
                if isinstance(drawn, DrawnSet):
                    require_emoji(drawn.manifest)
            aligner = open_alignment(device, batch)
            openers.append(lambda: aligner)
        except EvaluationError as error:
            missing[Metric.ALIGNMENT] = str(error)
    for metric, reason in missing.items():
        if request.demands(Metric(metric)):
            raise EvaluationError(f"{metric} was asked for and can't be measured: {reason}")
    return openers, missing


def _compare(
    scorer: TextImageScorer,
    request: QualityRequest,
    reference: PictureSet,
    sets: Sequence[DrawnSet],
    places: Sequence[Places],
    watch: Watch,
) -> Found:
    controls: list[Control] = []
    own: Scores | None = None
    if isinstance(reference, DrawnSet):
        own, control = _score(scorer, reference, range(len(reference.records)), request, watch)
        controls.append(control)
        if not control.passed:
            reason = f"refused: {control.means} of the reference: this score can't tell its prompts apart"
            return Found(controls=(control,), not_scored={scorer.name: reason})
    rows, refused = [], {}
    for number, (drawn, where) in enumerate(zip(sets, places, strict=True)):
        scores, control = _score(scorer, drawn, where, request, watch)
        rows.append(scores)
        controls.append(control)
        if not control.passed:
            refused[number] = (
                f"{control.means}: the pictures don't show their prompts, or belong to other prompts"
            )
    scores_found = PictureScores(scorer.name, scorer.weights_sha256, True, tuple(rows), own, refused)
    return Found(scores=(scores_found,), controls=tuple(controls))


def _score(
    scorer: TextImageScorer, drawn: DrawnSet, where: Sequence[int], request: QualityRequest, watch: Watch
) -> tuple[Scores, Control]:
    """The scores of a set, ordered by `where`, and what its control gave."""
    prompts = [drawn.records[place].prompt for place in where]
    name = f"{scorer.name} of {drawn.folder.name}"
    own = _in_parts(scorer, drawn, where, prompts, watch, name)
    random = np.random.default_rng(request.bootstrap.seed)
    count = min(CONTROL_PICTURES, len(where))
    chosen = [int(place) for place in sorted(random.choice(len(where), count, replace=False))]
    deranged = derange([prompts[place] for place in chosen], request.bootstrap.seed)
    if deranged is None:
        return own, _without_others(scorer.name, drawn, count)
    others = _in_parts(
        scorer, drawn, [where[place] for place in chosen], deranged, watch, f"{name}, deranged prompts"
    )
    return own, control_of_prompts(scorer.name, str(drawn.folder), own[chosen], others, request.bootstrap)


def _in_parts(
    scorer: TextImageScorer,
    drawn: DrawnSet,
    where: Sequence[int],
    prompts: Sequence[str],
    watch: Watch,
    name: str,
) -> Scores:
    report = watch(name)
    parts = []
    for start in range(0, len(where), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        pictures = [drawn.load(place) for place in where[part]]
        parts.append(scorer.score(pictures, prompts[part]))
        report(start + len(pictures), len(where))
    return np.concatenate(parts)


def _without_others(metric: str, drawn: DrawnSet, count: int) -> Control:
    return Control(
        name="deranged prompts",
        metric=metric,
        pictures=str(drawn.folder),
        value=0.0,
        low=None,
        high=None,
        count=count,
        passed=False,
        means=(
            "expected prompts that differ from picture to picture, found one at more than half of the "
            f"{count} pictures, so that nothing shows whether the score tells prompts apart"
        ),
    )
