"""LPIPS: how different two pictures look to a network (Zhang et al. 2018), with AlexNet's features."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image
from torch import nn

from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_file
from mixdq.eval.scorer import Scores
from mixdq.eval.scorers.computing import check_device, computing, slices
from mixdq.eval.scorers.conversion import Origin, fill
from mixdq.eval.scorers.stored_weights import StoredWeights, read_weights

HOW_TO_GET = (
    "LPIPS needs torchvision's AlexNet, 244 MB: "
    "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth (the linear heads come with torchmetrics)"
)

SMALLEST_SIDE = 31
"""Pixels: below, AlexNet's second pooling has nothing left."""

_HEADS = "functional/image/lpips_models/alex.pth"
# Of version 0.1 of the heads; the same bytes in lpips 0.1.4 and in torchmetrics 1.9.
_HEADS_SHA256 = "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"
# lpips' own names of the same layers: `net.slice2.3.weight`.
_SLICE = re.compile(r"net\.slice\d\.")
# What both layouts hold beside: the classifier, the constants of the scaling, the heads a second time.
_UNUSED = ("classifier.", "scaling_layer.", "lins.")


@dataclass(frozen=True, slots=True, eq=False)
class LpipsMetric:
    """Distances of picture pairs; 0 is equal, and lower is more alike.

    Checked against lpips 0.1.4, both with the same random AlexNet and the published heads: distances of 0 to
    0.11 differ by at most 8e-9.
    """

    name: str
    weights_sha256: str
    device: str
    batch: int
    _network: _Network

    def distance(self, images: Sequence[Image], references: Sequence[Image]) -> Scores:
        """The distance of each image to its reference.

        Args:
            images: pictures of one size, of at least 31 pixels a side.
            references: as many, of the same size.

        Raises:
            EvaluationError: the numbers or the sizes differ, or the pictures are too small.
        """
        _check_pairs(images, references)
        found = []
        with computing(self.device, self.batch):
            for part in slices(len(images), self.batch):
                ours, theirs = (_pixels(pictures[part]).to(self.device) for pictures in (images, references))
                found.append(self._network(ours, theirs).double().cpu().numpy())
        return np.concatenate(found)


def open_lpips(path: Path, device: str, batch: int) -> LpipsMetric:
    """Opens AlexNet's weights.

    Args:
        path: torchvision's `alexnet-owt-7be5be79.pth` (or the same tensors as safetensors), or a state dict
            of lpips' own `LPIPS(net="alex")`. If the file holds the linear heads (`lin0.model.1.weight`, …)
            they are used, otherwise those that torchmetrics ships.
        device: torch's name of it.
        batch: pairs at a time.

    Raises:
        EvaluationError: the file is missing, damaged, or not AlexNet.
        MachineError: there is no such device.
    """
    check_device(device, batch)
    weights = read_weights(path, HOW_TO_GET)
    tensors = {_SLICE.sub("features.", name): tensor for name, tensor in weights.tensors.items()}
    if not any(name.startswith("lin0.") for name in tensors):
        tensors |= _shipped_heads()
    with torch.device("meta"):
        network = _Network()
    fill(
        network,
        StoredWeights(path, weights.sha256, tensors),
        Origin,
        lambda name: name.startswith(_UNUSED),
        HOW_TO_GET,
    )
    return LpipsMetric("LPIPS (AlexNet)", weights.sha256, device, batch, network.to(device))


class _Head(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        # The published names count the dropout before: `lin0.model.1.weight`.
        self.model = nn.Sequential(nn.Identity(), nn.Conv2d(channels, 1, 1, bias=False))

    def forward(self, squares: torch.Tensor) -> torch.Tensor:
        heat: torch.Tensor = self.model(squares)
        return heat.mean(dim=(1, 2, 3))


class _Network(nn.Module):
    """AlexNet's five rectified convolutions and a head on each; names as in the published files."""

    _TAPS = (1, 4, 7, 9, 11)

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
        )
        self.lin0, self.lin1, self.lin2, self.lin3, self.lin4 = (_Head(n) for n in (64, 192, 384, 256, 256))

    def forward(self, ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
        """Distances [N] of pictures [N,3,H,W] in [-1, 1]."""
        heads = (self.lin0, self.lin1, self.lin2, self.lin3, self.lin4)
        pairs = zip(self._unit_features(ours), self._unit_features(theirs), strict=True)
        parts = [head((a - b) ** 2) for head, (a, b) in zip(heads, pairs, strict=True)]
        return torch.stack(parts).sum(dim=0)

    def _unit_features(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        shift = torch.tensor([-0.030, -0.088, -0.188], device=pictures.device).view(1, 3, 1, 1)
        scale = torch.tensor([0.458, 0.448, 0.450], device=pictures.device).view(1, 3, 1, 1)
        now, found = (pictures - shift) / scale, []
        for place, layer in enumerate(self.features):
            now = layer(now)
            if place in self._TAPS:
                length = (now**2).sum(dim=1, keepdim=True).sqrt()
                found.append(now / (length + 1e-10))
        return found


def _shipped_heads() -> dict[str, torch.Tensor]:
    spec = find_spec("torchmetrics")
    assert spec is not None, "torchmetrics"
    assert spec.origin is not None, "torchmetrics"
    path = Path(spec.origin).parent / _HEADS
    if not path.is_file() or sha256_of_file(path) != _HEADS_SHA256:
        raise EvaluationError(
            f"LPIPS' heads, version 0.1, are not at {path} in this version of torchmetrics; install 1.9, or "
            "give a file that holds AlexNet and the heads: the state dict of lpips' own `LPIPS(net='alex')`"
        )
    return dict(read_weights(path, HOW_TO_GET).tensors)


def _check_pairs(images: Sequence[Image], references: Sequence[Image]) -> None:
    if len(images) != len(references) or not images:
        raise EvaluationError(
            f"LPIPS compares pairs: {len(images)} pictures and {len(references)} references were given; give "
            "as many of each"
        )
    sizes = sorted({image.size for image in (*images, *references)})
    if len(sizes) > 1:
        raise EvaluationError(f"pictures of sizes {sizes} can't be compared; make all at one resolution")
    if min(sizes[0]) < SMALLEST_SIDE:
        raise EvaluationError(
            f"LPIPS needs pictures of at least {SMALLEST_SIDE} pixels a side, and these have {sizes[0]}"
        )


def _pixels(pictures: Sequence[Image]) -> torch.Tensor:
    """[N,3,H,W] in [-1, 1]."""
    stacked = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1
