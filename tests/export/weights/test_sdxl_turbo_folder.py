"""The shipped folder of SDXL-Turbo, without weights: the published architecture and CLIP's tokenizers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

FOLDER = Path(__file__).parents[3] / "configs" / "models" / "sdxl-turbo"


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _config(name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((FOLDER / name / "config.json").read_text())
    return config


def test_every_part_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        assert _parameters(UNet2DConditionModel.from_config(_config("unet"))) == 2_567_463_684
        assert _parameters(AutoencoderKL.from_config(_config("vae"))) == 83_653_863
        first, second = (CLIPTextConfig.from_dict(_config(f"text_encoder{end}")) for end in ("", "_2"))
        assert _parameters(CLIPTextModel(first)) == 123_060_480
        assert _parameters(CLIPTextModelWithProjection(second)) == 694_659_840


@pytest.mark.parametrize(("name", "pad"), [("tokenizer", 49407), ("tokenizer_2", 0)])
def test_the_tokenizers_give_clips_ids(name: str, pad: int) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(FOLDER / name)
    assert tokenizer("a photo of a cat")["input_ids"] == [49406, 320, 1125, 539, 320, 2368, 49407]
    ids = tokenizer("a photo of a cat", padding="max_length")["input_ids"]
    assert len(ids) == 77
    assert set(ids[7:]) == {pad}
    assert len(tokenizer("cat " * 100, truncation=True)["input_ids"]) == 77


def test_no_weights_are_shipped() -> None:
    assert not [*FOLDER.rglob("*.safetensors"), *FOLDER.rglob("*.bin")]
