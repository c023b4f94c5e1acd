"""A model folder is checked before any work begins."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixdq.configs.errors import ModelError, RequestError
from mixdq.export.source import SourceModel, open_source


def _edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.unlink()
    path.write_text(json.dumps(value))


def test_emoji_turbo_opens_by_name_with_its_preset(emoji: SourceModel) -> None:
    assert emoji.identity.name == "emoji-turbo"
    assert emoji.resolutions == (128, 192, 256)
    assert (emoji.downsampling, emoji.resolution_step) == (8, 32)


def test_a_copy_has_the_same_digest_and_a_changed_configuration_another(
    emoji: SourceModel, model_copy: Path
) -> None:
    assert open_source(str(model_copy)).identity.digest == emoji.identity.digest
    _edit(model_copy / "vae" / "config.json", lambda config: config.update(scaling_factor=0.5))
    assert open_source(str(model_copy)).identity.digest != emoji.identity.digest


@pytest.mark.parametrize(
    "file",
    [
        "model_index.json",
        "unet/diffusion_pytorch_model.safetensors",
        "text_encoder_2/config.json",
        "tokenizer/vocab.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_a_missing_file_is_named(model_copy: Path, file: str) -> None:
    (model_copy / file).unlink()
    with pytest.raises(ModelError, match=Path(file).name):
        open_source(str(model_copy))


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_truncated_weights_are_refused(model_copy: Path, kept: int) -> None:
    path = model_copy / "text_encoder" / "model.safetensors"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:kept])
    with pytest.raises(ModelError, match="download it again"):
        open_source(str(model_copy))


def test_another_pipeline_class_is_named(model_copy: Path) -> None:
    _edit(model_copy / "model_index.json", lambda index: index.update(_class_name="StableDiffusionPipeline"))
    with pytest.raises(ModelError, match="StableDiffusionPipeline, not a StableDiffusionXLPipeline"):
        open_source(str(model_copy))


def test_a_scheduler_that_the_runtime_lacks_is_refused_with_the_difference(model_copy: Path) -> None:
    _edit(
        model_copy / "scheduler" / "scheduler_config.json",
        lambda config: config.update(timestep_spacing="leading"),
    )
    with pytest.raises(ModelError, match="timestep_spacing is 'leading' instead of 'trailing'"):
        open_source(str(model_copy))


def test_a_broken_configuration_is_named(model_copy: Path) -> None:
    path = model_copy / "unet" / "config.json"
    path.unlink()
    path.write_text("{")
    with pytest.raises(ModelError, match=r"config\.json is not valid JSON"):
        open_source(str(model_copy))


def test_no_such_model_says_what_a_model_is() -> None:
    with pytest.raises(ModelError, match="a diffusers folder, or a hub id"):
        open_source("./no-such-folder")


def test_a_hub_id_without_a_hub_says_to_give_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"no weights for someone/some-model.*give its folder"):
        open_source("someone/some-model")


@pytest.mark.parametrize(
    ("resolution", "nearest"), [(100, "96 and 128"), (31, "32 and 64"), (0, "32 and 64")]
)
def test_a_resolution_off_the_step_names_the_nearest(
    emoji: SourceModel, resolution: int, nearest: str
) -> None:
    with pytest.raises(RequestError, match=nearest):
        emoji.check_resolution(resolution)


def test_the_pipeline_spec_reads_special_tokens_from_the_vocabulary(emoji: SourceModel) -> None:
    spec = emoji.pipeline_spec("digest")
    vocabulary = json.loads((emoji.folder / "tokenizer" / "vocab.json").read_text())
    assert spec.bos_token_id == vocabulary["<|startoftext|>"]
    assert spec.eos_token_id == vocabulary["<|endoftext|>"]
    assert spec.max_tokens == 77
