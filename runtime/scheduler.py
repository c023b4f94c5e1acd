"""The samplers in NumPy: Euler with and without ancestral noise, and LCM's.

The numbers are those of diffusers' `EulerAncestralDiscreteScheduler`, `EulerDiscreteScheduler` and
`LCMScheduler` with epsilon prediction (Karras et al. 2022, arXiv 2206.00364, for the sigmas; k-diffusion for
the ancestral split; Luo et al. 2023, arXiv 2310.04378, for LCM). All three keep to Karras' terms, a sample
being the image plus its noise level times unit noise; LCM's own is that one divided by sqrt(level^2 + 1).

There is no classifier-free guidance: one prediction a step, of the prompt alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from mixdq.configs.bundle import SchedulerKind, SchedulerSpec, TimestepSpacing
from mixdq.configs.errors import BundleError, RequestError

Floats = npt.NDArray[np.float32]

_DATA_VARIANCE = 0.25
"""Of the images, as LCM's boundary condition has it (sigma_data = 0.5)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One denoising step; linear in the sample, the prediction and the fresh noise.

    Attributes:
        timestep: what the UNet is told, 999 for the first step of a 1000-step training schedule.
        sigma: what unit noise is multiplied by to stand for the sample that comes in. Its noise level, with
            trailing or linspace spacing; else the spread of image and noise together, sqrt(level^2 + 1).
        next_sigma: noise level of the sample that goes out; 0 after the last step.
        divisor: the UNet's input is the sample divided by it.
        kept: part of the sample that goes on.
        moved: what the prediction is multiplied by.
        noise_added: standard deviation of the fresh noise; 0 where the sampler adds none.
    """

    timestep: np.float32
    sigma: np.float32
    next_sigma: np.float32
    divisor: np.float32
    kept: np.float32
    moved: np.float32
    noise_added: np.float32

    def scale(self, sample: Floats) -> Floats:
        """The UNet's input."""
        scaled: Floats = sample / self.divisor
        return scaled

    def advance(self, sample: Floats, prediction: Floats, noise: Floats | None) -> Floats:
        """The sample at `next_sigma`.

        Args:
            sample: at this step, not scaled.
            prediction: the noise that the UNet predicts, of the sample's shape.
            noise: fresh unit noise of the sample's shape; None after the last step, which adds none.
        """
        moved: Floats = self.kept * sample + self.moved * prediction
        return moved if noise is None else moved + self.noise_added * noise


def schedule(spec: SchedulerSpec, steps: int) -> tuple[Step, ...]:
    """The steps from pure noise, whose standard deviation is the first step's sigma, to an image.

    Raises:
        RequestError: fewer steps than one, or more than the training schedule (for LCM its distillation) has.
        BundleError: a beta schedule that this mixdq does not know.
    """
    most = spec.original_inference_steps or spec.train_timesteps
    if not 1 <= steps <= most:
        raise RequestError(f"steps must be from 1 to {most}, not {steps}")
    timesteps = _timesteps(spec, steps)
    levels = _training_sigmas(spec)
    sigmas = np.interp(timesteps, np.arange(levels.size), levels).astype(np.float32)
    following = np.append(sigmas[1:], np.float32(0))
    return tuple(
        _step(spec, float(timestep), float(level), float(next_level))
        for timestep, level, next_level in zip(timesteps, sigmas, following, strict=True)
    )


def _timesteps(spec: SchedulerSpec, steps: int) -> Floats:
    count = spec.train_timesteps
    match spec.spacing:
        case TimestepSpacing.TRAILING:
            timesteps = np.arange(count, 0, -count / steps).round()[:steps] - 1
        case TimestepSpacing.LEADING:
            timesteps = np.arange(steps)[::-1] * (count // steps) + spec.steps_offset
        case TimestepSpacing.LINSPACE:
            timesteps = np.linspace(0, count - 1, steps, dtype=np.float32)[::-1]
        case None:
            distilled = spec.original_inference_steps
            assert distilled is not None
            places = np.floor(np.linspace(0, distilled, steps, endpoint=False))
            timesteps = (distilled - places) * (count // distilled) - 1
    return timesteps.astype(np.float32)


def _step(spec: SchedulerSpec, timestep: float, level: float, next_level: float) -> Step:
    spread = sqrt(level**2 + 1)
    match spec.kind:
        case SchedulerKind.EULER:
            kept, moved, noise_added = 1.0, next_level - level, 0.0
        case SchedulerKind.EULER_ANCESTRAL:
            ratio = next_level / level
            # As far down as to ratio * next_level, then noise up to next_level.
            kept, moved, noise_added = 1.0, ratio * next_level - level, next_level * sqrt(1 - ratio**2)
        case SchedulerKind.LCM:
            assert spec.timestep_scaling is not None
            scaled = timestep * spec.timestep_scaling
            variance = scaled**2 + _DATA_VARIANCE
            skip, out = _DATA_VARIANCE / variance, scaled / sqrt(variance)
            kept, moved, noise_added = out + skip / spread, -out * level, next_level
    started_at_level = spec.spacing in (TimestepSpacing.TRAILING, TimestepSpacing.LINSPACE)
    sigma = level if started_at_level else spread
    numbers = (timestep, sigma, next_level, spread, kept, moved, noise_added)
    return Step(*map(np.float32, numbers))


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
