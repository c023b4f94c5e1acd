from __future__ import annotations

from dataclasses import replace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mixdq.configs.bundle import SchedulerKind, SchedulerSpec, TimestepSpacing
from mixdq.configs.errors import BundleError, RequestError
from mixdq.runtime.scheduler import Floats, schedule

TURBO = SchedulerSpec(
    train_timesteps=1000,
    beta_start=0.00085,
    beta_end=0.012,
    beta_schedule="scaled_linear",
    kind=SchedulerKind.EULER_ANCESTRAL,
    spacing=TimestepSpacing.TRAILING,
    steps_offset=1,
    original_inference_steps=None,
    timestep_scaling=None,
)
PLAIN = replace(TURBO, kind=SchedulerKind.EULER, spacing=TimestepSpacing.LEADING)
LCM = replace(TURBO, kind=SchedulerKind.LCM, spacing=None, original_inference_steps=50, timestep_scaling=10.0)
EULERS = [
    replace(TURBO, kind=kind, spacing=spacing)
    for kind in (SchedulerKind.EULER_ANCESTRAL, SchedulerKind.EULER)
    for spacing in TimestepSpacing
]
ALL = [*EULERS, LCM, replace(LCM, original_inference_steps=40, timestep_scaling=0.01)]
CLASSES = {
    SchedulerKind.EULER_ANCESTRAL: diffusers.EulerAncestralDiscreteScheduler,
    SchedulerKind.EULER: diffusers.EulerDiscreteScheduler,
    SchedulerKind.LCM: diffusers.LCMScheduler,
}


def _name(spec: object) -> str:
    if not isinstance(spec, SchedulerSpec):
        return str(spec)
    return f"{spec.kind}-{spec.spacing or spec.original_inference_steps}"


def _diffusers(spec: SchedulerSpec, steps: int) -> Any:
    own = {"timestep_spacing": spec.spacing}
    if spec.kind is SchedulerKind.LCM:
        own = {name: getattr(spec, name) for name in ("original_inference_steps", "timestep_scaling")}
    scheduler = CLASSES[spec.kind](
        num_train_timesteps=spec.train_timesteps,
        beta_start=spec.beta_start,
        beta_end=spec.beta_end,
        beta_schedule=spec.beta_schedule,
        steps_offset=spec.steps_offset,
        **own,
    )
    scheduler.set_timesteps(steps)
    return scheduler


def _assert_equal_to_rounding(ours: Floats, theirs: torch.Tensor) -> None:
    """Within eight roundings of the largest value: a few operations a step, of up to eight steps."""
    assert ours.dtype == np.float32
    rounding = float(theirs.abs().max()) * float(np.finfo(np.float32).eps)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=8 * rounding)


def test_one_step_of_sdxl_turbo_starts_at_sigma_14_6146_and_ends_at_the_clean_image() -> None:
    (step,) = schedule(TURBO, 1)
    assert step.timestep == 999
    assert step.sigma == pytest.approx(14.6146, abs=1e-4)
    assert step.next_sigma == 0
    sample, prediction = np.array([[3, -1]], np.float32), np.array([[0.5, 0]], np.float32)
    expected = np.array([[3 - 14.6146 / 2, -1]], np.float32)
    np.testing.assert_allclose(step.advance(sample, prediction, None), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "timesteps"),
    [(TURBO, [999, 749, 499, 249]), (PLAIN, [751, 501, 251, 1]), (LCM, [999, 759, 499, 259])],
    ids=_name,
)
def test_four_steps_lie_where_the_spacing_says(spec: SchedulerSpec, timesteps: list[int]) -> None:
    assert [step.timestep for step in schedule(spec, 4)] == timesteps


@pytest.mark.parametrize("beta_schedule", ["scaled_linear", "linear"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 8, 30])
@pytest.mark.parametrize("spec", ALL, ids=_name)
def test_timesteps_are_those_of_diffusers(spec: SchedulerSpec, steps: int, beta_schedule: str) -> None:
    spec = replace(spec, beta_start=0.0004, beta_end=0.02, beta_schedule=beta_schedule)
    ours = schedule(spec, steps)
    np.testing.assert_array_equal([step.timestep for step in ours], _diffusers(spec, steps).timesteps.numpy())


@pytest.mark.parametrize("beta_schedule", ["scaled_linear", "linear"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 8, 30])
@pytest.mark.parametrize("spec", EULERS, ids=_name)
def test_noise_levels_of_euler_are_those_of_diffusers(
    spec: SchedulerSpec, steps: int, beta_schedule: str
) -> None:
    spec = replace(spec, beta_start=0.0004, beta_end=0.02, beta_schedule=beta_schedule)
    theirs = _diffusers(spec, steps)
    ours = schedule(spec, steps)
    np.testing.assert_allclose([step.next_sigma for step in ours], theirs.sigmas[1:].numpy(), rtol=1e-6)
    assert float(ours[0].sigma) == pytest.approx(float(theirs.init_noise_sigma), rel=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
@pytest.mark.parametrize("spec", ALL, ids=_name)
def test_the_unets_inputs_and_the_image_are_those_of_diffusers_with_the_same_noise(
    spec: SchedulerSpec, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(steps)
    draws = random.standard_normal((steps + 1, 2, 4, 3, 3), dtype=np.float32)
    predictions = random.standard_normal((steps, 2, 4, 3, 3), dtype=np.float32)
    theirs = _diffusers(spec, steps)
    remaining = iter(draws[1:])
    monkeypatch.setattr(
        f"{type(theirs).__module__}.randn_tensor", lambda *_, **__: torch.from_numpy(next(remaining))
    )
    expected = torch.from_numpy(draws[0]) * theirs.init_noise_sigma
    ours = schedule(spec, steps)
    sample = draws[0] * ours[0].sigma
    for index, (step, timestep) in enumerate(zip(ours, theirs.timesteps, strict=True)):
        scaled = theirs.scale_model_input(expected, timestep)
        _assert_equal_to_rounding(step.scale(sample), scaled)
        prediction = predictions[index]
        expected = theirs.step(torch.from_numpy(prediction), timestep, expected).prev_sample
        sample = step.advance(sample, prediction, draws[index + 1] if step.next_sigma else None)
    _assert_equal_to_rounding(sample, expected)


def test_euler_without_ancestral_noise_leaves_the_noise_that_it_is_handed_out() -> None:
    step = schedule(PLAIN, 4)[0]
    sample, prediction, noise = np.random.default_rng(0).standard_normal((3, 1, 4, 2, 2), dtype=np.float32)
    np.testing.assert_array_equal(
        step.advance(sample, prediction, noise), step.advance(sample, prediction, None)
    )


@pytest.mark.parametrize(("spec", "most"), [(TURBO, 1000), (PLAIN, 1000), (LCM, 50)], ids=_name)
def test_impossible_numbers_of_steps_are_refused(spec: SchedulerSpec, most: int) -> None:
    assert len(schedule(spec, most)) == most
    for steps in (0, -1, most + 1):
        with pytest.raises(RequestError, match=f"from 1 to {most}, not {steps}"):
            schedule(spec, steps)


def test_an_unknown_beta_schedule_is_refused() -> None:
    with pytest.raises(BundleError, match="squaredcos"):
        schedule(replace(TURBO, beta_schedule="squaredcos_cap_v2"), 1)


@pytest.mark.parametrize(
    ("spec", "changes"),
    [
        (TURBO, {"spacing": None}),
        (TURBO, {"original_inference_steps": 50}),
        (TURBO, {"timestep_scaling": 10.0}),
        (LCM, {"spacing": TimestepSpacing.TRAILING}),
        (LCM, {"original_inference_steps": None}),
        (LCM, {"timestep_scaling": None}),
    ],
)
def test_numbers_of_another_kind_of_sampler_are_refused(spec: SchedulerSpec, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="belong to lcm alone"):
        replace(spec, **changes)


@pytest.mark.parametrize("count", [0, 1001])
def test_a_distillation_of_more_steps_than_the_training_schedule_is_refused(count: int) -> None:
    with pytest.raises(ValidationError, match=rf"from 1 to train_timesteps \(1000\), not {count}"):
        replace(LCM, original_inference_steps=count)
