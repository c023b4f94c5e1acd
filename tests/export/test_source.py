"""A model folder is checked before any work begins."""

import errno
import json
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from transformers import CLIPTokenizer

from mixdq.configs.errors import ModelError, RequestError, StorageError
from mixdq.configs.model_choice import ModelChoice
from mixdq.configs.presets import shipped_model
from mixdq.export.hub import fetch_pipeline, fetch_vae
from mixdq.export.source import SourceModel, open_source
from mixdq.export.weights.files import StoredWeights

WEIGHT_KINDS = (".safetensors", ".fp16.safetensors", ".bin")


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
    assert open_source(ModelChoice(str(model_copy))).identity.digest == emoji.identity.digest
    _edit(model_copy / "vae" / "config.json", lambda config: config.update(scaling_factor=0.5))
    assert open_source(ModelChoice(str(model_copy))).identity.digest != emoji.identity.digest


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
        open_source(ModelChoice(str(model_copy)))


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_truncated_weights_are_refused(model_copy: Path, kept: int) -> None:
    path = model_copy / "text_encoder" / "model.safetensors"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:kept])
    with pytest.raises(ModelError, match="download it again"):
        open_source(ModelChoice(str(model_copy)))


def test_another_pipeline_class_is_named(model_copy: Path) -> None:
    _edit(model_copy / "model_index.json", lambda index: index.update(_class_name="StableDiffusionPipeline"))
    with pytest.raises(ModelError, match="StableDiffusionPipeline, not a StableDiffusionXLPipeline"):
        open_source(ModelChoice(str(model_copy)))


def test_a_scheduler_that_the_runtime_lacks_is_refused_with_the_difference(model_copy: Path) -> None:
    _edit(
        model_copy / "scheduler" / "scheduler_config.json",
        lambda config: config.update(timestep_spacing="uniform"),
    )
    expected = "timestep_spacing is 'uniform' instead of 'trailing' or 'leading' or 'linspace'"
    with pytest.raises(ModelError, match=expected):
        open_source(ModelChoice(str(model_copy)))


def test_a_broken_configuration_is_named(model_copy: Path) -> None:
    path = model_copy / "unet" / "config.json"
    path.unlink()
    path.write_text("{")
    with pytest.raises(ModelError, match=r"config\.json is not valid JSON"):
        open_source(ModelChoice(str(model_copy)))


@pytest.mark.parametrize(
    "model", ["./no-such-folder", "no-such-folder/", "no such/model", "a/b/c", "../emoji-turbo", "\0", "é/a"]
)
def test_no_such_model_says_what_a_model_is(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="a diffusers folder, or a hub id"):
        open_source(ModelChoice(model))


def test_a_name_that_no_file_system_takes_is_refused() -> None:
    with pytest.raises(ModelError, match=r"could not look for the model .*too long"):
        open_source(ModelChoice("x" * 300))


@pytest.mark.parametrize("model", ["some--one/model", "someone/" + "x" * 300])
def test_a_name_of_the_form_of_a_hub_id_that_the_hub_forbids_is_refused(model: str) -> None:
    with pytest.raises(ModelError, match=rf"{model} is neither a folder nor a hub id"):
        open_source(ModelChoice(model))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../models/emoji-turbo", "emoji-turbo/", "emoji-turbo/unet/.."]
)
def test_a_shipped_model_is_meant_by_its_plain_name_only(name: str) -> None:
    assert shipped_model("emoji-turbo") is not None
    assert shipped_model(name) is None


def test_a_link_to_a_model_gives_it_its_own_name(model_copy: Path, tmp_path: Path) -> None:
    (tmp_path / "sdxl-turbo").symlink_to(model_copy)
    assert open_source(ModelChoice(str(tmp_path / "sdxl-turbo"))).identity.name == "sdxl-turbo"


# Configurations, weights and tokenizers of the wrong form.


@pytest.mark.parametrize(
    ("file", "field", "value", "pattern"),
    [
        ("unet/config.json", "cross_attention_dim", [32, 32], "cross_attention_dim: .*valid integer"),
        ("unet/config.json", "sample_size", "16", "sample_size: .*valid integer"),
        ("unet/config.json", "block_out_channels", [], "block_out_channels: .*at least 1 item"),
        ("unet/config.json", "in_channels", 9, "unet's in_channels is 9, but the vae's latent_channels is 4"),
        ("unet/config.json", "out_channels", 8, "unet's out_channels is 8, but the vae's latent_channels"),
        ("vae/config.json", "block_out_channels", None, "block_out_channels: .*valid tuple"),
        ("vae/config.json", "scaling_factor", "0.5", "scaling_factor: .*valid number"),
        (
            "vae/config.json",
            "latents_mean",
            [0, 0, 0, 0],
            r"vae's latents_mean is \[0, 0, 0, 0\] instead of None",
        ),
        ("vae/config.json", "latents_std", [1, 1, 1, 1], "vae's latents_std is .* instead of None"),
        ("text_encoder_2/config.json", "max_position_embeddings", True, "max_position_embeddings: .*integer"),
        ("scheduler/scheduler_config.json", "num_train_timesteps", 0, "num_train_timesteps: .*or equal to 1"),
        ("scheduler/scheduler_config.json", "beta_end", float("nan"), "beta_end: .*finite|beta_end: .*less"),
        (
            "scheduler/scheduler_config.json",
            "trained_betas",
            [0.1] * 1000,
            r"betas is \[.{,60}\] instead of None",
        ),
        (
            "scheduler/scheduler_config.json",
            "rescale_betas_zero_snr",
            True,
            "zero_snr is True instead of False",
        ),
        (
            "scheduler/scheduler_config.json",
            "beta_schedule",
            "squaredcos_cap_v2",
            "beta_schedule is 'squaredcos_cap_v2' instead of 'scaled_linear' or 'linear'",
        ),
    ],
)
def test_a_configuration_that_would_fail_later_or_draw_other_pictures_is_refused_by_file_or_part_and_field(
    model_copy: Path, file: str, field: str, value: object, pattern: str
) -> None:
    _edit(model_copy / file, lambda config: config.update({field: value}))
    with pytest.raises(ModelError, match=pattern):
        open_source(ModelChoice(str(model_copy)))


@pytest.mark.parametrize(
    ("file", "field"),
    [
        ("unet/config.json", "projection_class_embeddings_input_dim"),
        ("vae/config.json", "block_out_channels"),
        ("vae/config.json", "scaling_factor"),
        ("text_encoder/config.json", "vocab_size"),
        ("scheduler/scheduler_config.json", "num_train_timesteps"),
    ],
)
def test_a_missing_field_is_named_with_its_file(model_copy: Path, file: str, field: str) -> None:
    _edit(model_copy / file, lambda config: config.pop(field))
    with pytest.raises(ModelError, match=rf"{file} is not a valid .* configuration: {field}: Field required"):
        open_source(ModelChoice(str(model_copy)))


def test_a_unet_without_a_resolution_of_its_own_asks_for_one(model_copy: Path) -> None:
    _edit(model_copy / "unet" / "config.json", lambda config: config.update(sample_size=None))
    source = open_source(ModelChoice(str(model_copy)))
    with pytest.raises(ModelError, match=r"unet/config\.json names no sample_size.*give --resolution"):
        _ = source.resolutions


@pytest.mark.parametrize(
    "header",
    [
        b"5",
        b"[]",
        b"{}",
        b'{"a": 1}',
        b'{"a": {"data_offsets": []}}',
        b'{"a":' * 50_000,
        b'{"a": {"data_offsets": 3}}',
    ],
)
def test_a_header_that_is_no_tensor_table_is_refused(model_copy: Path, header: bytes) -> None:
    path = model_copy / "unet" / "diffusion_pytorch_model.safetensors"
    path.unlink()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(ModelError, match="is no safetensors file, or is cut short"):
        open_source(ModelChoice(str(model_copy)))


@pytest.mark.parametrize("text", ["{" * 3 + "}" * 2, '{"a":' * 50_000, "5", "[]"])
def test_a_configuration_that_is_no_object_is_named(model_copy: Path, text: str) -> None:
    path = model_copy / "vae" / "config.json"
    path.unlink()
    path.write_text(text)
    with pytest.raises(ModelError, match=r"vae/config\.json is not"):
        open_source(ModelChoice(str(model_copy)))


@pytest.mark.parametrize("token", [None, ["!"], {"text": "!"}, "no such token", 3])
def test_a_special_token_without_a_number_is_refused_when_the_model_is_opened(
    model_copy: Path, token: object
) -> None:
    _edit(model_copy / "tokenizer_2" / "tokenizer_config.json", lambda config: config.update(pad_token=token))
    with pytest.raises(ModelError, match=r"tokenizer_2: the pad_token .* has no number in vocab\.json"):
        open_source(ModelChoice(str(model_copy)))


# Identity.


@pytest.mark.parametrize(
    "file", ["tokenizer_config.json", "special_tokens_map.json", "tokenizer.json", "added_tokens.json"]
)
@pytest.mark.parametrize("tokenizer", ["tokenizer", "tokenizer_2"])
def test_the_digest_changes_with_every_file_of_the_tokenizers(
    emoji: SourceModel, model_copy: Path, tokenizer: str, file: str
) -> None:
    path = model_copy / tokenizer / file
    text = path.read_text() if path.exists() else "{}"
    path.unlink(missing_ok=True)
    path.write_text(text + "\n")
    assert open_source(ModelChoice(str(model_copy))).identity.digest != emoji.identity.digest


@pytest.mark.parametrize("model", [".", "./", "../model", "../model/", "unet/.."])
def test_a_folder_has_its_own_name_however_it_is_written(
    model_copy: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.chdir(model_copy)
    assert open_source(ModelChoice(model)).identity.name == "model"


def test_a_missing_index_is_laid_to_the_model_folder(model_copy: Path) -> None:
    (model_copy / "model_index.json").unlink()
    with pytest.raises(ModelError, match=rf"so {model_copy} is no complete SDXL pipeline folder"):
        open_source(ModelChoice(str(model_copy)))


# The hub: what is asked of it, and what its library finds on the disk without it.


_HUB_FILES = [
    "README.md",
    "model_index.json",
    "sd_xl_turbo_1.0.safetensors",
    "sd_xl_turbo_1.0_fp16.safetensors",
    *(f"{name}/config.json" for name in ("unet", "vae", "text_encoder", "text_encoder_2")),
    *(f"{name}/diffusion_pytorch_model{kind}" for name in ("unet", "vae") for kind in WEIGHT_KINDS),
    *(f"{name}/model{kind}" for name in ("text_encoder", "text_encoder_2") for kind in WEIGHT_KINDS),
    *(f"{name}/{file}" for name in ("tokenizer", "tokenizer_2") for file in ("vocab.json", "merges.txt")),
    "scheduler/scheduler_config.json",
    "text_encoder/model.onnx",
    "vae_decoder/model.onnx",
]


@dataclass(frozen=True)
class Repository:
    """A repository of the hub, the folder that it is fetched to, and what was fetched by each call."""

    folder: Path
    files: list[str]
    fetched: list[list[str]]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A hub's repository: what is asked of it, by the hub's own patterns, appears in the folder."""
    import huggingface_hub
    from huggingface_hub.utils._paths import filter_repo_objects

    repository = Repository(tmp_path, list(_HUB_FILES), [])

    def download(hub_id: str, *, allow_patterns: list[str]) -> str:
        kept = list(filter_repo_objects(repository.files, allow_patterns=allow_patterns))
        for name in kept:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        repository.fetched.append(kept)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return repository


def _weights(names: list[str]) -> list[str]:
    return [name for name in names if name.endswith((".safetensors", ".bin"))]


def test_of_a_repository_only_descriptions_and_fp16_weights_are_fetched(repository: Repository) -> None:
    assert fetch_pipeline("someone/model", None) == repository.folder
    (kept,) = repository.fetched
    assert _weights(kept) == [
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/model.fp16.safetensors",
        "text_encoder_2/model.fp16.safetensors",
    ]
    assert len(kept) == 4 + 10
    assert not any(name.endswith(("onnx", "md")) for name in kept)


def test_of_a_component_without_fp16_weights_the_plain_ones_are_fetched(repository: Repository) -> None:
    repository.files.remove("vae/diffusion_pytorch_model.fp16.safetensors")
    fetch_pipeline("someone/model", None)
    assert repository.fetched[1:] == [["vae/diffusion_pytorch_model.safetensors"]]


def test_of_a_named_variant_nothing_else_is_fetched(repository: Repository) -> None:
    repository.files.append("unet/diffusion_pytorch_model.ema-00001-of-00002.safetensors")
    fetch_pipeline("someone/model", "ema")
    assert [_weights(names) for names in repository.fetched] == [
        ["unet/diffusion_pytorch_model.ema-00001-of-00002.safetensors"]
    ]


def test_of_a_pipeline_its_vae_alone_is_fetched(repository: Repository) -> None:
    fetch_vae("someone/model")
    assert repository.fetched == [["vae/config.json", "vae/diffusion_pytorch_model.safetensors"]]


def _full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _behind_another() -> OSError:
    error = OSError("could not fetch all files")
    error.__cause__ = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    return error


def _in_words() -> RuntimeError:
    return RuntimeError("Data processing error: I/O error: File too large (os error 27)")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (_full(), "No space left on device"),
        (_behind_another(), "Disk quota exceeded"),
        (_in_words(), "File too large"),
    ],
)
def test_a_disk_that_fills_while_a_model_is_fetched_is_no_fault_of_the_hub(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def download(hub_id: str, *, allow_patterns: list[str]) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    for fetch in (partial(fetch_pipeline, "someone/model", None), partial(fetch_vae, "someone/model")):
        with pytest.raises(StorageError, match=rf"download someone/model to .*: {reason}\..*it resumes"):
            fetch()


@pytest.fixture
def hub_copy(tmp_path: Path, model_copy: Path, no_hub: None) -> Path:
    """The model as the hub's library keeps `someone/some-model`, with no hub to reach."""
    repository = tmp_path / "hub" / "models--someone--some-model"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    model_copy.rename(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    return snapshot


def test_a_hub_model_is_named_by_the_part_behind_the_slash(hub_copy: Path) -> None:
    source = open_source(ModelChoice("someone/some-model"))
    assert source.identity.name == "some-model"
    assert source.folder == hub_copy


def test_where_both_precisions_are_present_the_fp16_weights_are_taken(hub_copy: Path) -> None:
    half = hub_copy / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    shutil.copyfile(hub_copy / "unet" / "diffusion_pytorch_model.safetensors", half)
    weights = open_source(ModelChoice("someone/some-model")).weights
    assert weights["unet"] == StoredWeights((half,))
    plain = hub_copy / "vae" / "diffusion_pytorch_model.safetensors"
    assert weights["vae"] == StoredWeights((plain,))


def test_a_hub_id_without_a_hub_says_to_give_a_folder(no_hub: None) -> None:
    with pytest.raises(ModelError, match=r"no weights for someone/some-model.*give its folder"):
        open_source(ModelChoice("someone/some-model"))


@pytest.mark.parametrize(
    ("resolution", "nearest"), [(100, "96 and 128"), (31, "32 and 64"), (0, "32 and 64")]
)
def test_a_resolution_off_the_step_names_the_nearest(
    emoji: SourceModel, resolution: int, nearest: str
) -> None:
    with pytest.raises(RequestError, match=nearest):
        emoji.check_resolution(resolution)


def test_a_model_saved_by_transformers_is_the_same_pipeline(emoji: SourceModel, model_copy: Path) -> None:
    for name in ("tokenizer", "tokenizer_2"):
        tokenizer = CLIPTokenizer.from_pretrained(model_copy / name)
        shutil.rmtree(model_copy / name)
        tokenizer.save_pretrained(model_copy / name)
        assert not (model_copy / name / "vocab.json").exists()
    saved = open_source(ModelChoice(str(model_copy)))
    assert saved.pipeline_spec("digest") == emoji.pipeline_spec("digest")


def test_the_pipeline_spec_reads_special_tokens_from_the_vocabulary(emoji: SourceModel) -> None:
    spec = emoji.pipeline_spec("digest")
    vocabulary = json.loads((emoji.folder / "tokenizer" / "vocab.json").read_text())
    assert spec.bos_token_id == vocabulary["<|startoftext|>"]
    assert spec.eos_token_id == vocabulary["<|endoftext|>"]
    assert spec.max_tokens == 77
