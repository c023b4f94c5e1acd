import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler

from mixdq.configs.bundle import SchedulerSpec
from mixdq.configs.errors import BundleError, RequestError
from mixdq.runtime.scheduler import schedule

SDXL = SchedulerSpec(1000, 0.00085, 0.012, "scaled_linear")


def _diffusers(spec: SchedulerSpec) -> EulerAncestralDiscreteScheduler:
    return EulerAncestralDiscreteScheduler(
        num_train_timesteps=spec.train_timesteps,
        beta_start=spec.beta_start,
        beta_end=spec.beta_end,
        beta_schedule=spec.beta_schedule,
        timestep_spacing="trailing",
    )


def test_one_step_starts_at_sigma_14_6146() -> None:
    (step,) = schedule(SDXL, 1)
    assert step.timestep == 999
    assert step.sigma == pytest.approx(14.6146, abs=1e-4)
    assert step.next_sigma == 0


@pytest.mark.parametrize("beta_schedule", ["scaled_linear", "linear"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 50])
def test_timesteps_and_sigmas_are_those_of_diffusers(steps: int, beta_schedule: str) -> None:
    spec = SchedulerSpec(1000, 0.0004, 0.02, beta_schedule)
    theirs = _diffusers(spec)
    theirs.set_timesteps(steps)
    ours = schedule(spec, steps)
    np.testing.assert_array_equal([step.timestep for step in ours], theirs.timesteps.numpy())
    np.testing.assert_allclose([step.sigma for step in ours], theirs.sigmas[:-1].numpy(), rtol=1e-6)
    assert theirs.init_noise_sigma.item() == pytest.approx(float(ours[0].sigma), rel=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_samples_are_those_of_diffusers_with_the_same_noise(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(steps)
    draws = random.standard_normal((steps + 1, 2, 4, 3, 3), dtype=np.float32)
    predictions = random.standard_normal((steps, 2, 4, 3, 3), dtype=np.float32)
    theirs = _diffusers(SDXL)
    theirs.set_timesteps(steps)
    remaining = iter(draws[1:])
    monkeypatch.setattr(
        "diffusers.schedulers.scheduling_euler_ancestral_discrete.randn_tensor",
        lambda *_, **__: torch.from_numpy(next(remaining)),
    )
    expected = torch.from_numpy(draws[0]) * theirs.init_noise_sigma
    ours = schedule(SDXL, steps)
    sample = draws[0] * ours[0].sigma
    for index, (step, timestep) in enumerate(zip(ours, theirs.timesteps, strict=True)):
        scaled = theirs.scale_model_input(expected, timestep)
        np.testing.assert_allclose(step.scale(sample), scaled.numpy(), atol=1e-5)
        prediction = predictions[index]
        expected = theirs.step(torch.from_numpy(prediction), timestep, expected).prev_sample
        sample = step.advance(sample, prediction, draws[index + 1] if step.next_sigma else None)
        np.testing.assert_allclose(sample, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_impossible_numbers_of_steps_are_refused(steps: int) -> None:
    with pytest.raises(RequestError, match=f"from 1 to 1000, not {steps}"):
        schedule(SDXL, steps)


def test_an_unknown_beta_schedule_is_refused() -> None:
    with pytest.raises(BundleError, match="squaredcos"):
        schedule(SchedulerSpec(1000, 0.00085, 0.012, "squaredcos_cap_v2"), 1)
