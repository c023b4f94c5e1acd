"""What a measurement of quality is asked for: sets, metrics, weights, and how to compute."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from mixdq.eval.quality.bootstrap import Bootstrap
from mixdq.eval.quality.networks import Resize


class Metric(StrEnum):
    """What can be measured."""

    FID = "fid"
    KID = "kid"
    SSIM = "ssim"
    PSNR = "psnr"
    SQNR = "sqnr"
    LPIPS = "lpips"
    CLIP = "clip"
    IMAGEREWARD = "imagereward"
    ALIGNMENT = "alignment"


@dataclass(frozen=True, slots=True)
class Weights:
    """Files of weights that no package ships; None where the user has none.

    Attributes:
        inception: a TorchScript file.
        clip: a file, or a transformers folder.
        image_reward: a file; `vocab.txt` of its text encoder is expected beside it.
        lpips: AlexNet's weights.
    """

    inception: Path | None = None
    clip: Path | None = None
    image_reward: Path | None = None
    lpips: Path | None = None


@dataclass(frozen=True, slots=True)
class QualityRequest:
    """A measurement.

    Attributes:
        reference: folder of the pictures to compare with: drawn ones, or photographs.
        generated: folders of the sets to score.
        metrics: what to measure; None for all that can be.
        with_effnet: whether EfficientNet-Lite0's features are compared.
        weights: what else there is.
        resize: for Inception's features.
        device: `cpu` or `cuda`.
        batch: pictures that a network reads at a time.
        bootstrap: of the intervals; its seed is that of all random choices.
        cache: folder of the kept features; None for one in each set's folder.
    """

    reference: Path
    generated: tuple[Path, ...]
    metrics: frozenset[Metric] | None
    with_effnet: bool
    resize: Resize
    device: str
    batch: int
    bootstrap: Bootstrap
    weights: Weights = field(default_factory=Weights)
    cache: Path | None = None

    def wants(self, metric: Metric) -> bool:
        """Whether a metric is to be measured, if it can be."""
        return self.metrics is None or metric in self.metrics

    def demands(self, metric: Metric) -> bool:
        """Whether it is an error if a metric can't be measured."""
        return self.metrics is not None and metric in self.metrics
