"""The diffusers folder: every part in FP16, in the form that `StableDiffusionXLPipeline` loads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from diffusers import __version__ as diffusers_version

from mixdq.configs.files import writing
from mixdq.export.emoji_turbo.architecture import Generator, build_scheduler
from mixdq.export.emoji_turbo.tokenizer import EOS, write_tokenizer


def write_folder(
    folder: Path,
    generator: Generator,
    vae: AutoencoderKL,
    vocab: dict[str, int],
    merges: list[tuple[str, str]],
) -> None:
    """Writes the model, whole or not at all. The modules given are left in FP16.

    Raises:
        StorageError: the folder can't be written.
    """
    with writing(folder) as temporary:
        temporary.mkdir()
        generator.to(torch.float16).unet.save_pretrained(temporary / "unet")
        generator.text_encoder.save_pretrained(temporary / "text_encoder")
        generator.text_encoder_2.save_pretrained(temporary / "text_encoder_2")
        vae.to(torch.float16).save_pretrained(temporary / "vae")
        build_scheduler().save_pretrained(temporary / "scheduler")
        write_tokenizer(temporary / "tokenizer", vocab, merges, pad=EOS)
        # SDXL's second tokenizer pads with "!", id 0: no padding is then mistaken for the end of the text.
        write_tokenizer(temporary / "tokenizer_2", vocab, merges, pad="!")
        _write_json(temporary / "model_index.json", _model_index())
        _drop_private(temporary.glob("*/*.json"))


def _model_index() -> dict[str, object]:
    return {
        "_class_name": "StableDiffusionXLPipeline",
        "_diffusers_version": diffusers_version,
        "feature_extractor": [None, None],
        "force_zeros_for_empty_prompt": True,
        "image_encoder": [None, None],
        "scheduler": ["diffusers", "EulerAncestralDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }


def _drop_private(configs: Iterable[Path]) -> None:
    """Removes the path of the machine that trained the model from its configurations."""
    for path in configs:
        values = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, dict) and values.pop("_name_or_path", None) is not None:
            _write_json(path, values)


def _write_json(path: Path, values: object) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
