"""Weights that the user has not brought: said before any work, with where to get them."""

from __future__ import annotations

from pathlib import Path

from mixdq.configs.errors import EvaluationError
from mixdq.eval.quality import inception
from mixdq.eval.quality.request import Metric, QualityRequest
from mixdq.eval.scorers import clip_file, image_reward, lpips


def missing_weights(request: QualityRequest) -> dict[str, str]:
    """The metrics that have no weights, by their names in tables, and what to do.

    FID and KID are among them without Inception's, though other features may be compared in their place.

    Raises:
        EvaluationError: a file that was given is not there, or a metric that was asked for has none.
    """
    weights, missing = request.weights, {}
    for metric, name, path, option, how in (
        (Metric.FID, "FID", weights.inception, "--inception FILE", inception.HOW_TO_GET),
        (Metric.KID, "KID", weights.inception, "--inception FILE", inception.HOW_TO_GET),
        (Metric.LPIPS, "LPIPS", weights.lpips, "--lpips FILE", lpips.HOW_TO_GET),
        (Metric.CLIP, "CLIP", weights.clip, "--clip FILE_OR_FOLDER", clip_file.HOW_TO_GET),
        (
            Metric.IMAGEREWARD,
            "ImageReward",
            weights.image_reward,
            "--image-reward FILE",
            image_reward.HOW_TO_GET,
        ),
    ):
        _check_there(path, option, how)
        replaced = metric in (Metric.FID, Metric.KID) and request.with_effnet
        if path is None and request.wants(metric):
            if request.demands(metric) and not replaced:
                raise EvaluationError(f"{name} was asked for, and there are no weights: {how}; give {option}")
            missing[name] = f"{how}; give {option}"
    return missing


def _check_there(path: Path | None, option: str, how: str) -> None:
    if path is not None and not path.exists():
        raise EvaluationError(f"there is no file {path}, which {option.split()[0]} names. {how}")
