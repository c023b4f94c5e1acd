"""CLIP from what the user has: a transformers folder, a state dict, or OpenAI's archive."""

from __future__ import annotations

import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mixdq.configs.documents import read_json
from mixdq.configs.errors import EvaluationError
from mixdq.eval.scorers.clip_form import OPENAI_SHA256, ClipForm, read_form, triple
from mixdq.eval.scorers.clip_layout import is_note, metric_name, origin, sizes_of
from mixdq.eval.scorers.clip_tokens import ClipTokens
from mixdq.eval.scorers.conversion import Origin, fill
from mixdq.eval.scorers.pixels import CLIP_MEAN, CLIP_STD, Preparation
from mixdq.eval.scorers.stored_weights import StoredWeights, digest_of, read_weights

HOW_TO_GET = (
    "CLIP score needs ViT-L/14, 1.7 GB: `hf download openai/clip-vit-large-patch14 --local-dir DIR` and give "
    "DIR, or download OpenAI's https://openaipublic.azureedge.net/clip/models/"
    "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt"
)

_FOLDER_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_END_OF_TEXT = 49407
_BICUBIC = 3  # Pillow's number of the filter, which `preprocessor_config.json` names


@dataclass(frozen=True, slots=True, eq=False)
class ClipModelFile:
    """A CLIP that is read.

    Attributes:
        name: of the metric: `CLIP ViT-L/14`.
        sha256: digest of the weights' file.
        model: transformers' `CLIPModel` in FP32, frozen.
        tokens: what its text encoder reads.
        preparation: what its vision encoder sees.
    """

    name: str
    sha256: str
    model: Any
    tokens: ClipTokens
    preparation: Preparation


def open_clip_model(path: Path, quick_gelu: bool | None) -> ClipModelFile:
    """Reads a CLIP in any of the three forms.

    Raises:
        EvaluationError: see `open_clip_scorer`.
    """
    return _from_folder(path) if path.is_dir() else _from_file(path, quick_gelu)


def read_archive(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a TorchScript archive, which holds code as well: give none that is not trusted."""
    with warnings.catch_warnings():
        # torch announces TorchScript's end; OpenAI's files are what they are.
        warnings.simplefilter("ignore", DeprecationWarning)
        archive: Any = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    return dict(archive.state_dict())


def _from_file(path: Path, quick_gelu: bool | None) -> ClipModelFile:
    is_archive = path.is_file() and _is_archive(path)
    weights = _read_openai(path) if is_archive else read_weights(path, HOW_TO_GET)
    form = read_form(path, weights.sha256, quick_gelu)
    sizes = sizes_of(weights, form.quick_gelu)
    config = {
        "vision_config": sizes.vision,
        "text_config": sizes.text | {"eos_token_id": _END_OF_TEXT, "bos_token_id": _END_OF_TEXT - 1},
        "projection_dim": sizes.embedding,
    }
    model = _model(config)
    fill(model, weights, origin, is_note, HOW_TO_GET)
    return _opened(model, weights, None, form)


def _read_openai(path: Path) -> StoredWeights:
    sha256 = digest_of(path, HOW_TO_GET)
    if sha256 not in OPENAI_SHA256:
        raise EvaluationError(
            f"{path} is a TorchScript archive, which holds code, and its SHA-256 {sha256[:16]}… is none of "
            f"OpenAI's ({', '.join(OPENAI_SHA256.values())}), so it is not opened; {HOW_TO_GET}"
        )
    return StoredWeights(path, sha256, read_archive(path))


def _from_folder(path: Path) -> ClipModelFile:
    config = read_json(dict[str, Any], _in(path, "config.json"), EvaluationError)
    if config.get("model_type") != "clip":
        raise EvaluationError(
            f"{path} holds a model of type {config.get('model_type')}, not clip; {HOW_TO_GET}"
        )
    found = [path / name for name in _FOLDER_WEIGHTS if (path / name).is_file()]
    if not found:
        raise EvaluationError(f"{path} holds neither {' nor '.join(_FOLDER_WEIGHTS)}; {HOW_TO_GET}")
    try:
        model = _model(config)
    # transformers checks configurations by several kinds of exceptions.
    except Exception as error:
        raise EvaluationError(f"{path / 'config.json'} describes no CLIP: {error}; {HOW_TO_GET}") from error
    weights = read_weights(found[0], HOW_TO_GET)
    fill(model, weights, Origin, is_note, HOW_TO_GET)
    prepared = _in(path, "preprocessor_config.json")
    form = _form_of_folder(read_json(dict[str, Any], prepared, EvaluationError), prepared)
    has_tokenizer = any((path / name).is_file() for name in ("tokenizer.json", "vocab.json"))
    return _opened(model, weights, path if has_tokenizer else None, form)


def _form_of_folder(config: dict[str, Any], path: Path) -> ClipForm:
    if config.get("resample", _BICUBIC) != _BICUBIC:
        raise EvaluationError(
            f"{path} resizes by Pillow's filter {config['resample']}; only bicubic ({_BICUBIC}) is supported"
        )
    # The activation is in config.json, from which the model was made.
    return ClipForm(
        quick_gelu=False,
        mean=triple(config.get("image_mean", CLIP_MEAN), f"image_mean of {path}"),
        std=triple(config.get("image_std", CLIP_STD), f"image_std of {path}"),
    )


def _opened(model: Any, weights: StoredWeights, tokenizer: Path | None, form: ClipForm) -> ClipModelFile:
    vision, text = model.config.vision_config, model.config.text_config
    return ClipModelFile(
        metric_name(vision.hidden_size, vision.patch_size, vision.image_size),
        weights.sha256,
        model,
        ClipTokens(tokenizer, text.vocab_size, text.max_position_embeddings),
        Preparation(vision.image_size, form.mean, form.std),
    )


def _model(config: dict[str, Any]) -> Any:
    from transformers import CLIPConfig, CLIPModel

    with torch.device("meta"):
        return CLIPModel(CLIPConfig.from_dict(config))


def _in(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise EvaluationError(f"{folder} holds no {name}; {HOW_TO_GET}")
    return folder / name


def _is_archive(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("constants.pkl") for name in archive.namelist())
