"""How scores are shown: a likeness as its distance from 1, which tells layers apart, a ratio in dB."""

from __future__ import annotations

import math

from mixdq.configs.sensitivity import Metric

_LABELS = {
    Metric.SQNR: "SQNR of the UNet's output (dB)",
    Metric.X0_SQNR: "SQNR of x0 (dB)",
    Metric.SSIM: "1 - SSIM of the pictures",
    Metric.WINDOWED_SSIM: "1 - windowed SSIM of the pictures",
}


def is_likeness(metric: Metric) -> bool:
    """Whether 1 is as good as it gets, and not infinity."""
    return metric in (Metric.SSIM, Metric.WINDOWED_SSIM)


def shown_label(metric: Metric) -> str:
    """Of what `shown_value`, `shown_score` and `shown_change` give."""
    return _LABELS[metric]


def shown_value(score: float, metric: Metric) -> float:
    """A score in dB, or a likeness' distance from 1; NaN if that is 0, as it has no place on a log axis."""
    if not is_likeness(metric):
        return score
    return 1 - score if score < 1 else math.nan


def shown_score(score: float, metric: Metric) -> str:
    """`0.00787`, `39.44`."""
    return f"{1 - score:.3g}" if is_likeness(metric) else f"{score:.2f}"


def shown_change(change: float, metric: Metric) -> str:
    """A difference of two scores: `0.000787`, `-3.44`."""
    return f"{change:.3g}" if is_likeness(metric) else f"{change:.2f}"
