"""What turns pictures into the features that FID and KID compare: a network, its digest, its resizing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from PIL.Image import Image
from torch import nn

from mixdq.configs.errors import EvaluationError
from mixdq.eval.quality import effnet_lite, inception
from mixdq.eval.quality.resize import Pixels, clean_resize, unresized


class Resize(StrEnum):
    """How pictures get the size that a network reads."""

    CLEAN = "clean"
    """clean-fid's: bicubic in floating point, without aliasing."""
    INSIDE = "inside"
    """The Inception file's own, as in the first papers and in StyleGAN; it aliases when it shrinks."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureNetwork:
    """A network that gives each picture a row of numbers.

    Attributes:
        suffix: what follows FID and KID in the metric's name: `-EffLite0`; empty for the known Inception.
        sha256: of its weights.
        resize: how pictures are resized for it.
        device: torch's name of where it computes.
        read: a picture as the network wants it: `[3, height, width]` of 0 to 255.
        module: `[batch, 3, height, width]` to features `[batch, width]`.
    """

    suffix: str
    sha256: str
    resize: Resize
    device: str
    read: Callable[[Image], Pixels]
    module: nn.Module

    def metric(self, distance: str) -> str:
        """The name of a distance that is computed with these features."""
        return f"{distance}{self.suffix}"


def open_effnet_lite0(device: str) -> FeatureNetwork:
    """EfficientNet-Lite0 with the weights of the installed package, on pictures of 224 pixels.

    Raises:
        EvaluationError: the weights are not the package's.
    """
    return FeatureNetwork(
        suffix="-EffLite0",
        sha256=effnet_lite.SHA256,
        resize=Resize.CLEAN,
        device=device,
        read=lambda picture: clean_resize(picture, effnet_lite.SIDE),
        module=effnet_lite.load_effnet_lite0().to(device),
    )


def open_inception(path: Path, resize: Resize, device: str) -> FeatureNetwork:
    """Inception-v3 from a TorchScript file; only with the known file the distance may be called FID.

    Raises:
        EvaluationError: there is no such file, it is no TorchScript, or it has not the published one's parts.
    """
    network, sha256 = inception.load_inception(path, device)
    known = "" if sha256 == inception.SHA256 else f" (features {sha256[:12]})"
    if resize is Resize.CLEAN:
        return FeatureNetwork(
            suffix=known,
            sha256=sha256,
            resize=resize,
            device=device,
            read=lambda picture: clean_resize(picture, inception.SIDE),
            module=inception.ResizedInception(network),
        )
    return FeatureNetwork(
        suffix=f"{known} (inside resize)",
        sha256=sha256,
        resize=resize,
        device=device,
        read=unresized,
        module=inception.ResizingInception(network),
    )


def check_resize(resize: Resize, *, with_inception: bool) -> None:
    """Refuses a resizing that no network here has.

    Raises:
        EvaluationError: `inside` without Inception.
    """
    if resize is Resize.INSIDE and not with_inception:
        raise EvaluationError(
            "--resize inside is Inception's own resizing, and EfficientNet-Lite0 has none; give --inception "
            "FILE too, or --resize clean"
        )
