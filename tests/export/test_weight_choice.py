"""Where the command line says that weights come from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from mixdq.configs.bundle import Component
from mixdq.configs.errors import ModelError
from mixdq.configs.model_choice import ModelChoice
from mixdq.export.hub import WEIGHT_STEMS
from mixdq.export.modules import load_module
from mixdq.export.source import SourceModel, open_architecture, open_source
from mixdq.export.weight_choice import choose_weights
from mixdq.export.weights.checkpoint import CheckpointWeights
from mixdq.export.weights.files import StoredWeights
from mixdq.export.weights.lora import FusedWeights
from mixdq.export.weights.synthetic import SyntheticWeights

LAYER = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def _lora(folder: Path, emoji: SourceModel) -> Path:
    """A LoRA of rank 1 that adds 1 to every weight of one layer."""
    shape = load_module(emoji, Component.UNET, torch.float16).get_parameter(f"{LAYER}.weight").shape
    file = folder / "lora.safetensors"
    down, up = np.ones((1, shape[1]), np.float16), np.ones((shape[0], 1), np.float16)
    save_file({f"unet.{LAYER}.lora_A.weight": down, f"unet.{LAYER}.lora_B.weight": up}, file)
    return file


@pytest.mark.parametrize(("words", "seed"), [("synthetic", 0), ("synthetic:0", 0), ("synthetic:17", 17)])
def test_synthetic_weights_have_the_seed_that_was_said(words: str, seed: int) -> None:
    source = open_source(ModelChoice("emoji-turbo", weights=words))
    assert source.weights == {part: SyntheticWeights(seed, part) for part in WEIGHT_STEMS}


@pytest.mark.parametrize(
    "words", ["synthetic:", "synthetic:x", "synthetic:-1", "synthetic:1.5", "synthetic:²"]
)
def test_a_seed_that_is_no_number_is_refused(words: str) -> None:
    with pytest.raises(ModelError, match="expected `synthetic` or `synthetic:SEED` with a number"):
        open_source(ModelChoice("emoji-turbo", weights=words))


def test_sdxl_turbo_opens_with_synthetic_weights_and_no_hub(no_hub: None) -> None:
    source = open_source(ModelChoice("sdxl-turbo", weights="synthetic"))
    assert (source.resolutions, source.resolution_step) == ((512, 768, 1024), 32)


def test_sdxl_turbo_without_weights_and_hub_is_one_error_that_says_how_to_give_them(no_hub: None) -> None:
    with pytest.raises(ModelError, match=r"shipped without weights.*sdxl-turbo.*--weights DIR") as error:
        open_source(ModelChoice("sdxl-turbo"))
    assert "\n" not in str(error.value)
    assert str(error.value).count("give ") == 1


def test_the_weights_of_a_folder_serve_another_models_configurations(
    emoji: SourceModel, model_copy: Path
) -> None:
    source = open_source(ModelChoice("emoji-turbo", weights=str(model_copy)))
    unet = model_copy / "unet" / "diffusion_pytorch_model.safetensors"
    assert source.weights["unet"] == StoredWeights((unet,))
    assert source.folder == emoji.folder
    assert source.identity == emoji.identity


def _sd15(index: dict[str, Any]) -> None:
    index.update(_class_name="StableDiffusionPipeline", safety_checker=["stable_diffusion", "SafetyChecker"])
    del index["text_encoder_2"], index["tokenizer_2"]


def _refiner(index: dict[str, Any]) -> None:
    index.update(_class_name="StableDiffusionXLImg2ImgPipeline", requires_aesthetics_score=True)
    index["text_encoder"] = [None, None]


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (_sd15, r"a StableDiffusionPipeline, not a StableDiffusionXLPipeline: it has no text_encoder_2"),
        (
            _refiner,
            r"a StableDiffusionXLImg2ImgPipeline, not .*it has no text_encoder .*aesthetics_score is True",
        ),
    ],
)
def test_another_pipelines_folder_of_weights_is_told_what_differs(
    change: Callable[[dict[str, Any]], None], pattern: str, model_copy: Path
) -> None:
    path = model_copy / "model_index.json"
    index = json.loads(path.read_text())
    change(index)
    path.unlink()
    path.write_text(json.dumps(index))
    with pytest.raises(ModelError, match=rf"{model_copy} holds {pattern}"):
        open_source(ModelChoice("emoji-turbo", weights=str(model_copy)))


def test_a_folder_of_weights_needs_no_index(model_copy: Path) -> None:
    (model_copy / "model_index.json").unlink()
    source = open_source(ModelChoice("emoji-turbo", weights=str(model_copy)))
    assert source.weights["vae"].open().where == f"{model_copy}/vae/diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize("words", ["no-such-folder/", "./no/such/file.safetensors"])
def test_weights_that_are_nowhere_are_refused(words: str) -> None:
    with pytest.raises(ModelError, match=f"there is no model '{words}'"):
        open_source(ModelChoice("emoji-turbo", weights=words))


def test_a_folder_without_the_variant_is_refused(model_copy: Path) -> None:
    with pytest.raises(ModelError, match=r"has no .*\.fp16\.safetensors, only diffusion_pytorch_model"):
        open_source(ModelChoice(str(model_copy), variant="fp16"))


def test_one_file_is_a_checkpoint_of_all_components(emoji: SourceModel, model_copy: Path) -> None:
    file = model_copy / "unet" / "diffusion_pytorch_model.safetensors"
    choice = ModelChoice("emoji-turbo", weights=str(file))
    assert choose_weights(choice, emoji.folder, emoji.configs) == {
        part: CheckpointWeights(file, part, emoji.folder) for part in WEIGHT_STEMS
    }
    # The UNet alone is none, and the error says so.
    with pytest.raises(ModelError, match=r"not a checkpoint of SDXL in its original layout"):
        open_source(choice)


def test_a_lora_changes_the_unet_and_the_identity_but_no_graph(emoji: SourceModel, tmp_path: Path) -> None:
    lora = _lora(tmp_path, emoji)
    source = open_source(ModelChoice("emoji-turbo", loras=(f"{lora}:0.5",)))
    assert isinstance(source.weights["unet"], FusedWeights)
    assert source.weights["unet"].loras == ((lora, 0.5),)
    assert source.identity.digest != emoji.identity.digest
    assert source.architecture == emoji.architecture
    name = f"{LAYER}.weight"
    fused = load_module(source, Component.UNET, torch.float32).get_parameter(name)
    plain = load_module(emoji, Component.UNET, torch.float32).get_parameter(name)
    assert torch.allclose(fused, plain + 0.5, atol=1e-3)


def test_a_lora_that_is_nowhere_is_refused() -> None:
    with pytest.raises(ModelError, match=r"there is no LoRA 'no\.safetensors'"):
        open_source(ModelChoice("emoji-turbo", loras=("no.safetensors",)))


@pytest.mark.parametrize("place", ["vae", "."])
def test_another_vae_is_a_folder_of_its_own_or_a_pipelines(
    place: str, emoji: SourceModel, model_copy: Path
) -> None:
    file = model_copy / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = {name: 2 * tensor for name, tensor in load_file(file).items()}
    file.unlink()
    save_file(tensors, file)
    source = open_source(ModelChoice("emoji-turbo", vae=str(model_copy / place)))
    assert source.weights["vae"] == StoredWeights((file,))
    assert source.weights["unet"] == emoji.weights["unet"]
    assert source.identity.digest != emoji.identity.digest
    vae = load_module(source, Component.VAE_DECODER, torch.float32)
    own = load_module(emoji, Component.VAE_DECODER, torch.float32)
    name = "decoder.conv_in.weight"
    assert torch.equal(vae.get_parameter(name), 2 * own.get_parameter(name))


@pytest.mark.parametrize("vae", ["no-such-folder/", "a/b/c"])
def test_a_vae_that_is_nowhere_is_refused(vae: str) -> None:
    with pytest.raises(ModelError, match=rf"there is no VAE '{vae}': give the folder of one, or a hub id"):
        open_source(ModelChoice("emoji-turbo", vae=vae))


def test_other_weights_leave_the_architecture_as_it_was_and_another_precision_does_not(
    emoji: SourceModel,
) -> None:
    synthetic = open_source(ModelChoice("emoji-turbo", weights="synthetic"))
    assert synthetic.architecture == emoji.architecture
    assert synthetic.identity.digest != emoji.identity.digest
    half = open_architecture(ModelChoice("emoji-turbo", vae_precision="bfloat16"))
    assert half.architecture != emoji.architecture
