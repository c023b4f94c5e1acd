"""How well pictures show their prompts: CLIP, ImageReward and the dual encoder, each after a control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from mixdq.configs.errors import EvaluationError
from mixdq.configs.quality_table import Control
from mixdq.eval.alignment.scorer import open_alignment, require_emoji
from mixdq.eval.quality.bootstrap import Bootstrap
from mixdq.eval.quality.derangement import control_of_prompts, control_without_others, derange
from mixdq.eval.quality.found import Found, PictureScores, Report, Watch
from mixdq.eval.quality.pairs import Places
from mixdq.eval.quality.pictures import DrawnSet, PictureSet
from mixdq.eval.quality.request import Metric, QualityRequest
from mixdq.eval.scorer import EmbeddingScorer, Scores, TextImageScorer
from mixdq.eval.scorers.clip import open_clip_scorer
from mixdq.eval.scorers.image_reward import open_image_reward
from mixdq.eval.scorers.retrieval import hits as find_hits

CONTROL_PICTURES = 256
"""A set's control takes at most so many of its pictures, drawn by the seed."""

_AT_ONCE = 64

Opener = Callable[[], TextImageScorer]


def find_scorers(
    request: QualityRequest, reference: PictureSet, sets: Sequence[DrawnSet]
) -> tuple[list[Opener], dict[str, str]]:
    """What opens each scorer that is wanted and that there are weights for; why a shipped one does not fit.

    Raises:
        EvaluationError: the dual encoder was asked for, and the pictures are not of its kind.
    """
    weights, device, batch = request.weights, request.device, request.batch
    openers: list[Opener] = []
    if request.wants(Metric.CLIP) and weights.clip is not None:
        openers.append(partial(open_clip_scorer, weights.clip, device, batch))
    if request.wants(Metric.IMAGEREWARD) and weights.image_reward is not None:
        openers.append(partial(open_image_reward, weights.image_reward, None, None, device, batch))
    if request.wants(Metric.ALIGNMENT):
        try:
            for drawn in (reference, *sets):
                if isinstance(drawn, DrawnSet):
                    require_emoji(drawn.manifest)
        except EvaluationError as error:
            if request.demands(Metric.ALIGNMENT):
                raise
            return openers, {"emoji alignment": str(error)}
        openers.append(partial(open_alignment, device, batch))
    return openers, {}


def compare_texts(
    openers: Sequence[Opener],
    request: QualityRequest,
    reference: PictureSet,
    sets: Sequence[DrawnSet],
    places: Sequence[Places],
    watch: Watch,
) -> Found:
    """Every scorer's scores, one scorer in memory at a time.

    The reference's own pictures are scored too, unless they are photographs, which have no prompts.

    Args:
        openers: of the scorers.
        request: how to measure.
        reference: the pictures to compare with.
        sets: those to score.
        places: of each set, in which order its pictures are the reference's partners.
        watch: for progress.

    Raises:
        EvaluationError: weights that are damaged or of another kind.
    """
    found = Found()
    for open_scorer in openers:
        found = found.joined(score_with(open_scorer(), request, reference, sets, places, watch))
    return found


def score_with(
    scorer: TextImageScorer,
    request: QualityRequest,
    reference: PictureSet,
    sets: Sequence[DrawnSet],
    places: Sequence[Places],
    watch: Watch,
) -> Found:
    """One scorer's scores of all sets; refused where the control of deranged prompts fails."""
    controls: list[Control] = []
    own: _Scored | None = None
    if isinstance(reference, DrawnSet):
        everything = range(len(reference.records))
        own = _score(scorer, reference, everything, request.bootstrap, watch, is_reference=True)
        controls.append(own.control)
        if not own.control.passed:
            reason = f"refused, for this score can't tell the reference's prompts apart: {own.control.means}"
            return Found(controls=(own.control,), not_scored={scorer.name: reason})
    rows, refused = [], {}
    for number, (drawn, where) in enumerate(zip(sets, places, strict=True)):
        scored = _score(scorer, drawn, where, request.bootstrap, watch, is_reference=False)
        rows.append(scored)
        controls.append(scored.control)
        if not scored.control.passed:
            means = scored.control.means
            refused[number] = f"these pictures don't show their prompts, or belong to others: {means}"
    scores = [
        PictureScores(
            metric=scorer.name,
            weights_sha256=scorer.weights_sha256,
            higher_is_better=True,
            sets=tuple(row.own for row in rows),
            reference=own.own if own else None,
            refused=refused,
        )
    ]
    if isinstance(scorer, EmbeddingScorer):
        scores.append(
            replace(
                scores[0],
                metric=f"RI@1 ({scorer.name})",
                sets=tuple(row.hits for row in rows),
                reference=own.hits if own else None,
            )
        )
    return Found(scores=tuple(scores), controls=tuple(controls))


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """A set's scores, in the order of its partners.

    Attributes:
        own: of each picture with its prompt.
        hits: 1 where a prompt's best picture of the set is its own; empty of a scorer without embeddings.
        control: what deranged prompts gave.
    """

    own: Scores
    hits: Scores
    control: Control


def _score(
    scorer: TextImageScorer,
    drawn: DrawnSet,
    where: Sequence[int],
    bootstrap: Bootstrap,
    watch: Watch,
    *,
    is_reference: bool,
) -> _Scored:
    prompts = [drawn.records[place].prompt for place in where]
    report = watch(f"{scorer.name} of {drawn.folder.name}")
    count = min(CONTROL_PICTURES, len(where))
    chosen = np.sort(np.random.default_rng(bootstrap.seed).choice(len(where), count, replace=False))
    deranged = derange([prompts[place] for place in chosen], bootstrap.seed)
    if deranged is None:
        nothing = np.zeros(len(where))
        return _Scored(nothing, nothing, control_without_others(scorer.name, str(drawn.folder), count))
    hits = np.zeros(0)
    if isinstance(scorer, EmbeddingScorer):
        images = _embed(scorer, drawn, where, report)
        texts = np.asarray(scorer.embed_prompts(prompts))
        own, hits = (images * texts).sum(axis=1), find_hits(images, texts, prompts)
        others = (images[chosen] * np.asarray(scorer.embed_prompts(deranged))).sum(axis=1)
    else:
        total = len(where) + count
        own = _in_parts(scorer, drawn, where, prompts, lambda done: report(done, total))
        others = _in_parts(
            scorer,
            drawn,
            [where[place] for place in chosen],
            deranged,
            lambda done: report(len(where) + done, total),
        )
    control = control_of_prompts(
        scorer.name, str(drawn.folder), own[chosen], others, bootstrap, is_reference=is_reference
    )
    return _Scored(own, hits, control)


def _embed(
    scorer: EmbeddingScorer, drawn: DrawnSet, where: Sequence[int], report: Report
) -> npt.NDArray[np.float64]:
    """Each picture's vector, `[picture, width]`: it serves all prompts."""
    parts = []
    for start in range(0, len(where), _AT_ONCE):
        pictures = [drawn.load(place) for place in where[start : start + _AT_ONCE]]
        parts.append(np.asarray(scorer.embed_images(pictures)))
        report(start + len(pictures), len(where))
    return np.concatenate(parts)


def _in_parts(
    scorer: TextImageScorer,
    drawn: DrawnSet,
    where: Sequence[int],
    prompts: Sequence[str],
    report: Callable[[int], None],
) -> Scores:
    parts = []
    for start in range(0, len(where), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        pictures = [drawn.load(place) for place in where[part]]
        parts.append(scorer.score(pictures, prompts[part]))
        report(start + len(pictures))
    return np.concatenate(parts)
