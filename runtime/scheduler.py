"""The sampler of SDXL-Turbo in NumPy: Euler steps with ancestral noise.

The numbers are those of diffusers' `EulerAncestralDiscreteScheduler` with trailing spacing and epsilon
prediction (Karras et al. 2022, arXiv 2206.00364, for the sigmas; k-diffusion for the ancestral split).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixdq.configs.bundle import SchedulerSpec
from mixdq.configs.errors import BundleError, RequestError

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Step:
    """One denoising step, from noise level `sigma` to `next_sigma`.

    Attributes:
        timestep: what the UNet is told, 999 for the first step of a 1000-step training schedule.
        sigma: noise level of the sample that comes in.
        next_sigma: noise level of the sample that goes out; 0 after the last step.
    """

    timestep: np.float32
    sigma: np.float32
    next_sigma: np.float32

    def scale(self, sample: Floats) -> Floats:
        """The UNet's input: the sample divided by sqrt(sigma^2 + 1)."""
        scaled: Floats = sample / np.sqrt(self.sigma**2 + np.float32(1))
        return scaled

    def advance(self, sample: Floats, prediction: Floats, noise: Floats | None) -> Floats:
        """The sample at `next_sigma`.

        Args:
            sample: at `sigma`, not scaled.
            prediction: the noise that the UNet predicts, of the sample's shape.
            noise: fresh unit noise of the sample's shape; None after the last step, which adds none.
        """
        clean = sample - self.sigma * prediction
        derivative = (sample - clean) / self.sigma
        up = self.noise_added
        down = np.sqrt(self.next_sigma**2 - up**2)
        moved: Floats = sample + derivative * (down - self.sigma)
        return moved if noise is None else moved + noise * up

    @property
    def noise_added(self) -> np.float32:
        """Standard deviation of the fresh noise."""
        variance = self.next_sigma**2 * (self.sigma**2 - self.next_sigma**2) / self.sigma**2
        return np.float32(np.sqrt(variance))


def schedule(spec: SchedulerSpec, steps: int) -> tuple[Step, ...]:
    """The steps from pure noise, whose standard deviation is the first step's sigma, to an image.

    Raises:
        RequestError: fewer steps than one, or more than the training schedule has.
        BundleError: a beta schedule that this mixdq does not know.
    """
    if not 1 <= steps <= spec.train_timesteps:
        raise RequestError(f"steps must be from 1 to {spec.train_timesteps}, not {steps}")
    stride = spec.train_timesteps / steps
    timesteps = np.arange(spec.train_timesteps, 0, -stride).round()[:steps].astype(np.float32) - 1
    levels = _training_sigmas(spec)
    sigmas = np.interp(timesteps, np.arange(levels.size), levels).astype(np.float32)
    following = np.append(sigmas[1:], np.float32(0))
    return tuple(Step(*numbers) for numbers in zip(timesteps, sigmas, following, strict=True))


def _training_sigmas(spec: SchedulerSpec) -> Floats:
    if spec.beta_schedule == "scaled_linear":
        roots = np.linspace(spec.beta_start**0.5, spec.beta_end**0.5, spec.train_timesteps, dtype=np.float32)
        betas = roots**2
    elif spec.beta_schedule == "linear":
        betas = np.linspace(spec.beta_start, spec.beta_end, spec.train_timesteps, dtype=np.float32)
    else:
        raise BundleError(
            f"the bundle's beta schedule is {spec.beta_schedule!r}; this mixdq knows scaled_linear and linear"
        )
    # torch accumulates a float32 cumprod in float64; the sigmas agree to the last bits only if we do too.
    kept = np.cumprod(np.float32(1) - betas, dtype=np.float64).astype(np.float32)
    sigmas: Floats = np.sqrt((np.float32(1) - kept) / kept)
    return sigmas
