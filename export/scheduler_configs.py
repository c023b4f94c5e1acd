"""A model's sampler: what its configuration says, what the runtime can repeat, another one in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from mixdq.configs.bundle import SchedulerKind, SchedulerSpec, TimestepSpacing
from mixdq.configs.documents import parse
from mixdq.configs.errors import ModelError, RequestError

_Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
_Beta = Annotated[float, Field(strict=True, gt=0, lt=1)]

SCHEDULER_CLASSES: Mapping[SchedulerKind, str] = {
    SchedulerKind.EULER_ANCESTRAL: "EulerAncestralDiscreteScheduler",
    SchedulerKind.EULER: "EulerDiscreteScheduler",
    SchedulerKind.LCM: "LCMScheduler",
}
"""diffusers' class of each sampler."""

# Anything else in these fields would give other pictures than diffusers does, and no error.
_ONLY: Mapping[str, tuple[object, ...]] = {
    "_class_name": tuple(SCHEDULER_CLASSES.values()),
    "prediction_type": ("epsilon",),
    "beta_schedule": ("scaled_linear", "linear"),
    "trained_betas": (None,),
    "rescale_betas_zero_snr": (False, None),
}
# The same for the fields that only one of the classes reads: the others' files hold them as leftovers.
_SPACINGS = tuple(spacing.value for spacing in TimestepSpacing)
_ONLY_WITH: Mapping[str, Mapping[str, tuple[object, ...]]] = {
    SCHEDULER_CLASSES[SchedulerKind.EULER_ANCESTRAL]: {"timestep_spacing": _SPACINGS},
    SCHEDULER_CLASSES[SchedulerKind.EULER]: {
        "timestep_spacing": _SPACINGS,
        "interpolation_type": ("linear", None),
        "use_karras_sigmas": (False, None),
        "use_exponential_sigmas": (False, None),
        "use_beta_sigmas": (False, None),
        "final_sigmas_type": ("zero", None),
    },
    SCHEDULER_CLASSES[SchedulerKind.LCM]: {"clip_sample": (False, None), "thresholding": (False, None)},
}


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="ignore", allow_inf_nan=False))
class SchedulerConfiguration:
    """The numbers of a sampler; the fields that have a default here have it in diffusers."""

    num_train_timesteps: _Count
    beta_start: _Beta
    beta_end: _Beta
    steps_offset: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 0
    original_inference_steps: _Count = 50
    timestep_scaling: Annotated[float, Field(strict=True, gt=0)] = 10.0


def allowed_values(config: Mapping[str, Any]) -> Mapping[str, tuple[object, ...]]:
    """The values that the fields of a scheduler's configuration may have; None stands for an absent field."""
    return {**_ONLY, **_ONLY_WITH.get(str(config.get("_class_name")), {})}


def scheduler_spec(config: Mapping[str, Any], source: str = "the scheduler's configuration") -> SchedulerSpec:
    """The sampler of a checked scheduler configuration.

    Classifier-free guidance is no part of it: mixdq compiles and samples without, as SDXL-Turbo and LCM are
    meant to be.

    Args:
        config: whose fields have `allowed_values`.
        source: where it is from, for messages.

    Raises:
        ModelError: numbers that are missing, of the wrong type or impossible.
    """
    numbers = parse(SchedulerConfiguration, config, source, ModelError)
    kind = next(kind for kind, name in SCHEDULER_CLASSES.items() if name == config["_class_name"])
    lcm = kind is SchedulerKind.LCM
    spec = {
        "train_timesteps": numbers.num_train_timesteps,
        "beta_start": numbers.beta_start,
        "beta_end": numbers.beta_end,
        "beta_schedule": config["beta_schedule"],
        "kind": kind,
        "spacing": None if lcm else config["timestep_spacing"],
        "steps_offset": numbers.steps_offset,
        "original_inference_steps": numbers.original_inference_steps if lcm else None,
        "timestep_scaling": numbers.timestep_scaling if lcm else None,
    }
    return parse(SchedulerSpec, spec, source, ModelError)


def with_scheduler(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """A model's scheduler configuration for another sampler: LCM's for a model with an LCM-LoRA.

    As diffusers' `from_config`, it keeps the noise schedule, and the spacing where the sampler has one. The
    result is still to be checked.

    Raises:
        RequestError: no sampler of that name.
    """
    try:
        chosen = SchedulerKind(kind)
    except ValueError as error:
        raise RequestError(f"there is no scheduler {kind!r}; choose {' or '.join(SchedulerKind)}") from error
    changed = {**config, "_class_name": SCHEDULER_CLASSES[chosen]}
    if chosen is SchedulerKind.LCM:
        changed = {"original_inference_steps": 50, "timestep_scaling": 10.0} | changed
    return changed
