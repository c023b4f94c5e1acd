"""Samplers that the runtime repeats are accepted; pipelines that are not SDXL are refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import pytest

from mixdq.configs.bundle import SchedulerKind, SchedulerSpec, TimestepSpacing
from mixdq.configs.errors import ModelError, RequestError
from mixdq.configs.presets import shipped_model
from mixdq.export.model_configs import check_configs, check_pipeline
from mixdq.export.scheduler_configs import SCHEDULER_CLASSES, scheduler_spec, with_scheduler
from mixdq.runtime.scheduler import schedule

# Schedulers. SDXL's files share these fields, leftovers of other classes among them.

SHARED = {
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}
TURBO = {**SHARED, "_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"}
PLAIN = {
    **SHARED,
    "_class_name": "EulerDiscreteScheduler",
    "timestep_spacing": "leading",
    "use_karras_sigmas": False,
}

CONFIG_FILES = {
    **{part: f"{part}/config.json" for part in ("unet", "vae", "text_encoder", "text_encoder_2")},
    "scheduler": "scheduler/scheduler_config.json",
}


@pytest.fixture
def configs() -> dict[str, dict[str, Any]]:
    """The configurations of a model that is accepted."""
    folder = shipped_model("emoji-turbo")
    assert folder is not None
    return {name: json.loads((folder / file).read_text()) for name, file in CONFIG_FILES.items()}


def _check(configs: Mapping[str, Mapping[str, Any]]) -> None:
    check_configs(Path("model"), {name: Path("model", file) for name, file in CONFIG_FILES.items()}, configs)


def test_sdxl_turbos_sampler_is_read_by_its_numbers() -> None:
    assert scheduler_spec(TURBO) == SchedulerSpec(
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


def test_plain_sdxls_sampler_is_accepted_with_its_spacing(configs: dict[str, dict[str, Any]]) -> None:
    _check({**configs, "scheduler": PLAIN})
    spec = scheduler_spec(PLAIN)
    assert (spec.kind, spec.spacing, spec.steps_offset) == (SchedulerKind.EULER, TimestepSpacing.LEADING, 1)


@pytest.mark.parametrize("kind", SchedulerKind)
@pytest.mark.parametrize("config", [TURBO, PLAIN], ids=["turbo", "plain"])
def test_another_sampler_has_the_timesteps_that_diffusers_gives_it_from_the_same_file(
    config: dict[str, Any], kind: SchedulerKind, configs: dict[str, dict[str, Any]]
) -> None:
    changed = with_scheduler(config, kind)
    _check({**configs, "scheduler": changed})
    own = getattr(diffusers, config["_class_name"]).from_config(config)
    theirs = getattr(diffusers, SCHEDULER_CLASSES[kind]).from_config(own.config)
    theirs.set_timesteps(4)
    ours = schedule(scheduler_spec(changed), 4)
    assert [float(step.timestep) for step in ours] == theirs.timesteps.tolist()


def test_the_sampler_of_an_lcm_lora_is_that_of_its_distillation_and_without_the_models_spacing() -> None:
    spec = scheduler_spec(with_scheduler(TURBO, "lcm"))
    assert (spec.kind, spec.spacing) == (SchedulerKind.LCM, None)
    assert (spec.original_inference_steps, spec.timestep_scaling) == (50, 10.0)


def test_a_model_of_its_own_distillation_keeps_its_numbers() -> None:
    config = with_scheduler(TURBO, "lcm") | {"original_inference_steps": 100, "timestep_scaling": 5}
    spec = scheduler_spec(with_scheduler(config, "lcm"))
    assert (spec.original_inference_steps, spec.timestep_scaling) == (100, 5.0)


@pytest.mark.parametrize("kind", ["ddim", "LCM", ""])
def test_a_sampler_that_does_not_exist_is_refused_with_those_that_do(kind: str) -> None:
    with pytest.raises(RequestError, match=f"no scheduler '{kind}'; choose euler_ancestral or euler or lcm"):
        with_scheduler(TURBO, kind)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("euler", "_class_name", "DPMSolverMultistepScheduler"),
        ("euler", "prediction_type", "v_prediction"),
        ("euler", "rescale_betas_zero_snr", True),
        ("euler", "trained_betas", [0.1, 0.2]),
        ("euler", "timestep_spacing", "uniform"),
        ("euler", "timestep_spacing", None),
        ("euler_ancestral", "timestep_spacing", ["trailing"]),
        ("euler", "use_karras_sigmas", True),
        ("euler", "use_exponential_sigmas", True),
        ("euler", "use_beta_sigmas", True),
        ("euler", "interpolation_type", "log_linear"),
        ("euler", "final_sigmas_type", "sigma_min"),
        ("lcm", "prediction_type", "v_prediction"),
        ("lcm", "clip_sample", True),
        ("lcm", "thresholding", True),
    ],
)
def test_a_scheduler_that_would_draw_other_pictures_is_refused_by_the_field(
    configs: dict[str, dict[str, Any]], kind: str, field: str, value: object
) -> None:
    config = with_scheduler(TURBO, kind)
    _check({**configs, "scheduler": config})
    with pytest.raises(ModelError, match=rf"the scheduler's {field} is .* instead of "):
        _check({**configs, "scheduler": {**config, field: value}})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clip_sample", True),
        ("thresholding", True),
        ("use_karras_sigmas", True),
        ("original_inference_steps", 9),
    ],
)
def test_what_only_another_sampler_reads_is_left_alone(
    configs: dict[str, dict[str, Any]], field: str, value: object
) -> None:
    _check({**configs, "scheduler": {**TURBO, field: value}})
    assert scheduler_spec({**TURBO, field: value}) == scheduler_spec(TURBO)


@pytest.mark.parametrize(
    ("field", "value", "pattern"),
    [
        ("steps_offset", -1, r"scheduler_config\.json is not .* configuration: steps_offset: "),
        ("timestep_scaling", 0, r"scheduler_config\.json is not .* configuration: timestep_scaling: "),
        ("original_inference_steps", 0, "original_inference_steps: .*or equal to 1"),
        ("original_inference_steps", 1001, r"from 1 to train_timesteps \(1000\), not 1001"),
        ("beta_end", "0.012", "beta_end: .*valid number"),
    ],
)
def test_impossible_numbers_of_a_sampler_are_named_with_the_file(
    configs: dict[str, dict[str, Any]], field: str, value: object, pattern: str
) -> None:
    config = {**with_scheduler(TURBO, "lcm"), field: value}
    with pytest.raises(ModelError, match=pattern):
        _check({**configs, "scheduler": config})


# Parts that do not fit together, or that want inputs which the runtime does not give.


@pytest.mark.parametrize(
    ("part", "field", "value", "pattern"),
    [
        ("unet", "cross_attention_dim", 768, r"cross_attention_dim is 768, .* are 96 and 128, 224 together"),
        ("text_encoder_2", "hidden_size", 64, r"cross_attention_dim is 224, .* are 96 and 64, 160 together"),
        (
            "unet",
            "projection_class_embeddings_input_dim",
            5 * 32 + 128,
            r"input_dim is 288, but 6 time ids of 32 and .* 128 make 320; .*not its refiner",
        ),
        ("unet", "time_cond_proj_dim", 256, "unet's time_cond_proj_dim is 256 instead of None"),
        ("unet", "encoder_hid_dim_type", "ip_image_proj", "encoder_hid_dim_type is 'ip_image_proj'"),
        ("unet", "class_embed_type", "timestep", "class_embed_type is 'timestep' instead of None"),
    ],
)
def test_a_unet_that_wants_other_inputs_is_refused_with_both_numbers(
    configs: dict[str, dict[str, Any]], part: str, field: str, value: object, pattern: str
) -> None:
    _check(configs)
    with pytest.raises(ModelError, match=pattern):
        _check({**configs, part: {**configs[part], field: value}})


# Folders of other pipelines: their indices and the fields of their UNets that tell them apart.


def _index(name: str, **parts: str) -> dict[str, Any]:
    return {"_class_name": name, "_diffusers_version": "0.30.0"} | {
        part: ["diffusers" if part in ("unet", "vae", "scheduler") else "transformers", kind]
        for part, kind in parts.items()
    }


SDXL = _index(
    "StableDiffusionXLPipeline",
    scheduler="EulerDiscreteScheduler",
    text_encoder="CLIPTextModel",
    text_encoder_2="CLIPTextModelWithProjection",
    tokenizer="CLIPTokenizer",
    tokenizer_2="CLIPTokenizer",
    unet="UNet2DConditionModel",
    vae="AutoencoderKL",
)
SDXL_UNET = {
    "_class_name": "UNet2DConditionModel",
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "in_channels": 4,
    "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128,
}
SD_15 = _index(
    "StableDiffusionPipeline",
    feature_extractor="CLIPFeatureExtractor",
    safety_checker="StableDiffusionSafetyChecker",
    scheduler="PNDMScheduler",
    text_encoder="CLIPTextModel",
    tokenizer="CLIPTokenizer",
    unet="UNet2DConditionModel",
    vae="AutoencoderKL",
)
SD_15_UNET = {
    "_class_name": "UNet2DConditionModel",
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 768,
    "in_channels": 4,
    "sample_size": 64,
}
SD_2_UNET = SD_15_UNET | {"cross_attention_dim": 1024, "sample_size": 96}
REFINER = (
    SDXL
    | {"_class_name": "StableDiffusionXLImg2ImgPipeline", "requires_aesthetics_score": True}
    | {"text_encoder": [None, None], "tokenizer": [None, None], "force_zeros_for_empty_prompt": False}
)
REFINER_UNET = SDXL_UNET | {
    "block_out_channels": [384, 768, 1536, 1536],
    "cross_attention_dim": 1280,
    "projection_class_embeddings_input_dim": 2560,
}
INPAINTING = SDXL | {"_class_name": "StableDiffusionXLInpaintPipeline"}
SD_3 = _index(
    "StableDiffusion3Pipeline",
    scheduler="FlowMatchEulerDiscreteScheduler",
    text_encoder="CLIPTextModelWithProjection",
    text_encoder_2="CLIPTextModelWithProjection",
    text_encoder_3="T5EncoderModel",
    transformer="SD3Transformer2DModel",
    vae="AutoencoderKL",
)
FLUX = _index(
    "FluxPipeline",
    scheduler="FlowMatchEulerDiscreteScheduler",
    text_encoder="CLIPTextModel",
    text_encoder_2="T5EncoderModel",
    transformer="FluxTransformer2DModel",
    vae="AutoencoderKL",
)


def _write(folder: Path, **parts: object) -> Path:
    for part, config in parts.items():
        (folder / part).mkdir()
        (folder / part / "config.json").write_text(json.dumps(config))
    return folder


def _refusal(index: Mapping[str, Any], folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        check_pipeline(index, folder)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{folder} holds a ")
    assert message.endswith("give the folder that `save_pretrained` of such a pipeline wrote")
    return message


def test_a_text_to_image_sdxl_folder_is_accepted_whatever_it_does_about_guidance(tmp_path: Path) -> None:
    for more in ({}, {"force_zeros_for_empty_prompt": True}, {"feature_extractor": [None, None]}):
        check_pipeline({**SDXL, **more}, tmp_path)


@pytest.mark.parametrize(("unet", "width"), [(SD_15_UNET, 768), (SD_2_UNET, 1024)], ids=["1.5", "2.1"])
def test_sd_1_and_2_lack_the_second_text_encoder_and_the_wide_attention(
    tmp_path: Path, unet: dict[str, Any], width: int
) -> None:
    message = _refusal(SD_15, _write(tmp_path, unet=unet, text_encoder={"hidden_size": width}))
    assert "holds a StableDiffusionPipeline, not a StableDiffusionXLPipeline: " in message
    assert "it has no text_encoder_2 (a CLIPTextModelWithProjection)" in message
    assert f"the unet's cross_attention_dim is {width} instead of 2048" in message
    assert "the unet's addition_embed_type is None instead of 'text_time'" in message
    assert "block_out_channels is [320, 640, 1280, 1280] instead of [320, 640, 1280]" in message
    assert "in_channels" not in message
    assert "time ids" not in message


def test_the_refiner_takes_five_time_ids_and_the_second_text_encoder_alone(tmp_path: Path) -> None:
    folder = _write(tmp_path, unet=REFINER_UNET, text_encoder_2={"projection_dim": 1280})
    message = _refusal(REFINER, folder)
    assert "holds a StableDiffusionXLImg2ImgPipeline, not a StableDiffusionXLPipeline: " in message
    assert "it has no text_encoder (a CLIPTextModel);" in message
    assert "requires_aesthetics_score is True" in message
    assert "the unet's cross_attention_dim is 1280 instead of 2048" in message
    assert "the unet takes 5 time ids instead of 6" in message


def test_inpainting_takes_nine_channels(tmp_path: Path) -> None:
    folder = _write(tmp_path, unet={**SDXL_UNET, "in_channels": 9}, text_encoder_2={"projection_dim": 1280})
    message = _refusal(INPAINTING, folder)
    assert "not a StableDiffusionXLPipeline: the unet's in_channels is 9 instead of 4; mixdq" in message


@pytest.mark.parametrize(
    ("index", "transformer"), [(SD_3, "SD3Transformer2DModel"), (FLUX, "FluxTransformer2DModel")]
)
def test_sd_3_and_flux_have_a_transformer_in_place_of_the_unet(
    tmp_path: Path, index: dict[str, Any], transformer: str
) -> None:
    message = _refusal(index, _write(tmp_path, transformer={"in_channels": 16}))
    assert "it has no unet (a UNet2DConditionModel)" in message
    assert f"it has a transformer ({transformer})" in message


def test_sdxl_with_another_network_in_a_parts_place_is_refused_by_the_part(tmp_path: Path) -> None:
    message = _refusal({**SDXL, "vae": ["diffusers", "AutoencoderTiny"]}, tmp_path)
    assert "holds a StableDiffusionXLPipeline with other parts than SDXL's: " in message
    assert "its vae is AutoencoderTiny instead of AutoencoderKL" in message


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", '{"in_channels": "4"}', '{"addition_time_embed_dim": 0}']
)
def test_another_pipeline_is_named_however_much_of_its_unet_can_be_read(
    tmp_path: Path, text: str | None
) -> None:
    folder = _write(tmp_path, text_encoder_2={"projection_dim": 1280})
    if text is not None:
        (folder / "unet").mkdir()
        (folder / "unet" / "config.json").write_text(text)
    assert "holds a StableDiffusionXLInpaintPipeline, not a " in _refusal(INPAINTING, folder)


@pytest.mark.parametrize("index", [{}, {"_class_name": None}, {"unet": "x", "vae": 3, "prior": [1, 2, 3]}])
def test_an_index_without_a_pipeline_class_is_refused(tmp_path: Path, index: dict[str, Any]) -> None:
    message = _refusal(index, tmp_path)
    assert "holds a folder without a pipeline class, not a StableDiffusionXLPipeline: " in message
