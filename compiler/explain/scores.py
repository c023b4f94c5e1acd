"""How scores are written: an SSIM with the digits that tell layers apart, a ratio in dB."""

from __future__ import annotations

from mixdq.configs.sensitivity import Metric

_NAMES = {
    Metric.SQNR: "SQNR of the UNet's output in dB",
    Metric.X0_SQNR: "SQNR of x0 in dB",
    Metric.SSIM: "SSIM of the pictures",
    Metric.WINDOWED_SSIM: "windowed SSIM of the pictures",
}


def shown_unit(metric: Metric) -> str:
    """What a metric's numbers are."""
    return _NAMES[metric]


def is_likeness(metric: Metric) -> bool:
    """Whether 1 is as good as it gets, and not infinity."""
    return metric in (Metric.SSIM, Metric.WINDOWED_SSIM)


def shown_score(score: float, metric: Metric) -> str:
    """`0.99213`, `39.44`."""
    return f"{score:.5f}" if is_likeness(metric) else f"{score:.2f}"


_LABELS = {
    Metric.SQNR: "SQNR of the UNet's output (dB)",
    Metric.X0_SQNR: "SQNR of x0 (dB)",
    Metric.SSIM: "1 - SSIM of the pictures",
    Metric.WINDOWED_SSIM: "1 - windowed SSIM of the pictures",
}
_SMALLEST = 1e-7


def plot_label(metric: Metric) -> str:
    """Of an axis of `plot_value`s."""
    return _LABELS[metric]


def plot_value(score: float, metric: Metric) -> float:
    """What an axis shows: of a likeness its distance from 1, which a logarithmic axis can stretch."""
    return max(1 - score, _SMALLEST) if is_likeness(metric) else score
