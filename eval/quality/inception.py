"""Inception-v3 of 2015, the network of the Fréchet inception distance, from a TorchScript file."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_file

SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
"""`inception-2015-12-05.pt`, which StyleGAN2-ADA, StyleGAN3 and clean-fid use."""

SIDE = 299
"""Pixels that the network was trained at."""

HOW_TO_GET = (
    "FID and KID with Inception need inception-2015-12-05.pt, 96 MB: "
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
)


def load_inception(path: Path, device: str) -> tuple[nn.Module, str]:
    """The network of a TorchScript file, and the file's SHA-256.

    Raises:
        EvaluationError: there is no such file, or it holds no TorchScript.
    """
    if not path.is_file():
        raise EvaluationError(f"there is no file {path}. {HOW_TO_GET}")
    try:
        with warnings.catch_warnings():
            # TorchScript is deprecated, and the published file is one.
            warnings.simplefilter("ignore", DeprecationWarning)
            network: nn.Module = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EvaluationError(f"{path} holds no TorchScript: {reason}. {HOW_TO_GET}") from error
    return network.eval(), sha256_of_file(path)


class ResizedInception(nn.Module):
    """Features of pictures of 299 pixels in floating point, as clean-fid computes them.

    Reads `[batch, 3, 299, 299]` of 0 to 255. The published network would round, so its `layers` are called
    with (x - 128) / 128, which is its own scaling.
    """

    def __init__(self, network: nn.Module) -> None:
        """Takes a network that has the published one's `layers`.

        Raises:
            EvaluationError: it has none.
        """
        super().__init__()
        layers = getattr(network, "layers", None)
        if not isinstance(layers, nn.Module):
            raise EvaluationError(
                "the TorchScript of --inception has no part `layers`, which clean resizing needs; give "
                "inception-2015-12-05.pt, or --resize inside"
            )
        self._layers = layers

    def forward(self, pixels: Tensor) -> Tensor:
        """Features `[batch, 2048]`."""
        features: Tensor = self._layers((pixels - 128) / 128)
        return features.flatten(1)


class ResizingInception(nn.Module):
    """Features of pictures of any one size, resized within the network, as StyleGAN computes them."""

    def __init__(self, network: nn.Module) -> None:
        """Takes the published network, or one that is called like it."""
        super().__init__()
        self._network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Features `[batch, 2048]` of `[batch, 3, height, width]`, 0 to 255."""
        features: Tensor = self._network(pixels.to(torch.uint8), return_features=True)
        return features.flatten(1)
