"""The linear path from the UNet's input to its output, opened at the start.

One step computes x0 = 14.6 (n - eps), n being the unit noise that the step starts from. Whatever fraction
of n the UNet's output lacks shows as grain, 14.6 times enlarged, so the UNet must pass n almost exactly
although GroupNorm and SiLU stand on the way. The path: `conv_in` spreads n over all its channels, the last
up-block resnet's `conv_shortcut` (1x1, no norm before it) gathers it from the skip connection, and
`conv_norm_out`, SiLU and `conv_out` are arranged to cancel:

- a GroupNorm group has four channels (a n + C, a n - C, -a n + C, -a n - C): mean 0, variance
  C^2 + a^2 mean(n^2), no cross term, so with a much smaller than C the scale hardly depends on n;
- gamma and beta turn them into (n, n, -n, -n), and silu(y) - silu(-y) = y exactly.

All of it stays trainable, and half of the groups are free for anything else.
"""

from __future__ import annotations

import torch
from diffusers import EulerAncestralDiscreteScheduler, UNet2DConditionModel
from torch import nn

RATIO = 0.15
"""a / C: smaller is less dependent on the noise's own variance, larger loses less to FP16's rounding."""

_GROUP = 4
_SIGMA = 14.6146
_INPUT_SCALE = _SIGMA / (_SIGMA**2 + 1) ** 0.5
"""The scheduler divides x = sigma n by sqrt(sigma^2 + 1): the UNet sees n times this."""


def open_noise_path(unet: UNet2DConditionModel) -> None:
    """Sets the weights on the path in place. conv_norm_out must have groups of 4 channels."""
    latents = unet.config.in_channels
    channels = unet.conv_in.out_channels
    groups = channels // _GROUP
    assert unet.conv_norm_out is not None
    assert unet.conv_norm_out.num_groups == groups, "groups of 4 channels"
    copies = groups // 2 // latents
    assert copies >= 1, "too few groups to carry every latent channel"
    with torch.no_grad():
        spread = _open_conv_in(unet.conv_in, latents)
        gather = spread.pinverse() / _INPUT_SCALE
        last = unet.up_blocks[-1].resnets[-1]
        carriers = copies * latents * _GROUP
        _open_resnet(last.conv2, last.conv_shortcut, gather, carriers)
        _open_norm(unet.conv_norm_out, carriers)
        _open_conv_out(unet.conv_out, copies, carriers)


def noise_path_modules(unet: UNet2DConditionModel) -> list[nn.Module]:
    """The modules whose arithmetic must be exact, so they run in FP32 in training, and learn slowly."""
    assert unet.conv_norm_out is not None
    return [unet.conv_in, unet.up_blocks[-1].resnets[-1].conv_shortcut, unet.conv_norm_out, unet.conv_out]


def one_step_sigma(scheduler: EulerAncestralDiscreteScheduler) -> float:
    """Noise level of the only step: 14.6146 for SDXL-Turbo's scheduler."""
    scheduler.set_timesteps(1)
    return float(scheduler.sigmas[0])


def _open_conv_in(conv: nn.Conv2d, latents: int) -> torch.Tensor:
    """Centre taps of +-1/2 in orthogonal patterns, nothing else; returns them, [channels, latents]."""
    channels = conv.out_channels
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    hadamard = torch.ones(1, 1)
    while hadamard.shape[0] < channels:
        hadamard = torch.kron(hadamard, signs)
    spread = hadamard[:channels, 1 : latents + 1] / 2
    conv.weight.zero_()
    conv.weight[:, :, 1, 1] = spread
    assert conv.bias is not None
    conv.bias.zero_()
    return spread


def _open_resnet(conv2: nn.Conv2d, shortcut: nn.Conv2d, gather: torch.Tensor, carriers: int) -> None:
    """The first `carriers` channels carry +-a n +- C from the skip's half of the input, nothing else."""
    latents, skip = gather.shape
    assert conv2.bias is not None
    assert shortcut.bias is not None
    conv2.weight[:carriers] = 0.0
    conv2.bias.zero_()
    shortcut.weight[:carriers] = 0.0
    for channel in range(carriers):
        latent, place = channel // _GROUP % latents, channel % _GROUP
        shortcut.weight[channel, -skip:, 0, 0] = (RATIO if place < 2 else -RATIO) * gather[latent]
        shortcut.bias[channel] = 1.0 if place % 2 == 0 else -1.0


def _open_norm(norm: nn.GroupNorm, carriers: int) -> None:
    """Gamma undoes the division by sqrt(C^2 + a^2), beta takes +-C away: the channels become +-n."""
    norm.weight[:carriers] = (1 + RATIO**2) ** 0.5 / RATIO
    places = torch.arange(carriers) % _GROUP % 2
    norm.bias[:carriers] = (2.0 * places - 1.0) / RATIO


def _open_conv_out(conv: nn.Conv2d, copies: int, carriers: int) -> None:
    """Centre taps add up the carriers to n; the other channels start almost silent."""
    assert conv.bias is not None
    latents = conv.out_channels
    conv.bias.zero_()
    conv.weight[:, :carriers] = 0.0
    conv.weight[:, carriers:] *= 0.02
    for channel in range(carriers):
        latent, place = channel // _GROUP % latents, channel % _GROUP
        conv.weight[latent, channel, 1, 1] = (1.0 if place < 2 else -1.0) / (2 * copies)
